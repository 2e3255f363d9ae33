/** Verbs for members, and how members are found. */
import type { Seeded } from "./mutant.ts"

const GOALS = "interpreters/members/goals.ts"
const MEMBERS = "interpreters/members/members.ts"
const ADDRESSES = "interpreters/node/addresses.ts"
export const members: readonly Seeded[] = [
  {
    id: "own-members-1",
    title: "a verb says that it is done before the change is committed",
    patches: [
      {
        file: "interpreters/members/goals.ts",
        find: `  if (now.outgoing.length > 0 || inForce.index > state.commitIndex || state.commitIndex < leader.termStart)
    return wait(\`a change is being committed\${absent(view)}\`)
`,
        replace: "  if (inForce.index < 0) return wait(`a change is being committed${absent(view)}`)\n",
      },
    ],
  },
  {
    id: "own-members-2",
    title: "voters are removed although no majority of the others is there",
    patches: [{ file: GOALS, find: "if (even || hasQuorum(", replace: "if (voters.length > 0 || even || hasQuorum(" }],
  },
  {
    id: "own-members-3",
    title: "replace takes the directory that is connected for the one that is known, by its name",
    patches: [
      {
        file: GOALS,
        find: "  if (presence?.connected === true && sameMember(presence.member, known)) {\n    if (learner",
        replace: "  if (presence?.connected === true && presence.member.name === known.name) {\n    if (learner",
      },
    ],
  },
  {
    id: "own-members-4",
    title: "a removed server waits for a leader to tell it that it is removed",
    patches: [
      {
        file: MEMBERS,
        find: "if (knowsOfItsOwnRemoval(goal)) return",
        replace: "if (stopped && knowsOfItsOwnRemoval(goal)) return",
      },
    ],
  },
  {
    id: "own-members-5",
    title: "an answer that is lost is never asked for again",
    patches: [
      {
        file: MEMBERS,
        find: '      if (answer === null || answer.type === "notLeader") {\n',
        replace:
          '      if (answer === null && leader !== null) await new Promise(() => {})\n      if (answer === null || answer.type === "notLeader") {\n',
      },
    ],
  },
  {
    id: "own-members-6",
    title: "a newcomer that lags far behind becomes a voter",
    patches: [
      {
        file: "interpreters/members/goals.ts",
        find: `    matchIndex >= (state.configurations.at(-1)?.index ?? 0) &&
    bytesLeft !== null &&
    bytesLeft <= state.settings.maxBatchBytes
`,
        replace: "    matchIndex >= (state.configurations.at(-1)?.index ?? 0)\n",
      },
    ],
  },
  {
    id: "own-members-7",
    title: "what leaves a joint configuration forgets where members are found",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: "appendConfiguration(state, { ...inForce.configuration, outgoing: [] })",
        replace:
          "appendConfiguration(state, { voters: inForce.configuration.voters, learners: inForce.configuration.learners, outgoing: [] })",
      },
    ],
  },
  {
    id: "own-members-8",
    title: "logs whose members have other addresses count as equal",
    patches: [
      {
        file: "core/chain.ts",
        find: "if (names.length === 0) return sum",
        replace: "if (names.length >= 0) return sum",
      },
    ],
  },
  {
    id: "own-members-9",
    title: "who joins is not let in by those that do not list it",
    patches: [
      {
        file: ADDRESSES,
        find: "theirs !== null && (cluster() === null || cluster() === theirs)",
        replace: "theirs !== null && cluster() === theirs",
      },
    ],
  },
  {
    id: "own-members-10",
    title: "a member that tells a new address is dialled at the old one",
    patches: [{ file: ADDRESSES, find: "        told.set(name, at)\n", replace: "" }],
  },
  {
    id: "own-members-11",
    title: "addresses that members tell are not written down",
    patches: [
      {
        file: ADDRESSES,
        find: "if (addresses !== null) driver.change(",
        replace: "if (addresses !== null && voters.length === 0) driver.change(",
      },
    ],
  },
]
