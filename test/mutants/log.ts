import type { Seeded } from "./mutant.ts"

export const log: readonly Seeded[] = [
  {
    id: "bug-L1",
    title: "every append cuts the log at its first entry, whether that conflicts or not",
    patches: [
      {
        file: "core/replication.ts",
        find: `    if (here === entry.term) continue
    if (here !== undefined) {`,
        replace: `    if (here !== undefined) {`,
      },
    ],
  },
  {
    id: "bug-L2",
    title: "truncating and appending are two writes, and the first counts for both",
    patches: [
      {
        file: "core/durability.ts",
        find: `  const seq = durability.nextSeq
  turn.effects.push({`,
        replace: `  if (durability.truncateFrom !== null && unsaved) {
    turn.effects.push({ type: "Persist", seq: durability.nextSeq, hardState: null, truncateFrom: durability.truncateFrom, entries: [], base: null })
    durability.outstanding.push({ seq: durability.nextSeq, hardState: durability.queued, lastIndex: log.lastIndex })
    durability.nextSeq += 1
    durability.truncateFrom = null
  }
  const seq = durability.nextSeq
  turn.effects.push({`,
      },
    ],
  },
  {
    id: "bug-L4",
    title: "an append that starts before the trimmed log counts as a conflict: the whole log goes",
    patches: [
      {
        file: "core/replication.ts",
        find: "  // Entries before the base are committed, so they agree with every leader's.\n",
        replace: "  if (prevLogIndex < state.log.base.index) truncateLog(state, state.log.base.index + 1)\n",
      },
    ],
  },
  {
    id: "bug-L5",
    title: "a conflict rolls the log back to the commit index",
    patches: [
      {
        file: "core/replication.ts",
        find: "    follower.reply = rejectionAt(state, prevLogIndex)\n",
        replace:
          "    truncateLog(state, state.commitIndex + 1)\n    follower.reply = rejectionAt(state, prevLogIndex)\n",
      },
    ],
  },
  {
    id: "bug-L7",
    title: "a follower commits past the verified prefix of its log",
    patches: [
      {
        file: "core/replication.ts",
        find: "Math.min(leaderCommit, follower.verified)",
        replace: "Math.min(leaderCommit, state.log.lastIndex)",
      },
    ],
  },
  {
    id: "bug-L8",
    title: "a batch limited by bytes leaves out the entry that does not fit, and goes on",
    patches: [
      {
        file: "core/log.ts",
        find: "  slice(first: Index, last: Index, maxBytes: number): readonly Entry[] {\n",
        replace:
          "  slice(first: Index, last: Index, maxBytes: number): readonly Entry[] {\n    let bytes = 0\n    return this.whole(first, last, Number.POSITIVE_INFINITY).filter((entry, i) => {\n      if (i > 0 && bytes + entryBytes(entry) > maxBytes) return false\n      bytes += entryBytes(entry)\n      return true\n    })\n  }\n  private whole(first: Index, last: Index, maxBytes: number): readonly Entry[] {\n",
      },
    ],
  },
  {
    id: "bug-L10",
    title: "a deposed leader that knows no other one yet appends, with the new term",
    patches: [
      {
        file: "core/proposals.ts",
        find: `  if (leader === null) return knownLeader(state) === null ? "noLeader" : "notLeader"
  const bytes = bytesOf(payloads, state.settings.maxEntryBytes)
  if (bytes === null) return "tooLarge"
  if (state.spaceLow || !quorumHasRoom(state, leader)) return "spaceLow"
  if (state.log.lastIndex + payloads.length > MAX_INDEX) return "exhausted"
  if (leader.transfer !== null) return "transferring"`,
        replace: `  if (leader === null && state.role.type !== "follower") return "noLeader"
  if (leader === null && knownLeader(state) !== null) return "notLeader"
  const bytes = bytesOf(payloads, state.settings.maxEntryBytes)
  if (bytes === null) return "tooLarge"
  if (state.spaceLow) return "spaceLow"
  if (state.log.lastIndex + payloads.length > MAX_INDEX) return "exhausted"
  if (leader !== null && leader.transfer !== null) return "transferring"`,
      },
    ],
  },
  {
    id: "bug-L11",
    title: "a rejection always names the end of the log, and the leader believes it",
    patches: [
      {
        file: "core/replication.ts",
        find: `  return {
    prevLogIndex,
    conflictTerm,
    conflictIndex: Math.max(firstOfTerm(log, prevLogIndex, conflictTerm), commitIndex + 1),
  }
`,
        replace:
          "  return { prevLogIndex, conflictTerm: 0, conflictIndex: Math.max(log.lastIndex, commitIndex) + 1 }\n",
      },
      {
        file: "core/replication.ts",
        find: "  probeFrom(turn, progress, Math.min(agreed === undefined ? conflictIndex : agreed + 1, prevLogIndex))\n",
        replace: "  probeFrom(turn, progress, agreed === undefined ? conflictIndex : agreed + 1)\n",
      },
    ],
  },
  {
    id: "bug-L13",
    title: "a second leader of the same term is followed without a word",
    patches: [
      {
        file: "core/roles.ts",
        find: `if (!isOnlyLeader(turn, leader)) return null`,
        replace: `if (state.role.type === "leader") return null`,
      },
    ],
  },
]
