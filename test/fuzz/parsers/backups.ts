/** Backups: files that an operator brings from elsewhere. */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { BackupDamaged } from "../../../kv/backup/errors.ts"
import { aboutOf, checkBackup, openBackup, writeBackup, type ImageContents } from "../../../kv/backup/file.ts"
import { countText, timeText } from "../../../kv/cli/print.ts"
import { must, told, type Parser } from "../parser.ts"
import { base, image, mendImage } from "./store.ts"

let folder: string | null = null
const place = (name: string): string => join((folder ??= mkdtempSync(join(tmpdir(), "stepraft-fuzz-"))), name)

const FOOTER = 72
const lastLine = (before: Uint8Array): Buffer =>
  Buffer.from(`sha256 ${createHash("sha256").update(before).digest("hex")}\n`)
const whole = (before: Buffer): Buffer => Buffer.concat([before, lastLine(before)])
/** Where the image begins: after two lines. */
const imageAt = (input: Buffer): number => input.indexOf("\n", input.indexOf("\n") + 1) + 1

interface Read {
  readonly about: unknown
  readonly bytes: number
  readonly sha256: string
  readonly image: Buffer
  readonly contents: ImageContents
}
/** null: it is refused. */
const readBackup = async (path: string): Promise<Read | null> => {
  try {
    const backup = await openBackup(path)
    try {
      const contents = await checkBackup(path, backup)
      const pieces: Buffer[] = []
      for await (const piece of backup.image()) pieces.push(Buffer.from(piece))
      const { about, bytes, sha256 } = backup
      return { about, bytes, sha256, image: Buffer.concat(pieces), contents }
    } finally {
      await backup.close()
    }
  } catch (error) {
    if (error instanceof BackupDamaged) return null
    throw error
  }
}
const checkFile = async (input: Buffer): Promise<void> => {
  const path = place("backup")
  writeFileSync(path, input)
  const read = await readBackup(path)
  if (read === null) return
  const from = imageAt(input)
  must(read.bytes === input.length && read.image.equals(input.subarray(from, -FOOTER)), "its image is another")
  must(input.subarray(-FOOTER).equals(lastLine(input.subarray(0, -FOOTER))), "its checksum was not looked at")
  const about = read.about as ReturnType<typeof aboutOf>
  // It can be shown, on one line.
  const { cluster, node, voters, index, term, time } = about
  const shown = [cluster, node, voters.join(", "), countText(index), countText(term), timeText(time)].join(" ")
  must(!/\p{Cc}/u.test(shown), "what it says moves the cursor")
  must(told(aboutOf(cluster, node, voters, read.contents.base)) === told({ ...about }), "it says another entry")
  // Writing waits for the disk: one of eight.
  if ((input.at(-2) ?? 0) % 8 !== 0) return
  const other = place("written")
  rmSync(other, { force: true })
  const saved = await writeBackup(other, about, [read.image] as unknown as AsyncIterable<Uint8Array>)
  const again = readFileSync(other)
  must(saved.bytes === again.length && again.subarray(-FOOTER).toString().includes(saved.sha256), "its sum is wrong")
  must(told(await readBackup(other)).replaceAll(saved.sha256, "") !== "null", "written again it is refused")
  const line = input.subarray(input.indexOf("\n") + 1, from - 1).toString()
  if (line === JSON.stringify(about)) must(again.equals(input), "written again it is other bytes")
}
const mendFile = (input: Buffer): Buffer => {
  const from = imageAt(input)
  if (from < 2 || input.length < from + FOOTER) return input
  return whole(Buffer.concat([input.subarray(0, from), mendImage(input.subarray(from, -FOOTER))]))
}

const about = aboutOf("c1", "n1", ["n1", "n2", "n3"], base)
const file = (said: unknown, content: Buffer): Buffer =>
  whole(Buffer.concat([Buffer.from(`stepraft backup, format 1\n${JSON.stringify(said)}\n`), content]))
const FILE = "kv/backup/file.ts"
export const parsers: readonly Parser[] = [
  {
    name: "backups",
    about:
      "files of backups: refused as damaged, or what it says is true of its image and can be shown, and the same bytes when written again",
    files: [FILE, "kv/machine/image.ts", "interpreters/text.ts"],
    seeds: () => [
      file(about, image(false)),
      file(about, image(true)),
      file({ ...about, cluster: "", voters: [] }, image(false)),
      file({ ...about, time: 9e15 }, image(false)),
      file({ ...about, voters: [null] }, image(false)),
      file({ ...about, cluster: "\u001b[2J" }, image(false)),
    ],
    words: ['"voters"', '"\\u001b[2J"'],
    mend: mendFile,
    check: checkFile,
    faults: [
      {
        id: "fuzz-backups-1",
        title: "the checksum in the last line is not looked at",
        patches: [
          {
            file: FILE,
            find: 'if (hash.digest("hex") !== footer) throw',
            replace: 'if (hash.digest("hex") === "") throw',
          },
        ],
      },
      {
        id: "fuzz-backups-2",
        title: "the cluster's name may move the cursor",
        patches: [
          { file: FILE, find: "isPlainText(value.cluster, MOST_TEXT)", replace: "value.cluster.length <= MOST_TEXT" },
        ],
      },
      {
        id: "fuzz-backups-3",
        title: "the second line may be about another entry",
        patches: [{ file: FILE, find: "if (about.index !== index || about.term !== term ||", replace: "if (" }],
      },
    ],
  },
]
