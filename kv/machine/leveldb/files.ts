/**
 * Checks of LevelDB's own files that LevelDB does not make. Its read path ignores the checksums of table blocks, so a
 * flipped bit can hide a key (in a filter, an index, a key) without an error. And its recovery skips damaged parts of a
 * log and continues after them, which leaves a hole. Formats: LevelDB 1.20, doc/table_format.md and doc/log_format.md;
 * tables are written without compression (see openLevel).
 */
import { lstat, open, readdir, unlink } from "node:fs/promises"
import { join } from "node:path"
import type { Scrubbed } from "../contract.ts"
import { isDamage, reason } from "./errors.ts"
import { SCRUB_REST } from "./pace.ts"
import { crc32c, maskedCrc } from "./crc32c.ts"
import { BadRecord } from "../layout.ts"
import { Slices } from "../slices.ts"

// ------------------------------------------------------------------------------------------------- logs

const BLOCK = 32_768
const LOG_HEADER = 7
const FULL = 1
const FIRST = 2
const LAST = 4

/** Where the readable part of a log file ends: always between two writes. */
const soundLength = (log: Buffer): number => {
  let sound = 0
  let within = false
  let at = 0
  while (at + LOG_HEADER <= log.length) {
    const room = BLOCK - (at % BLOCK)
    if (room < LOG_HEADER) {
      at += room
      continue
    }
    const length = log.readUInt16LE(at + 4)
    const type = log.readUInt8(at + 6)
    const end = at + LOG_HEADER + length
    const expected = within ? type > FIRST && type <= LAST : type === FULL || type === FIRST
    if (!expected || length + LOG_HEADER > room || end > log.length) return sound
    if (maskedCrc(crc32c(log, at + 6, end)) !== log.readUInt32LE(at)) return sound
    at = end
    within = type === FIRST || (within && type !== LAST)
    if (!within) sound = at
  }
  return sound
}

/**
 * Cuts LevelDB's logs at the first fault, before LevelDB opens them. The cut removes whole writes, the last ones: the
 * position goes back with them, never before the last checkpoint (that is in tables), and the Raft log applies them
 * again. Without the cut LevelDB would keep the records after the fault, and everything would have to be rebuilt.
 */
