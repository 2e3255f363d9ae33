/** Reading the log back: one segment in memory at a time, every record checked, nothing acknowledged dropped. */
import { join } from "node:path"
import type { Entry, HardState, LogBase } from "../../core/index.ts"
import { MalformedBytes, ByteReader } from "../bytes.ts"
import type { Stored } from "../contract.ts"
import { errnoOf, LogCorrupted, LogCutShort, SegmentMissing } from "./errors.ts"
import { LOG_FRAME_HEADER, inspectFrame, type PersistRecord, type LogSummary } from "./frame.ts"
import { datasync, readFully, type Files, type OpenFile } from "./files.ts"
import { asSyncFailed, type DirectoryFormat } from "./identity.ts"
import { encodeHead, readHead, segmentNumber, segmentPath, type ReadPersist, type Segment } from "./segment.ts"

/**
 * The log as it is built from its records. It may start with a gap: the first segment kept can begin after entries that
 * a later base covers. At the end the gap must be closed.
 */
export class Rebuilt {
  hardState: HardState
  base: LogBase
  private first: number
  private entries: Entry[] = []

  constructor({ hardState, base, lastIndex }: LogSummary) {
    this.hardState = hardState
    this.base = base
    this.first = lastIndex + 1
  }
  get lastIndex(): number {
    return this.first + this.entries.length - 1
  }
  /** Entries are added before a base that covers them, and after a base that they follow. */
  apply({ hardState, truncateFrom, entries, base }: PersistRecord): void {
    if (hardState !== null) this.hardState = hardState
    if (truncateFrom !== null) this.truncate(truncateFrom)
    const start = entries[0]?.index
    const follows = base !== null && (start === undefined || start > base.index)
    if (base !== null && follows) this.trim(base)
    if (start !== undefined) {
      if (start > this.lastIndex + 1) throw new MalformedBytes(`entry ${start} follows entry ${this.lastIndex}`)
      this.truncate(start)
      for (const entry of entries) this.entries.push(entry)
    }
    if (base !== null && !follows) this.trim(base)
  }
  private truncate(from: number): void {
    if (from < this.first) this.first = from
    this.entries.length = Math.max(0, Math.min(this.entries.length, from - this.first))
  }
  private trim(base: LogBase): void {
    if (base.index < this.base.index) return
    this.base = base
    if (base.index < this.first) return
    this.entries = this.entries.slice(base.index + 1 - this.first)
    this.first = base.index + 1
  }
  summary(): LogSummary {
    return { hardState: this.hardState, base: this.base, lastIndex: this.lastIndex }
  }
  stored(): Stored {
    const next = this.base.index + 1
    if (next < this.first) throw new MalformedBytes(`entries ${next} to ${this.first - 1} are missing`)
    if (next > this.first) throw new MalformedBytes(`entry ${this.first} follows a base at ${this.base.index}`)
    return { hardState: this.hardState, base: this.base, entries: this.entries }
  }
}

export interface Recovery {
  readonly stored: Stored
  readonly summary: LogSummary
  readonly segments: Segment[]
  /** The last segment, cut to its last whole frame, open for writing. */
  readonly file: OpenFile
}

