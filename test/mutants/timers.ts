import type { Seeded } from "./mutant.ts"

export const timers: readonly Seeded[] = [
  {
    id: "bug-G1",
    title: "a refused vote starts the election timeout anew",
    patches: [
      {
        file: "core/election.ts",
        find: `  note(turn, current ? "vote.refused.voted" : "vote.refused.staleLog")`,
        replace: `  if (state.role.type === "follower") waitForElection(turn)\n  note(turn, current ? "vote.refused.voted" : "vote.refused.staleLog")`,
      },
    ],
  },
  {
    id: "bug-G2",
    title: "a rejected append of the current leader does not start the election timeout anew",
    patches: [
      {
        file: "core/roles.ts",
        find: "  setElectionTimer(turn, state.settings.electionMin, state.settings.electionMin)\n  return follower",
        replace: "  return follower",
      },
      {
        file: "core/replication.ts",
        find: '  if (entries.length > 0) {\n    note(turn, "append.accepted")',
        replace:
          '  turn.effects.push({ type: "SetTimer", timer: "election", min: state.settings.electionMin, max: state.settings.electionMin })\n  if (entries.length > 0) {\n    note(turn, "append.accepted")',
      },
    ],
  },
  {
    id: "bug-G4",
    title: "no PreVote and no CheckQuorum unless asked for",
    patches: [
      { file: "core/settings.ts", find: "  preVote: true,", replace: "  preVote: false," },
      { file: "core/settings.ts", find: "  checkQuorum: true,", replace: "  checkQuorum: false," },
    ],
  },
  {
    id: "bug-G5",
    title: "a leader's election timer runs on, and it campaigns against itself",
    patches: [
      { file: "core/election.ts", find: `  if (role.type === "leader") return\n`, replace: "" },
      { file: "core/roles.ts", find: `  turn.effects.push({ type: "CancelTimer", timer: "election" })\n`, replace: "" },
    ],
  },
  {
    id: "bug-G7",
    title: "a leader whose disk hangs goes on leading",
    patches: [
      {
        file: "core/handover.ts",
        find: `  note(turn, "persist.stalled")\n  handOver(turn)\n`,
        replace: `  note(turn, "persist.stalled")\n`,
      },
    ],
  },
  {
    id: "bug-G8",
    title: "a follower that ends just where the log begins is sent snapshot after snapshot",
    patches: [
      {
        file: "core/snapshot.ts",
        find: "if (matchIndex >= turn.state.log.base.index) replicateFrom",
        replace: "if (matchIndex > turn.state.log.base.index) replicateFrom",
      },
    ],
  },
]