export const cutLogs = async (directory: string): Promise<void> => {
  const logs = (await readdir(directory))
    .filter((name) => /^\d+\.log$/.test(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  let faulty = false
  for (const name of logs) {
    const path = join(directory, name)
    if (faulty) {
      await unlink(path)
      continue
    }
    const handle = await open(path, "r+")
    try {
      const bytes = await handle.readFile()
      const sound = soundLength(bytes)
      if (sound === bytes.length) continue
      faulty = true
      await handle.truncate(sound)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

// ----------------------------------------------------------------------------------------------- tables

const FOOTER = 48
const TRAILER = 5
const MAGIC = 0xdb4775248b80fb57n
/** Adjacent blocks are read together. */
const READ = 1 << 20

interface Handle {
  readonly offset: number
  readonly size: number
}
class Bytes {
  readonly bytes: Buffer
  at: number
  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }
  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
    throw new BadRecord("a number in a table is cut off")
  }
  handle(): Handle {
    return { offset: this.varint(), size: this.varint() }
  }
}

/** The handles in an index block. */
const handlesIn = (block: Buffer): Handle[] => {
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4)
  const handles: Handle[] = []
  const r = new Bytes(block)
  while (r.at < end) {
    r.varint()
    const suffix = r.varint()
    const size = r.varint()
    const value = r.at + suffix
    handles.push(new Bytes(block, value).handle())
    r.at = value + size
  }
  return handles
}

type File = Awaited<ReturnType<typeof open>>

const checkBlock = (bytes: Buffer, at: number, handle: Handle, name: string): void => {
  const end = at + handle.size + 1
  if (end + 4 > bytes.length || maskedCrc(crc32c(bytes, at, end)) !== bytes.readUInt32LE(end)) {
    throw new BadRecord(`a block at offset ${handle.offset} of ${name} fails its checksum`)
  }
}
const readAt = async (file: File, offset: number, size: number): Promise<Buffer> => {
  const bytes = Buffer.allocUnsafe(size)
  const { bytesRead } = await file.read(bytes, 0, size, offset)
  return bytes.subarray(0, bytesRead)
}
const readBlock = async (file: File, handle: Handle, limit: number, name: string): Promise<Buffer> => {
  if (handle.offset + handle.size + TRAILER > limit) throw new BadRecord(`${name} points beyond its end`)
  const bytes = await readAt(file, handle.offset, handle.size + TRAILER)
  checkBlock(bytes, 0, handle, name)
  return bytes.subarray(0, handle.size)
}

const checkTable = async (file: File, name: string, slices: Slices, wanted: () => boolean): Promise<number> => {
  const { size } = await file.stat()
  const footer = await readAt(file, Math.max(0, size - FOOTER), FOOTER)
  // A table without its magic number is unfinished, or LevelDB itself refuses to read it with an error.
  if (footer.length < FOOTER || footer.readBigUInt64LE(FOOTER - 8) !== MAGIC) return size
  const r = new Bytes(footer)
  const limit = size - FOOTER
  const meta = handlesIn(await readBlock(file, r.handle(), limit, name))
  const data = handlesIn(await readBlock(file, r.handle(), limit, name))
  const blocks = [...data, ...meta].sort((a, b) => a.offset - b.offset)
  let chunk = Buffer.alloc(0)
  let start = 0
  for (const block of blocks) {
    const end = block.offset + block.size + TRAILER
    if (end > limit) throw new BadRecord(`${name} points beyond its end`)
    if (block.offset < start || end > start + chunk.length) {
      start = block.offset
      chunk = Buffer.from(await readAt(file, start, Math.min(limit - start, Math.max(READ, end - start))))
    }
    checkBlock(chunk, block.offset - start, block, name)
    if (!slices.overdue()) continue
    await slices.giveWay()
    if (!wanted()) break
  }
  return size
}

export interface Checking {
  /** Milliseconds to pause after each slice. */
  readonly rest?: number
  readonly wanted?: () => boolean
  readonly checking?: ((bytes: number, of: number) => void) | undefined
}
/** The table was merged into others since the directory was listed. Any other reason for a failed open is an error. */
const merged = (thrown: unknown): null => {
  if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return null
  throw thrown
}
const bytesOf = async (directory: string, names: readonly string[]): Promise<number> => {
  let sum = 0
  for (const name of names) sum += (await lstat(join(directory, name)).catch(merged))?.size ?? 0
  return sum
}

export const isTable = (name: string): boolean => name.endsWith(".ldb") || name.endsWith(".sst")

/**
 * Throws BadRecord unless every block of every table has the right checksum. For an open database: obsolete tables are
 * ignored. Ends early, without a result, once `wanted` returns false. Returns the total bytes of the tables.
 */
export const checkTables = async (
  directory: string,
  { rest = 0, wanted = () => true, checking }: Checking = {},
): Promise<number> => {
  const slices = new Slices(rest)
  const names = (await readdir(directory)).filter(isTable)
  const all = checking === undefined ? 0 : await bytesOf(directory, names)
  let total = 0
  for (const name of names) {
    checking?.(total, all)
    const file = await open(join(directory, name), "r").catch(merged)
    if (file === null) continue
    try {
      total += await checkTable(file, name, slices, wanted)
    } finally {
      await file.close()
    }
    if (!wanted()) break
  }
  return total
}

/** Checks the tables of a database in use, slowly. null: it was not wanted any more before the end. */
export const scrubTables = async (
  directory: string,
  wanted: () => boolean,
  damaged: (thrown: unknown) => void,
): Promise<Scrubbed | null> => {
  try {
    const bytes = await checkTables(directory, { rest: SCRUB_REST, wanted })
    return wanted() ? { bytes, found: null } : null
  } catch (thrown) {
    // A database that was replaced or closed meanwhile may well be unreadable.
    if (!wanted()) return null
    // A missing permission or descriptor says nothing about the data.
    if (!isDamage(thrown)) throw thrown
    damaged(thrown)
    return { bytes: 0, found: reason(thrown) }
  }
}

/** What is wrong with each table, one by one; empty if all are good. */
export const damagedTables = async (directory: string): Promise<readonly string[]> => {
  const found: string[] = []
  for (const name of (await readdir(directory)).filter(isTable)) {
    const file = await open(join(directory, name), "r")
    try {
      await checkTable(file, name, new Slices(), () => true)
    } catch (thrown) {
      if (!(thrown instanceof BadRecord)) throw thrown
      found.push(thrown.message)
    } finally {
      await file.close()
    }
  }
  return found
}
