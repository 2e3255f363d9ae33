/**
 * A frame holds the Persists of one group commit, and is stored whole or not at all. It fills whole 512-byte sectors,
 * so a torn write never touches a sector that holds acknowledged data.
 *
 *   length of the frame | mask, sparse sectors | checksum of the body | checksum of this header | body | 0xFF …
 *
 * Checksums are seeded with segment and offset, so a frame in the wrong place is not valid there. The body is a
 * sequence of Persists; each is a byte of flags and the fields that the flags announce.
 */
import { crc32 } from "node:zlib"
import { flawOfPersist, origin } from "../../core/index.ts"
import type { Entry, HardState, LogBase, Persist } from "../../core/index.ts"
import {
  MalformedBytes,
  NumberOutOfDomain,
  readBase,
  readEntries,
  readMember,
  writeBase,
  writeEntries,
  writeMember,
  type ByteReader,
  type ByteWriter,
} from "../bytes.ts"

export const SECTOR = 512
export const LOG_FRAME_HEADER = 16
const PADDING = Buffer.alloc(SECTOR, 0xff)

const seed = Buffer.alloc(12)
const seedOf = (segment: number, offset: number): number => {
  seed.writeUIntBE(segment, 0, 6)
  seed.writeUIntBE(offset, 6, 6)
  return crc32(seed)
}

/**
 * Counts sectors of a frame, after the first, in which at most `limit` bytes are not `blank`.
 *
 * A sector that a torn write never reached is all zeros. *Content* of zeros must not look like that, so a body with
 * such sectors is masked: every byte is XORed with a value that fills no sector. A sector that is nearly zero counts as
 * zero, so that a few flipped bits cannot make damage look like a torn write. If no mask is possible, the header says
 * how many such sectors there are.
 */
const countSparse = (bytes: Buffer, from: number, to: number, limit: number, blank = 0): number => {
  let count = 0
  for (let at = from + SECTOR; at < to; at += SECTOR) {
    let set = 0
    for (let i = at; i < at + SECTOR && set <= limit; i++) if (bytes[i] !== blank) set++
    if (set <= limit) count++
  }
  return count
}
const NEARLY = 3

const maskFor = (frame: Buffer): number => {
  for (let mask = 0; mask < 256; mask++) if (countSparse(frame, 0, frame.length, NEARLY, mask) === 0) return mask
  return 0
}
/** Applying the mask twice removes it. */
const cover = (bytes: Buffer, from: number, to: number, mask: number): void => {
  if (mask !== 0) for (let i = from; i < to; i++) bytes[i] = (bytes[i] ?? 0) ^ mask
}
const MASK_AT = 4

export const beginFrame = (w: ByteWriter): void => {
  for (let i = 0; i < LOG_FRAME_HEADER / 4; i++) w.u32(0)
}
/** Fills up the last sector and writes the header; can be repeated for another place. */
export const sealFrame = (w: ByteWriter, segment: number, offset: number): Buffer => {
  const over = w.length % SECTOR
  if (over > 0) w.raw(PADDING.subarray(over))
  const start = seedOf(segment, offset)
  const frame = w.view()
  cover(frame, LOG_FRAME_HEADER, frame.length, frame.readUInt8(MASK_AT))
  const mask = maskFor(frame)
  cover(frame, LOG_FRAME_HEADER, frame.length, mask)
  w.patchU32(0, frame.length)
  w.patchU32(MASK_AT, countSparse(frame, 0, frame.length, NEARLY))
  frame.writeUInt8(mask, MASK_AT)
  w.patchU32(8, crc32(frame.subarray(LOG_FRAME_HEADER), start))
  w.patchU32(12, crc32(frame.subarray(0, LOG_FRAME_HEADER - 4), start))
  return frame
}

export type FrameFound =
  | { readonly type: "whole"; readonly end: number }
  /** A crash in the middle of the last write leaves this; it was never acknowledged. */
  | { readonly type: "torn" }
  | { readonly type: "damaged"; readonly reason: string }

/** There is a header of a frame here, and its checksum says that it belongs here. */
export const isFrameHeader = (bytes: Buffer, segment: number, offset: number): boolean =>
  offset + LOG_FRAME_HEADER <= bytes.length &&
  crc32(bytes.subarray(offset, offset + 12), seedOf(segment, offset)) === bytes.readUInt32BE(offset + 12)

/**
 * Reads the frame at `offset` of a segment, which is before the segment's end. Removes the mask of a whole frame, so
 * call it once.
 */
