import type { Seeded } from "./mutant.ts"

export const reads: readonly Seeded[] = [
  {
    id: "bug-R1",
    title: "a read index is given before an entry of the leader's term is committed",
    patches: [
      {
        file: "core/reads.ts",
        find: "index: Math.max(turn.state.commitIndex, leader.termStart),",
        replace: "index: turn.state.commitIndex,",
      },
    ],
  },
  {
    id: "bug-R2",
    title: "a leader answers reads without asking a quorum",
    patches: [
      {
        file: "core/reads.ts",
        find: `else if (role.type === "leader" && holdsLease(state, role)) {`,
        replace: `else if (role.type === "leader" && state.commitIndex >= role.termStart) {`,
      },
    ],
  },
  {
    id: "bug-R4",
    title: "a lease is counted from the latest round sent, not from the one that was answered",
    patches: [{ file: "core/lease.ts", find: "since: leader.confirmedRound }", replace: "since: leader.round }" }],
  },
  {
    id: "bug-R4b",
    title: "the driver counts a lease from the answer",
    patches: [
      {
        file: "interpreters/driver/driver.ts",
        find: "(rounds.get(round) ?? Number.NEGATIVE_INFINITY) + effect.min",
        replace: "now() + effect.min",
      },
    ],
  },
  {
    id: "bug-R5",
    title: "an append of an earlier term counts as contact with a leader",
    patches: [
      {
        file: "core/term.ts",
        find: `    case "AppendEntries":
      note(turn, "term.staleRequestAnswered")`,
        replace: `    case "AppendEntries":
      if (turn.state.role.type === "follower") {
        turn.state.role.stickiness = "active"
        const { electionMin } = turn.state.settings
        turn.effects.push({ type: "SetTimer", timer: "election", min: electionMin, max: electionMin })
      }
      note(turn, "term.staleRequestAnswered")`,
      },
    ],
  },
  {
    id: "bug-R7",
    title: "a leader that is alone reads at once, at the commit index that it found at its start",
    patches: [
      {
        file: "core/reads.ts",
        find: "index: Math.max(turn.state.commitIndex, leader.termStart),",
        replace:
          "index: Object.keys(leader.progress).length === 0 ? turn.state.commitIndex : Math.max(turn.state.commitIndex, leader.termStart),",
      },
    ],
  },
  {
    id: "bug-R8",
    title: "a read waits for the commit index and is answered from what has been applied",
    patches: [
      {
        file: "core/reads.ts",
        find: "  const { applied } = state\n",
        replace: "  const applied = state.commitIndex\n",
      },
    ],
  },
  {
    id: "bug-R8b",
    title: "the state machine reports entries as applied before reads can see them",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "      if (await this.advance(entries, this.writeAfter === 0)) this.handlers?.applied(this.base.index)\n",
        replace:
          "      this.handlers?.applied(entries.at(-1)?.index ?? 0)\n      await this.advance(entries, this.writeAfter === 0)\n",
      },
    ],
  },
]
