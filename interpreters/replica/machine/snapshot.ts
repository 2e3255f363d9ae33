/**
 * A snapshot as bytes. Lines of text:
 *
 *     stepraft replica 1              the format
 *     {"id":…,"executor":{…}}         its name, and what the executor knows beside the state
 *     …                               the state, in slices (slices.ts); or *n and n bytes, of the machine's own codec
 *     !xxxxxxxx                       CRC-32 of all bytes before this line
 */
import { crc32 } from "../../payload.ts"
import { concat, textOf, utf8 } from "../../octets.ts"
import type { Codec } from "./definition.ts"
import type { ExecutorImage } from "./execution.ts"
import { LineReader, linesOf, makePacer, MalformedSlices } from "./slices.ts"
import type { Draft, Snapshot } from "./store.ts"

/**
 * 1 is the first format that was published: it and every later one is read for good. A new one is written from a feature level
 * on (kv/UPGRADES.md).
 */
const FORMAT = 1
const READABLE: ReadonlySet<number> = new Set([1])
const TITLE = /^stepraft replica (\d+)$/
/** Text is collected up to this many characters before it is written. */
const PIECE = 1 << 16
const READ = 1 << 18

/** These bytes are no snapshot of this program, or are incomplete or damaged. */
export class SnapshotDamaged extends Error {
  override readonly name = "SnapshotDamaged"
}

/** Nothing is wrong with it, and it must not be put aside as damaged. */
export class SnapshotOfOtherVersion extends Error {
  override readonly name = "SnapshotOfOtherVersion"
  constructor(found: string) {
    super(
      `the snapshot of the state machine is of format ${found}, and this version reads format ${[...READABLE].join(", ")}. Nothing was changed: start the version that wrote it, or a later one`,
    )
  }
}

export interface SnapshotContent<State> {
  readonly id: string
  readonly executor: ExecutorImage
  readonly state: State
}

type SnapshotHeader = Omit<SnapshotContent<never>, "state">
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
const isHeader = (value: unknown): value is SnapshotHeader => {
  if (!isRecord(value) || typeof value["id"] !== "string") return false
  const { executor } = value
  return (
    isRecord(executor) &&
    Number.isSafeInteger(executor["digest"]) &&
    [executor["position"], executor["sessionTable"], executor["leases"]].every(isRecord)
  )
}

/** Writes the whole snapshot, in slices; the caller commits. Throws StateNotPlain. */
export const writeSnapshot = async <State>(
  draft: Draft,
  { id, executor, state }: SnapshotContent<State>,
  codec: Codec<State> | undefined,
): Promise<void> => {
  const pace = makePacer()
  let sum = 0
  let text = ""
  const put = async (bytes: Uint8Array): Promise<void> => {
    sum = crc32(bytes, sum)
    await draft.write(bytes)
  }
  const flush = async (): Promise<void> => {
    const bytes = utf8(text)
    text = ""
    await put(bytes)
  }
  text += `stepraft replica ${FORMAT}\n${JSON.stringify({ id, executor })}\n`
  if (codec === undefined) {
    for (const line of linesOf(state)) {
      text += line
      if (text.length >= PIECE) await flush()
      const pause = pace()
      if (pause !== null) await pause
    }
  } else {
    const bytes = codec.encode(state)
    text += `*${bytes.length}\n`
    await flush()
    for (let at = 0; at < bytes.length; at += READ) await put(bytes.subarray(at, at + READ))
  }
  await flush()
  await draft.write(utf8(`!${sum.toString(16).padStart(8, "0")}\n`))
}

/** Reads and checks the whole snapshot, in slices. Throws SnapshotDamaged. */
export const readSnapshot = async <State>(
  snapshot: Snapshot,
  codec: Codec<State> | undefined,
): Promise<SnapshotContent<State>> => {
  const pace = makePacer()
  const lines = new LineReader()
  let sum = 0
  let rest: Uint8Array = new Uint8Array(0)
  let header: SnapshotHeader | null = null
  let lineNumber = 0
  let ended = false
  let own: { readonly wanted: number; got: number; readonly parts: Uint8Array[] } | null = null

  const line = (text: string): void => {
    lineNumber += 1
    if (lineNumber === 1) {
      const format = TITLE.exec(text)?.[1]
      if (format === undefined)
        throw new SnapshotDamaged(`it begins with ${JSON.stringify(text.slice(0, 40))}, which no snapshot does`)
      if (!READABLE.has(Number(format))) throw new SnapshotOfOtherVersion(format)
    } else if (lineNumber === 2) {
      const parsed: unknown = JSON.parse(text)
      if (!isHeader(parsed)) throw new SnapshotDamaged("its second line does not hold what belongs there")
      header = parsed
    } else if (text.startsWith("*")) own = { wanted: Number(text.slice(1)), got: 0, parts: [] }
    else lines.push(text)
  }
  try {
    for (let offset = 0; offset < snapshot.size && !ended;) {
      const bytes = await snapshot.read(offset, READ)
      if (bytes.length === 0) break
      offset += bytes.length
      let data: Uint8Array = rest.length === 0 ? bytes : concat([rest, bytes])
      for (;;) {
        const binary = own as { readonly wanted: number; got: number; readonly parts: Uint8Array[] } | null
        if (binary !== null && binary.got < binary.wanted) {
          const part = data.subarray(0, binary.wanted - binary.got)
          if (part.length === 0) break
          binary.parts.push(Uint8Array.from(part))
          binary.got += part.length
          sum = crc32(part, sum)
          data = data.subarray(part.length)
          continue
        }
        const end = data.indexOf(10)
        if (end < 0) break
        const bytesOfLine = data.subarray(0, end + 1)
        const text = textOf(data.subarray(0, end))
        data = data.subarray(end + 1)
        if (text.startsWith("!")) {
          if (text !== `!${sum.toString(16).padStart(8, "0")}`) throw new SnapshotDamaged("its checksum is wrong")
          ended = true
          if (data.length > 0 || offset < snapshot.size) throw new SnapshotDamaged("there are bytes after its end")
          break
        }
        sum = crc32(bytesOfLine, sum)
        line(text)
        const pause = pace()
        if (pause !== null) await pause
      }
      rest = data
    }
    if (!ended || header === null) throw new SnapshotDamaged("its end is missing")
    const found = own as { readonly parts: Uint8Array[] } | null
    const state = codec === undefined ? (lines.value() as State) : codec.decode(concat(found?.parts ?? []))
    return { ...(header as SnapshotHeader), state }
  } catch (error) {
    if (error instanceof SnapshotDamaged) throw error
    if (error instanceof MalformedSlices || error instanceof SyntaxError)
      throw new SnapshotDamaged(error.message, { cause: error })
    throw error
  }
}
