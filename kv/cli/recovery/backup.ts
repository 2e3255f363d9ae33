/** `stepraft snapshot …`: what the commands do and print. */
import type { Endpoint } from "../../client/endpoints.ts"
import { failure } from "../../../interpreters/cli/runtime.ts"
import { DEFAULT_SKIP, makeDirectory } from "../../backup/directory.ts"
import { BackupInterrupted, BackupRefused } from "../../backup/errors.ts"
import { checkBackup, openBackup, type About } from "../../backup/file.ts"
import { access, advised } from "../access.ts"
import { saveBackup } from "../../backup/save.ts"
import { countText, printRecord, timeText, type OutputFormat } from "../print.ts"

const linesOf = ({
  cluster,
  node,
  index,
  term,
  time,
  chain,
  voters,
}: About): readonly (readonly [string, string])[] => [
  ["cluster", `${cluster}, of ${voters.join(", ")}`],
  ["from", node],
  ["through", `entry ${countText(index)} of term ${countText(term)}, checksum ${chain}`],
  ["time", timeText(time)],
]

export interface Save {
  readonly endpoints: readonly Endpoint[]
  readonly file: string
  readonly local: boolean
  readonly timeout: number
  readonly output: OutputFormat
}
const TELL_MS = 1_000
export const save = async ({ endpoints, file, local, timeout, output }: Save): Promise<void> => {
  let told = performance.now()
  const progress = (bytes: number): void => {
    if (performance.now() - told < TELL_MS) return
    told = performance.now()
    process.stderr.write(`${countText(bytes)} bytes so far\n`)
  }
  let why: BackupInterrupted | BackupRefused | null = null
  for (const from of endpoints) {
    try {
      const { about, bytes, sha256 } = await saveBackup({ from, access: access(), file, local, timeout, progress })
      printRecord(output, { file, bytes, sha256, ...about }, [
        ["file", `${file}, ${countText(bytes)} bytes`],
        ...linesOf(about),
        ["sha256", sha256],
      ])
      return
    } catch (error) {
      if (error instanceof BackupRefused) {
        const { code, text } = error
        why = code === null ? error : new BackupRefused({ from: error.from, code, text: advised(code, text) })
      } else if (error instanceof BackupInterrupted) why = error
      else throw error
    }
  }
  throw why ?? failure("no node was given")
}

export const inspectFile = async (file: string, output: OutputFormat): Promise<void> => {
  const backup = await openBackup(file)
  try {
    const { keys, bytes, expiring } = await checkBackup(file, backup)
    const { about, sha256 } = backup
    printRecord(output, { file, bytes: backup.bytes, sha256, ...about, keys, dataBytes: bytes, expiring }, [
      ["file", `${file}, ${countText(backup.bytes)} bytes, whole`],
      ...linesOf(about),
      [
        "data",
        `${countText(keys)} keys, ${countText(bytes)} bytes of keys and values, ${countText(expiring)} with a deadline`,
      ],
      ["sha256", sha256],
    ])
  } finally {
    await backup.close()
  }
}

export interface Restore {
  readonly file: string
  readonly data: string
  readonly name: string
  readonly skip: number | null
  readonly output: OutputFormat
}
export const restore = async ({ file, data, name, skip, output }: Restore): Promise<void> => {
  const backup = await openBackup(file)
  try {
    // Checked completely before anything is made from it. The image itself holds its position.
    const { base: from } = await checkBackup(file, backup)
    const made = await makeDirectory({
      data,
      name,
      image: backup.image(),
      base: from,
      term: from.term,
      skip: skip ?? DEFAULT_SKIP,
    })
    printRecord(output, made, [
      ["made", `${data}, for node ${name}, the only voter of the new cluster ${made.cluster}`],
      ["from", `${file}: entry ${countText(from.index)} of cluster ${backup.about.cluster}, ${timeText(from.time)}`],
      ["goes on", `after entry ${countText(made.index)}`],
      [
        "next",
        `start it (stepraft serve --id ${name} --data ${data} …) with a certificate of its own and the file of users, which no backup holds; start the others with empty folders, and stepraft member add and promote each`,
      ],
    ])
  } finally {
    await backup.close()
  }
}
