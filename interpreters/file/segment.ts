/** A segment is one file of the log: a head frame with the summary of everything before it, then frames of Persists. */
import { join } from "node:path"
import { MalformedBytes, readBase, writeBase, ByteWriter, type ByteReader } from "../bytes.ts"
import { beginFrame, readHardState, readPersist, sealFrame, writeHardState, type LogSummary } from "./frame.ts"
import { datasync, writeFully, type Files, type OpenFile } from "./files.ts"
import { LOG_FORMAT, asSyncFailed } from "./identity.ts"

export interface Segment {
  readonly number: number
  /** Sizes of its head and of the whole file, in bytes. */
  readonly head: number
  bytes: number
  /** The highest index of its entries: once the base has reached it, the segment is not needed. */
  highest: number
}

const NAME = /^wal-(\d{12})$/
export const segmentPath = (directory: string, number: number): string =>
  join(directory, `wal-${String(number).padStart(12, "0")}`)
/** undefined: not a segment. */
export const segmentNumber = (name: string): number | undefined => {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** How the records of a segment are read, by its own format. */
const READERS: Readonly<
  Record<number, { readonly summary: (r: ByteReader) => LogSummary; readonly persist: ReadPersist }>
> = {
  5: { summary: (r) => ({ hardState: readHardState(r), base: readBase(r), lastIndex: r.u48() }), persist: readPersist },
}
/** The next Persist of a frame's body, or null at its end. */
export type ReadPersist = typeof readPersist

const TITLE = /^stepraft log, format (\d+)$/
export const encodeHead = (number: number, { hardState, base, lastIndex }: LogSummary): Buffer => {
  const w = new ByteWriter()
  beginFrame(w)
  w.text(`stepraft log, format ${LOG_FORMAT}`)
  writeHardState(w, hardState)
  writeBase(w, base)
  w.u48(lastIndex)
  return sealFrame(w, number, 0)
}
export const readHead = (r: ByteReader): { readonly summary: LogSummary; readonly persist: ReadPersist } => {
  const read = READERS[Number(TITLE.exec(r.text())?.[1])]
  if (read === undefined) throw new MalformedBytes("this is not the head of a segment that this version reads")
  return { summary: read.summary(r), persist: read.persist }
}

/**
 * Creates a segment, durable with its name. It belongs to the log only once FORMAT lists it: a crash before that leaves
 * a file that the next start removes, and a second attempt overwrites it.
 */
export const createSegment = async (
  files: Files,
  directory: string,
  number: number,
  summary: LogSummary,
): Promise<{ readonly file: OpenFile; readonly segment: Segment }> => {
  const path = segmentPath(directory, number)
  const head = encodeHead(number, summary)
  const file = await files.open(path, "create")
  try {
    await writeFully(file, head, 0)
    await asSyncFailed(path, datasync(file))
    await asSyncFailed(directory, files.syncDirectory(directory))
  } catch (error) {
    await file.close()
    throw error
  }
  return { file, segment: { number, head: head.length, bytes: head.length, highest: 0 } }
}