export const recover = async (
  files: Files,
  directory: string,
  { first, last, synced }: DirectoryFormat,
  reading?: (bytes: number, file: number, files: number) => void,
): Promise<Recovery> => {
  await removeUnlisted(files, directory, first, last)
  const segments: Segment[] = []
  let rebuilt: Rebuilt | undefined
  for (let number = first; ; number++) {
    const path = segmentPath(directory, number)
    reading?.(
      segments.reduce((sum, one) => sum + one.bytes, 0),
      number - first + 1,
      last - first + 1,
    )
    const file = await files.open(path, number === last ? "modify" : "read").catch((error: unknown) => {
      throw errnoOf(error) === "ENOENT" ? new SegmentMissing({ file: path, first, last }) : error
    })
    try {
      const bytes = Buffer.allocUnsafeSlow(await file.size())
      const got = await readFully(file, bytes, 0)
      const read = readSegment(path, number, bytes.subarray(0, got), number === last, rebuilt)
      rebuilt = read.rebuilt
      if (number === synced.segment && read.segment.bytes < synced.bytes)
        throw new LogCutShort({ file: path, found: read.segment.bytes, synced: synced.bytes })
      segments.push(read.segment)
      if (number === last) {
        const stored = finish(path, read.segment.bytes, rebuilt)
        if (read.segment.bytes < got) await file.truncate(read.segment.bytes)
        // What is read back may never have been synced; from now on it counts as durable.
        await asSyncFailed(path, datasync(file))
        return { stored, summary: rebuilt.summary(), segments, file }
      }
    } catch (error) {
      await file.close()
      throw error
    }
    await file.close()
  }
}

/** A crash came between creating or removing a segment and recording that in FORMAT. */
const removeUnlisted = async (files: Files, directory: string, first: number, last: number): Promise<void> => {
  for (const name of await files.list(directory)) {
    const number = segmentNumber(name)
    if (number !== undefined && (number < first || number > last)) await files.remove(join(directory, name))
  }
}

const readSegment = (
  path: string,
  number: number,
  bytes: Buffer,
  isLast: boolean,
  before: Rebuilt | undefined,
): { readonly rebuilt: Rebuilt; readonly segment: Segment } => {
  const damaged = (offset: number, reason: string): LogCorrupted => new LogCorrupted({ file: path, offset, reason })
  let rebuilt = before
  let head = 0
  let at = 0
  let highest = 0
  let read: ReadPersist | null = null
  while (at < bytes.length) {
    const found = inspectFrame(bytes, number, at)
    if (found.type === "damaged") throw damaged(at, found.reason)
    if (found.type === "torn") {
      // An earlier segment was synced to its end before the next one was made.
      if (isLast) break
      throw damaged(at, "the record is not complete")
    }
    try {
      const r = new ByteReader(bytes, at + LOG_FRAME_HEADER, found.end)
      if (at === 0) {
        const { summary, persist } = readHead(r)
        rebuilt = startOf(summary, before)
        read = persist
      } else if (rebuilt !== undefined && read !== null) highest = Math.max(highest, readBody(r, read, rebuilt))
    } catch (error) {
      throw error instanceof MalformedBytes ? damaged(at, error.message) : error
    }
    if (at === 0) head = found.end
    at = found.end
  }
  // The head was synced before FORMAT listed the segment.
  if (rebuilt === undefined || at === 0) throw damaged(0, "the head of the segment is missing")
  return { rebuilt, segment: { number, head, bytes: at, highest } }
}

/** Throws MalformedBytes if the segment before does not lead to this one. */
export const startOf = (head: LogSummary, before: Rebuilt | undefined): Rebuilt => {
  if (before === undefined) return new Rebuilt(head)
  if (!encodeHead(0, before.summary()).equals(encodeHead(0, head))) {
    throw new MalformedBytes(
      `it continues a log that ends at ${head.lastIndex}; the segment before it, which ends at ${before.lastIndex}, does not lead there`,
    )
  }
  return before
}

/** The highest index of the entries in it. */
const readBody = (r: ByteReader, read: ReadPersist, rebuilt: Rebuilt): number => {
  let highest = 0
  for (let change = read(r); change !== null; change = read(r)) {
    rebuilt.apply(change)
    highest = Math.max(highest, change.entries.at(-1)?.index ?? 0)
  }
  return highest
}

const finish = (path: string, offset: number, rebuilt: Rebuilt): Stored => {
  try {
    return rebuilt.stored()
  } catch (error) {
    throw error instanceof MalformedBytes ? new LogCorrupted({ file: path, offset, reason: error.message }) : error
  }
}
