import type { Seeded } from "./mutant.ts"

export const commit: readonly Seeded[] = [
  {
    id: "bug-C1",
    title: "an entry of an earlier term is committed by counting",
    patches: [
      {
        file: "core/commit.ts",
        find: "state.log.termAt(stored) !== state.currentTerm",
        replace: "state.log.termAt(stored) === undefined",
      },
    ],
  },
  {
    id: "bug-C2",
    title: "a rejection counts towards commitment, up to where it says the conflict starts",
    patches: [
      {
        file: "core/replication.ts",
        find: `  note(turn, "progress.backtracked")\n`,
        replace: `  note(turn, "progress.backtracked")\n  progress.matchIndex = Math.max(progress.matchIndex, Math.min(conflictIndex - 1, log.lastIndex))\n`,
      },
    ],
  },
  {
    id: "bug-C4",
    title: "the commit index of a follower can fall",
    patches: [
      {
        file: "core/replication.ts",
        find: "  if (commit > state.commitIndex) {",
        replace: "  if (commit !== state.commitIndex) {",
      },
    ],
  },
  {
    id: "bug-C5",
    title: "a leader counts its own entries before they are durable",
    patches: [
      {
        file: "core/commit.ts",
        find: "sameMember(member, state.self) ? state.durability.index :",
        replace: "sameMember(member, state.self) ? state.log.lastIndex :",
      },
    ],
  },
  {
    id: "bug-C7",
    title: "a quorum is one short",
    patches: [
      { file: "core/quorum.ts", find: "Math.floor(size / 2) + 1", replace: "Math.max(1, Math.floor(size / 2))" },
    ],
  },
  {
    id: "bug-C8",
    title: "the search for what to commit stops at the first entry of an earlier term",
    patches: [
      {
        file: "core/commit.ts",
        find: "state.log.termAt(stored) !== state.currentTerm",
        replace: "state.log.termAt(state.commitIndex + 1) !== state.currentTerm",
      },
    ],
  },
]
