import type { Seeded } from "./mutant.ts"

export const recovery: readonly Seeded[] = [
  {
    id: "bug-D1",
    title: "reading the log back forgets truncations, and revives what they cut off",
    patches: [
      {
        file: "interpreters/file/recovery.ts",
        find: "    if (truncateFrom !== null) this.truncate(truncateFrom)\n",
        replace: "    if (truncateFrom !== null && truncateFrom <= this.base.index) this.truncate(truncateFrom)\n",
      },
    ],
  },
  {
    id: "bug-D2",
    title: "a damaged record in the last segment is cut off like a torn one",
    patches: [
      {
        file: "interpreters/file/recovery.ts",
        find: `if (found.type === "damaged") throw damaged(at, found.reason)`,
        replace: `if (found.type === "damaged" && !isLast) throw damaged(at, found.reason)`,
      },
      {
        file: "interpreters/file/recovery.ts",
        find: `if (found.type === "torn") {`,
        replace: `if (found.type !== "whole") {`,
      },
    ],
  },
  {
    id: "bug-D4",
    title: "a node starts with commit index 0, whatever its log is based on",
    patches: [
      {
        file: "core/step.ts",
        find: "    commitIndex,\n    durability: {",
        replace: "    commitIndex: 0,\n    durability: {",
      },
    ],
  },
  {
    id: "bug-D5",
    title: "a snapshot that could not be made durable is reported as taken",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "      await makeDurable(live.db, base.index)\n",
        replace: "      await makeDurable(live.db, base.index).catch(() => undefined)\n",
      },
    ],
  },
  {
    id: "bug-D7",
    title: "a batch counts as durable once it is written, synced or not",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: "    file.writeDurable(frame, offset, (cause) => {",
        replace: "    file.write(frame, offset, (cause) => {",
      },
    ],
  },
]
