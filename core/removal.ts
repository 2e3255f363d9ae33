/**
 * The fate of a server that a change of configuration removes. Until the change is committed it may still be needed: it is
 * supplied with the log, and may campaign and lead (thesis §4.2.2). After that it is told once that it is out (updateTargets
 * of reconfiguration.ts), and a leader that removed itself steps down (leaveIfRemoved, there too; paper §6).
 */
import { committedConfiguration, isVoter, membersOf } from "./membership.ts"
import type { Leader, Member, State } from "./types.ts"

/** The configuration in force, and each that it may still give way to. */
const possibleConfigurations = (state: State): State["configurations"] => {
  const committed = committedConfiguration(state)
  return state.configurations.filter(({ index }) => index >= committed)
}

/**
 * Until a change is committed, the log of a server that it removes may be the one that the others need (thesis §4.2.2). A
 * lost state machine is no reason either not to campaign; such a leader hands over soon (handover.ts).
 */
export const canCampaign = (state: State): boolean =>
  state.restoring === null && possibleConfigurations(state).some(({ configuration }) => isVoter(configuration, state.self))

/** Whom a leader replicates to. Those that a change removes learn from its last entry that they are out. */
export const replicationTargets = (state: State): readonly Member[] => {
  const members = new Map<string, Member>()
  for (const { configuration } of possibleConfigurations(state)) for (const member of membersOf(configuration)) members.set(member.name, member)
  members.delete(state.self.name)
  return [...members.values()]
}

/** What the targets hang on. While it stays, they stay. */
export const targetsAsOf = (state: State): Leader["targetsAsOf"] => ({ inForce: state.configurations.at(-1)?.index ?? 0, committed: committedConfiguration(state) })
