/** Questions about the configuration in force: the last one in the log, committed or not (paper §6). */
import { sameMember } from "./turn.ts"
import type { Configuration, Entry, Index, LogBase, Member, State } from "./types.ts"

export const emptyConfiguration: Configuration = { voters: [], outgoing: [], learners: [] }

export const levelOf = ({ level = 1 }: Configuration): number => level

/** The configuration in force with the index of its entry. By index, not `at(-1)`: each step asks several times. */
export const lastConfiguration = ({ configurations }: State): State["configurations"][number] | undefined =>
  configurations[configurations.length - 1]

export const configurationOf = (state: State): Configuration =>
  lastConfiguration(state)?.configuration ?? emptyConfiguration

/** The configuration in force at `index`, which the log holds. */
export const configurationAt = (state: State, index: Index): Configuration =>
  state.configurations.findLast((known) => known.index <= index)?.configuration ?? emptyConfiguration

export const configurationsOf = (base: LogBase, entries: readonly Entry[]): State["configurations"] => [
  { index: base.index, configuration: base.configuration },
  ...entries.flatMap((entry) =>
    entry.kind === "configuration" ? [{ index: entry.index, configuration: entry.configuration }] : [],
  ),
]

/** All members of a configuration, each once. */
export const membersOf = (configuration: Configuration): readonly Member[] => {
  const { voters, outgoing, learners } = configuration
  if (outgoing.length === 0 && learners.length === 0) return voters
  const seen = new Map<string, Member>()
  for (const member of [...voters, ...outgoing, ...learners]) seen.set(member.name, member)
  return [...seen.values()]
}

export const votersOf = (configuration: Configuration): readonly Member[] =>
  membersOf({ ...configuration, learners: [] })

const includes = (members: readonly Member[], member: Member): boolean => {
  for (const one of members) if (sameMember(one, member)) return true
  return false
}

export const isVoter = ({ voters, outgoing }: Configuration, member: Member): boolean =>
  includes(voters, member) || includes(outgoing, member)

/** A member with the sender's name exists, but only as another incarnation: one of the two is from before a lost disk. */
export const isStranger = ({ voters, outgoing, learners }: Configuration, sender: Member): boolean => {
  // The usual answer comes first: this is asked for every reply.
  if (includes(voters, sender) || includes(outgoing, sender) || includes(learners, sender)) return false
  const clashes = ({ name }: Member): boolean => name === sender.name
  return voters.some(clashes) || outgoing.some(clashes) || learners.some(clashes)
}

/** Index of the last configuration that is known to be committed. */
export const committedConfiguration = ({ configurations, commitIndex }: State): Index => {
  for (let i = configurations.length - 1; i >= 0; i--) {
    const index = configurations[i]?.index ?? 0
    if (index <= commitIndex) return index
  }
  return 0
}
