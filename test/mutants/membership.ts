import type { Seeded } from "./mutant.ts"

export const membership: readonly Seeded[] = [
  {
    id: "bug-M1",
    title: "a change is taken before the leader has committed an entry of its term",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: `  if (state.commitIndex < leader.termStart) return "notReady"\n`,
        replace: "",
      },
    ],
  },
  {
    id: "bug-M1b",
    title: "one voter more or less goes without a joint configuration, and before an entry of the term is committed",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: `  if (state.commitIndex < leader.termStart) return "notReady"\n`,
        replace: "",
      },
      {
        file: "core/reconfiguration.ts",
        find: "outgoing: sameMembers(now.voters, voters) ? [] : now.voters",
        replace: "outgoing: Math.abs(now.voters.length - voters.length) < 2 ? [] : now.voters",
      },
    ],
  },
  {
    id: "bug-M2",
    title: "a joint quorum is a majority of all voters together",
    patches: [
      {
        file: "core/quorum.ts",
        find: "  const value = majorityValue(voters, valueOf)\n  return outgoing.length === 0 ? value : Math.min(value, majorityValue(outgoing, valueOf))\n",
        replace:
          "  return majorityValue([...voters, ...outgoing.filter(({ name }) => voters.every((voter) => voter.name !== name))], valueOf)\n",
      },
    ],
  },
  {
    id: "bug-M4",
    title: "a joint quorum is a majority of the new voters alone",
    patches: [
      {
        file: "core/quorum.ts",
        find: "outgoing.length === 0 ? value : Math.min(value, majorityValue(outgoing, valueOf))",
        replace: "outgoing.length === 0 ? value : value",
      },
    ],
  },
  {
    id: "bug-M5",
    title: "a configuration is in force once it is committed, not once it is in the log",
    patches: [
      {
        file: "core/membership.ts",
        find: "lastConfiguration(state)?.configuration ?? emptyConfiguration",
        replace:
          "state.configurations.findLast(({ index }) => index <= state.commitIndex)?.configuration ?? emptyConfiguration",
      },
    ],
  },
  {
    id: "bug-M7",
    title: "a learner that was promoted refuses to vote until it knows",
    patches: [
      {
        file: "core/election.ts",
        find: "  if (configurationOf(state).voters.length === 0) {\n    // A server",
        replace: "  if (!isVoter(configurationOf(state), state.self)) {\n    // A server",
      },
      {
        file: "core/election.ts",
        find: `  if (configurationOf(state).voters.length === 0) {
    note(turn, "vote.refused.amnesiac")
    return
  }
  const possible`,
        replace: `  if (!isVoter(configurationOf(state), state.self)) {
    note(turn, "vote.refused.amnesiac")
    return
  }
  const possible`,
      },
    ],
  },
  {
    id: "bug-M8",
    title: "only the leader that entered a joint configuration leaves it",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: "    inForce.index > state.commitIndex ||\n",
        replace: `    inForce.index > state.commitIndex ||
    inForce.index < leader.termStart ||
`,
      },
    ],
  },
  {
    id: "bug-M10",
    title: "a vote request of a higher term is heard although a leader was heard just now",
    patches: [
      {
        file: "core/term.ts",
        find: `      if (!message.transfer && isSticky(turn.state)) {
        note(turn, "vote.refused.sticky")
        return false
      }
`,
        replace: "",
      },
    ],
  },
]
