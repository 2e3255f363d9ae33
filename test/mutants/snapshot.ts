import type { Seeded } from "./mutant.ts"

export const snapshot: readonly Seeded[] = [
  {
    id: "bug-S1",
    title: "an older snapshot is installed over a newer state",
    patches: [
      {
        file: "core/install.ts",
        find: `state.machine === "ready" ? snapshot.index > state.commitIndex :`,
        replace: `state.machine === "ready" ? snapshot.index > 0 :`,
      },
    ],
  },
  {
    id: "bug-S2",
    title: "the own snapshot, finished late, takes the base of the log back",
    patches: [
      {
        file: "core/snapshot.ts",
        find: `  if (through <= state.log.base.index) {
    note(turn, "snapshot.stale")
    return
  }`,
        replace: `  if (through < state.log.base.index) {
    trimLog(state, base)
    return
  }`,
      },
    ],
  },
  {
    id: "bug-S4",
    title: "the base of a trimmed log holds the latest configuration, committed or not",
    patches: [
      {
        file: "core/snapshot.ts",
        find: "    configuration: configurationAt(state, index),\n",
        replace: "    configuration: state.configurations.at(-1)?.configuration ?? configurationAt(state, index),\n",
      },
    ],
  },
  {
    id: "bug-S5",
    title: "the term of a reply to a snapshot is not looked at",
    patches: [
      {
        file: "core/term.ts",
        find: `    case "InstallSnapshot":
    case "InstallSnapshotReply":
    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposal":
    case "TimeoutNow":
      adoptTermOf(turn, message)
      return true`,
        replace: `    case "InstallSnapshot":
    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposal":
    case "TimeoutNow":
      adoptTermOf(turn, message)
      return true
    case "InstallSnapshotReply":
      return true`,
      },
    ],
  },
  {
    id: "bug-S7",
    title: "the term before a trimmed entry is sent, and taken, as 0",
    patches: [
      {
        file: "core/snapshot.ts",
        find: "if (nextIndex <= log.base.index) return true",
        replace: "if (nextIndex < 1) return true",
      },
      {
        file: "core/replication.ts",
        find: "state.log.slice(progress.nextIndex, sendThrough(state, leader, progress)",
        replace:
          "state.log.slice(Math.max(progress.nextIndex, state.log.base.index + 1), sendThrough(state, leader, progress)",
      },
      {
        file: "core/replication.ts",
        find: "state.log.termAt(prevLogIndex) !== prevLogTerm",
        replace: "(state.log.termAt(prevLogIndex) ?? 0) !== prevLogTerm",
      },
    ],
  },
  {
    id: "bug-S8",
    title: "the log is trimmed through what was applied, not through what the snapshot made durable",
    patches: [
      {
        file: "core/snapshot.ts",
        find: "Math.min(base.index, state.applied, state.durability.index,",
        replace: "Math.min(state.applied, state.durability.index,",
      },
    ],
  },
  {
    id: "bug-S8b",
    title: "the state machine reports its snapshot before it is durable",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "      await makeDurable(live.db, base.index)\n",
        replace: "      void makeDurable(live.db, base.index)\n",
      },
    ],
  },
  {
    id: "bug-S10",
    title: "entries are applied while a snapshot is being installed",
    patches: [
      {
        file: "core/install.ts",
        find: `  if (
    install?.phase === "complete" &&
    state.restoring === null &&
    (state.applying === state.applied || state.machine === "rebuild")
  ) {
`,
        replace: '  if (install?.phase === "complete" && state.restoring === null) {\n',
      },
      {
        file: "core/commit.ts",
        find: '  if (state.machine !== "ready" || state.restoring !== null || state.applying !== state.applied) return\n',
        replace: '  if (state.machine !== "ready" || state.applying !== state.applied) return\n',
      },
    ],
  },
]
