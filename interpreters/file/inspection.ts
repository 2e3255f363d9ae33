/**
 * Reads a log on disk without changing anything: what it holds, what a start would find, and where it is damaged. A
 * record that a crash tore is no damage: it was never acknowledged, and the next start removes it.
 */
import type { Entry } from "../../core/index.ts"
import { chainBreaksAt, flawOfStored } from "../../core/index.ts"
import { MalformedBytes, ByteReader } from "../bytes.ts"
import type { Stored } from "../contract.ts"
import { errnoOf } from "./errors.ts"
import { readFully, type Files } from "./files.ts"
import { LOG_FRAME_HEADER, inspectFrame, isFrameHeader, SECTOR, type PersistRecord } from "./frame.ts"
import { readFormat, type DirectoryFormat } from "./identity.ts"
import { startOf, type Rebuilt } from "./recovery.ts"
import { readHead, segmentNumber, segmentPath, type ReadPersist } from "./segment.ts"

export interface LogDamage {
  readonly file: string
  /** null: the damage concerns the whole file. */
  readonly offset: number | null
  readonly reason: string
  /** Where readable records begin again after the damage; null: nowhere in this file. */
  readonly resumes: number | null
}
export interface SegmentFound {
  readonly file: string
  readonly bytes: number
  readonly records: number
  /** The lowest and the highest index of the entries in it; null: none. */
  readonly first: number | null
  readonly last: number | null
  /** Offset of a record that was never acknowledged. */
  readonly tornAt: number | null
}
export interface LogFound {
  readonly format: DirectoryFormat
  readonly segments: readonly SegmentFound[]
  /**
   * The summary of the whole log, or of the part before the first damage; null: not even the head of the first file can
   * be read.
   */
  readonly stored: Stored | null
  readonly damage: readonly LogDamage[]
  /** Files that do not belong to the log: a crash left them behind, and the next start removes them. */
  readonly unlisted: readonly string[]
}

interface Reading {
  rebuilt: Rebuilt | null
  /** Records after the damage are counted, but not added to the log. */
  intact: boolean
  readonly damage: LogDamage[]
}

const readSegment = (file: string, number: number, bytes: Buffer, isLast: boolean, reading: Reading): SegmentFound => {
  let [records, first, last, at] = [0, Infinity, 0, 0]
  let tornAt: number | null = null
  let read: ReadPersist | null = null
  const take = (change: PersistRecord): void => {
    if (reading.intact && reading.rebuilt !== null) reading.rebuilt.apply(change)
    const start = change.entries[0]
    if (start === undefined) return
    first = Math.min(first, start.index)
    last = Math.max(last, change.entries.at(-1)?.index ?? 0)
  }
  const body = (end: number): void => {
    const r = new ByteReader(bytes, at + LOG_FRAME_HEADER, end)
    if (at === 0) {
      const { summary, persist } = readHead(r)
      read = persist
      if (reading.intact) reading.rebuilt = startOf(summary, reading.rebuilt ?? undefined)
    } else if (read !== null) for (let change = read(r); change !== null; change = read(r)) take(change)
  }
  const damaged = (reason: string, from = at + SECTOR): void => {
    let resumes: number | null = null
    for (let next = from; next < bytes.length && resumes === null; next += SECTOR)
      if (isFrameHeader(bytes, number, next)) resumes = next
    reading.damage.push({ file, offset: at, reason, resumes })
    reading.intact = false
    at = resumes ?? bytes.length
  }
  while (at < bytes.length) {
    const found = inspectFrame(bytes, number, at)
    if (found.type === "torn" && isLast && at > 0) {
      tornAt = at
      break
    }
    if (found.type !== "whole") {
      damaged(found.type === "torn" ? "the record is not complete" : found.reason)
      continue
    }
    try {
      body(found.end)
      records += 1
      at = found.end
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error
      damaged(error.message, found.end)
    }
  }
  return {
    file,
    bytes: bytes.length,
    records,
    first: first === Infinity ? null : first,
    last: last === 0 ? null : last,
    tornAt,
  }
}

