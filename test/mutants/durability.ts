import type { Seeded } from "./mutant.ts"

export const durability: readonly Seeded[] = [
  {
    id: "bug-V1",
    title: "votes are asked for before the own vote is durable",
    patches: [
      {
        file: "core/election.ts",
        find: '  if (role.type === "candidate" && !isVoteDurable(state, self)) return\n',
        replace: "",
      },
      {
        file: "core/election.ts",
        find: "  role.votes[self.name] = true\n",
        replace: '  if (role.type === "preCandidate") role.votes[self.name] = true\n',
      },
      {
        file: "core/election.ts",
        find: '  if ((role.type !== "candidate" && role.type !== "preCandidate") || !role.asked) return\n',
        replace: `  if ((role.type !== "candidate" && role.type !== "preCandidate") || !role.asked) return
  const { hardState } = state.durability
  if (role.type === "candidate" && hardState.term === state.currentTerm && sameMember(hardState.vote, state.self))
    role.votes[state.self.name] = true
`,
      },
    ],
  },
  {
    id: "bug-V2",
    title: "term and vote are two writes, and the first counts for both",
    patches: [
      {
        file: "core/durability.ts",
        find: `  const seq = durability.nextSeq
  turn.effects.push({`,
        replace: `  if (votedFor !== null && currentTerm !== durability.queued.term) {
    turn.effects.push({ type: "Persist", seq: durability.nextSeq, hardState: { term: currentTerm, vote: null }, truncateFrom: null, entries: [], base: null })
    durability.outstanding.push({ seq: durability.nextSeq, hardState, lastIndex: durability.outstanding.at(-1)?.lastIndex ?? durability.index })
    durability.nextSeq += 1
  }
  const seq = durability.nextSeq
  turn.effects.push({`,
      },
    ],
  },
  {
    id: "bug-V4",
    title: "a directory whose FORMAT is missing is taken for an empty one",
    patches: [
      {
        file: "interpreters/file/index.ts",
        find: "  if (names.some((other) => segmentNumber(other) !== undefined)) {",
        replace: '  if (names.includes("") && names.some((other) => segmentNumber(other) !== undefined)) {',
      },
    ],
  },
  {
    id: "bug-V5",
    title: "a write that failed counts as done",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: "        this.refused(new SyncFailed({ file: path, cause }))",
        replace: "        this.done()",
      },
    ],
  },
  {
    id: "bug-P1",
    title: "a granted vote leaves with an earlier write of the same term",
    patches: [
      {
        file: "core/vote.ts",
        find: "  if (pendingVote === null || !isVoteDurable(state, pendingVote)) return\n",
        replace: "  if (pendingVote === null || state.durability.hardState.term !== state.currentTerm) return\n",
      },
    ],
  },
  {
    id: "bug-P2",
    title: "the answer to a heartbeat acknowledges entries that are still being written",
    patches: [
      {
        file: "core/replication.ts",
        find: "  const matchIndex = Math.min(verified, durability.index)\n",
        replace:
          "  const matchIndex = round > follower.reportedRound ? verified : Math.min(verified, durability.index)\n",
      },
    ],
  },
  {
    id: "bug-P3",
    title: "a truncation leaves the writes under way as they were",
    patches: [
      {
        file: "core/durability.ts",
        find: "  for (const persist of durability.outstanding) persist.lastIndex = Math.min(persist.lastIndex, index - 1)\n",
        replace: "",
      },
    ],
  },
  {
    id: "bug-P4",
    title: "a candidate counts its own vote before it is durable",
    patches: [
      {
        file: "core/election.ts",
        find: '  if (role.type === "candidate" && !isVoteDurable(state, self)) return\n',
        replace: "",
      },
    ],
  },
  {
    id: "bug-P5",
    title: "that a lease is over is told after the reads of the same batch",
    patches: [
      {
        file: "interpreters/driver/driver.ts",
        find: `events.unshift({ type: "TimerExpired", timer: "lease" })`,
        replace: `events.push({ type: "TimerExpired", timer: "lease" })`,
      },
    ],
  },
]