export const inspectFrame = (bytes: Buffer, segment: number, offset: number): FrameFound => {
  if (isFrameHeader(bytes, segment, offset)) {
    const end = offset + bytes.readUInt32BE(offset)
    if (end > bytes.length) return { type: "torn" }
    const start = offset + LOG_FRAME_HEADER
    if (crc32(bytes.subarray(start, end), seedOf(segment, offset)) === bytes.readUInt32BE(offset + 8)) {
      cover(bytes, start, end, bytes.readUInt8(offset + MASK_AT))
      return { type: "whole", end }
    }
    const missing = countSparse(bytes, offset, end, 0) > bytes.readUIntBE(offset + MASK_AT + 1, 3)
    if (missing && end === bytes.length) return { type: "torn" }
    return { type: "damaged", reason: "the checksum does not fit the record" }
  }
  const sector = bytes.subarray(offset, offset + SECTOR)
  if (sector.length < SECTOR) return { type: "torn" }
  // The sector with the header was never written: the last write, unless another frame was written after it.
  if (sector.every((byte) => byte === 0)) {
    for (let at = offset + SECTOR; at < bytes.length; at += SECTOR) {
      if (isFrameHeader(bytes, segment, at))
        return { type: "damaged", reason: `a record is missing before the one at offset ${at}` }
    }
    return { type: "torn" }
  }
  return { type: "damaged", reason: "the checksum does not fit the record's header" }
}

// ---------------------------------------------------------------------------------------------- the body

export type PersistRecord = Omit<Persist, "type" | "seq">

/** The state of a log without its entries. The head of each segment holds it, so that no earlier segment is needed. */
export interface LogSummary {
  readonly hardState: HardState
  readonly base: LogBase
  /** The last entry in the log, or its base. */
  readonly lastIndex: number
}
export const EMPTY_LOG: LogSummary = { hardState: { term: 0, vote: null }, base: origin, lastIndex: 0 }

/** The summary after `persist`. */
export const summaryAfter = (
  before: LogSummary,
  { hardState, truncateFrom, entries, base }: PersistRecord,
): LogSummary => {
  let { lastIndex } = before
  if (truncateFrom !== null) lastIndex = Math.min(lastIndex, truncateFrom - 1)
  if (base !== null) lastIndex = Math.max(lastIndex, base.index)
  const last = entries.at(-1)
  return {
    hardState: hardState ?? before.hardState,
    base: base !== null && base.index >= before.base.index ? base : before.base,
    lastIndex: last === undefined ? lastIndex : Math.max(last.index, base?.index ?? 0),
  }
}

const HARD_STATE = 1
const TRUNCATE = 2
const ENTRIES = 4
const BASE = 8
const END = 0xff

export const writeHardState = (w: ByteWriter, { term, vote }: HardState): void => {
  w.u48(term)
  w.u8(vote === null ? 0 : 1)
  if (vote !== null) writeMember(w, vote)
}
export const readHardState = (r: ByteReader): HardState => ({ term: r.u48(), vote: r.flag() ? readMember(r) : null })

/** A Persist that changes nothing takes no bytes. */
export const writePersist = (w: ByteWriter, { hardState, truncateFrom, entries, base }: Persist): void => {
  const flaw = flawOfPersist({ hardState, truncateFrom, entries, base })
  if (flaw !== null) throw new NumberOutOfDomain(`a record with ${flaw}`)
  const flags =
    (hardState === null ? 0 : HARD_STATE) |
    (truncateFrom === null ? 0 : TRUNCATE) |
    (entries.length === 0 ? 0 : ENTRIES) |
    (base === null ? 0 : BASE)
  if (flags === 0) return
  w.u8(flags)
  if (hardState !== null) writeHardState(w, hardState)
  if (truncateFrom !== null) w.u48(truncateFrom)
  if (entries.length > 0) writeEntries(w, entries)
  if (base !== null) writeBase(w, base)
}

const NO_ENTRIES: readonly Entry[] = []

/** The next Persist of a body, or null at its end. */
export const readPersist = (r: ByteReader): PersistRecord | null => {
  if (r.at === r.end) return null
  const flags = r.u8()
  if (flags === END) return null
  // A Persist that changes nothing is not written, so 0 is an error. So is an unknown flag: it stands for data that
  // this version cannot read or skip.
  if (flags === 0 || flags > (HARD_STATE | TRUNCATE | ENTRIES | BASE))
    throw new MalformedBytes(`no record has the flags ${flags}`)
  const change: PersistRecord = {
    hardState: flags & HARD_STATE ? readHardState(r) : null,
    truncateFrom: flags & TRUNCATE ? r.u48() : null,
    entries: flags & ENTRIES ? readEntries(r) : NO_ENTRIES,
    base: flags & BASE ? readBase(r) : null,
  }
  if (flags & ENTRIES && change.entries.length === 0)
    throw new MalformedBytes("a record announces entries and has none")
  const flaw = flawOfPersist(change)
  if (flaw !== null) throw new MalformedBytes(`no log holds ${flaw}`)
  return change
}