const bytesOf = async (files: Files, path: string): Promise<Buffer | null> => {
  const file = await files.open(path, "read").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return null
    throw error
  })
  if (file === null) return null
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size())
    return bytes.subarray(0, await readFully(file, bytes, 0))
  } finally {
    await file.close()
  }
}

const storedIn = (reading: Reading, path: string): Stored | null => {
  if (reading.rebuilt === null) return null
  let stored: Stored
  try {
    stored = reading.rebuilt.stored()
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error
    reading.damage.push({ file: path, offset: null, reason: error.message, resumes: null })
    // Of the entries nothing can be said; who was a member stands in the base, and a repair asks for that.
    const { hardState, base } = reading.rebuilt.summary()
    return { hardState, base, entries: [] }
  }
  const broken = chainBreaksAt(stored.base.chain, stored.entries)
  if (broken === null) {
    const flaw = flawOfStored(stored.hardState, stored.base, stored.entries)
    if (flaw !== null)
      reading.damage.push({ file: path, offset: null, reason: `no server starts from it: ${flaw}`, resumes: null })
    return stored
  }
  reading.damage.push({
    file: path,
    offset: null,
    reason: `entry ${broken} does not continue the chained checksum of those before it`,
    resumes: null,
  })
  const kept: readonly Entry[] = stored.entries.slice(0, broken - stored.base.index - 1)
  return { ...stored, entries: kept }
}

/**
 * Null: there is no log. Throws IdentityUnreadable or WrongFormat if FORMAT cannot be read. Holds one file at a time in
 * memory, and all entries.
 */
export const inspectLog = async (files: Files, directory: string): Promise<LogFound | null> => {
  const format = await readFormat(files, directory)
  if (format === null) return null
  const reading: Reading = { rebuilt: null, intact: true, damage: [] }
  const segments: SegmentFound[] = []
  const { first, last, synced } = format
  const names = await files.list(directory)
  const isListed = (number: number): boolean => number >= first && number <= last
  const damaged = (number: number, reason: string): void => {
    reading.damage.push({ file: segmentPath(directory, number), offset: null, reason, resumes: null })
    reading.intact = false
  }
  // Consecutive missing files are reported once, however many FORMAT lists.
  const gone = (from: number, to: number): void => {
    if (from < to) damaged(from, `it is gone, and so is every file after it through ${segmentPath(directory, to)}`)
    else if (from === to) damaged(from, "it is gone")
  }
  let next = first
  const numbers = names.map(segmentNumber).filter((number) => number !== undefined)
  for (const number of numbers.filter(isListed).toSorted((a, b) => a - b)) {
    gone(next, number - 1)
    next = number + 1
    const file = segmentPath(directory, number)
    const bytes = await bytesOf(files, file)
    if (bytes === null || bytes.length === 0) {
      damaged(number, bytes === null ? "it is gone" : "it is empty")
      continue
    }
    const found = readSegment(file, number, bytes, number === last, reading)
    segments.push(found)
    const end = found.tornAt ?? found.bytes
    if (number === synced.segment && end < synced.bytes) {
      reading.damage.push({
        file,
        offset: end,
        reason: `it ends here, but it was durable through offset ${synced.bytes}: acknowledged records are gone from its end`,
        resumes: null,
      })
      reading.intact = false
    }
  }
  gone(next, last)
  const unlisted = names.filter((name) => {
    const number = segmentNumber(name)
    return number !== undefined && !isListed(number)
  })
  const stored = storedIn(reading, directory)
  const founded =
    stored === null || stored.base.configuration.voters.length > 0 || format.identity.founding === null
      ? stored
      : { ...stored, base: { ...stored.base, configuration: format.identity.founding } }
  return { format, segments, stored: founded, damage: reading.damage, unlisted }
}
