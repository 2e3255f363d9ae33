/** Backups, restores and recoveries: what a good engineer could get wrong in them. */
import type { Seeded } from "./mutant.ts"

export const backups: readonly Seeded[] = [
  {
    id: "own-backup-1",
    title: "a restored cluster gives out versions and fencing tokens again",
    patches: [
      { file: "kv/backup/directory.ts", find: "const index = base.index + skip", replace: "const index = base.index" },
    ],
  },
  {
    id: "own-backup-2",
    title: "a backup holds the keys of sessions, which go on in the new cluster",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "return this.pin(() => [])",
        replace: "return this.pin(sessionsForImage)",
      },
    ],
  },
  {
    id: "own-backup-3",
    title: "the checksum of a backup's file is not compared",
    patches: [
      { file: "kv/backup/file.ts", find: 'if (hash.digest("hex") !== footer)', replace: "if (footer === undefined)" },
    ],
  },
  {
    id: "own-recover-1",
    title: "the longest log is the best survivor, whatever its last term",
    patches: [
      { file: "kv/backup/recover.ts", find: "b.term - a.term || b.index - a.index", replace: "b.index - a.index" },
    ],
  },
  {
    id: "own-recover-2",
    title: "a damaged survivor is as good as a whole one",
    patches: [
      {
        file: "kv/backup/recover.ts",
        find: `  survivors.toSorted(
    (a, b) =>
      Number(a.damage.length > 0) - Number(b.damage.length > 0) ||
      Number(a.refused !== null) - Number(b.refused !== null) ||
      further(a.last, b.last),
  )
`,
        replace:
          "  survivors.toSorted((a, b) => Number(a.refused !== null) - Number(b.refused !== null) || further(a.last, b.last))\n",
      },
    ],
  },
  {
    id: "own-recover-3",
    title: "a recovery is carried out although a majority could answer",
    patches: [
      {
        file: "kv/backup/apply.ts",
        find: "if (isMajority(configuration, there))",
        replace: "if (answering.length > configuration.voters.length)",
      },
    ],
  },
  {
    id: "own-recover-4",
    title: "directories that are judged are not locked",
    patches: [
      {
        file: "kv/backup/apply.ts",
        find: "for (const { log } of directories) locks.push",
        replace: "for (const { log } of directories.slice(0, 1)) locks.push",
      },
    ],
  },
  {
    id: "own-recover-5",
    title: "a node starts in a directory that is in part the old and in part the new one",
    patches: [
      {
        file: "kv/node/node.ts",
        find: "try: () => requireFinished(directory)",
        replace: "try: () => Promise.resolve()",
      },
    ],
  },
  {
    id: "own-recover-6",
    title: "without room in the temporary folder a recovery waits for ever",
    patches: [
      { file: "kv/backup/node-directory.ts", find: "if (short !== null) reject", replace: "if (short === '') reject" },
    ],
  },
  {
    id: "own-recover-7",
    title: "a recovery that was interrupted begins again, from what is left in the directory",
    patches: [
      {
        file: "kv/backup/switch.ts",
        find: "if (stamp === null) return null",
        replace: "if (stamp !== '') return null",
      },
    ],
  },
  {
    id: "own-inspect-1",
    title: "the directory of a running node is opened",
    patches: [{ file: "kv/backup/node-directory.ts", find: "  await requireUnused(files, at.log)\n", replace: "" }],
  },
]
