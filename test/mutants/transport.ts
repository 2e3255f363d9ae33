import type { Seeded } from "./mutant.ts"

export const transport: readonly Seeded[] = [
  {
    id: "bug-T1",
    title: "an old rejection takes nextIndex back below what is matched",
    patches: [
      {
        file: "core/replication.ts",
        find: `  const stale =
    progress.mode.type === "probe" ? prevLogIndex !== progress.nextIndex - 1 : prevLogIndex <= progress.matchIndex
`,
        replace: "  const stale = prevLogIndex >= progress.nextIndex\n",
      },
      {
        file: "core/progress.ts",
        find: "  progress.nextIndex = Math.max(nextIndex, progress.matchIndex + 1)\n",
        replace: "  progress.nextIndex = nextIndex\n",
      },
    ],
  },
  {
    id: "bug-T2",
    title: "a first chunk that comes twice starts the install over",
    patches: [
      {
        file: "core/install.ts",
        find: "if (follower.install?.snapshot.id !== snapshot.id) {\n    if (offset !== 0)",
        replace: "if (follower.install?.snapshot.id !== snapshot.id || offset === 0) {\n    if (offset !== 0)",
      },
    ],
  },
  {
    id: "bug-T4",
    title: "an answer of a server that is no member any more is not expected",
    patches: [
      {
        file: "core/replication.ts",
        find: `  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, from)
  if (leader === null || progress === undefined) return null
  progress.active = true`,
        replace: `  const leader = asLeader(turn.state)
  if (leader === null) return null
  const progress = progressOf(leader, from)!
  progress.active = true`,
      },
    ],
  },
  {
    id: "bug-T5",
    title: "the term of a short answer (no read index) is not looked at",
    patches: [
      {
        file: "core/term.ts",
        find: `    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposal":
    case "TimeoutNow":
      adoptTermOf(turn, message)
      return true`,
        replace: `    case "ReadIndex":
    case "ForwardProposal":
    case "TimeoutNow":
      adoptTermOf(turn, message)
      return true
    case "ReadIndexReply":
      return true`,
      },
    ],
  },
]
