/**
 * The file FORMAT: the owner of the directory, its format, and the segments of its log. It is replaced as a whole
 * (temporary file, sync, rename, sync of the directory). The range of segments is stored here, outside the segments, so
 * that a missing first or last segment is noticed like a missing one in the middle.
 */
import { NO_START, type Sighting, type Start } from "../../core/index.ts"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import type { Identity } from "../contract.ts"
import type { RefusedDirectory } from "../starts.ts"
import {
  MalformedBytes,
  ByteReader,
  readConfiguration,
  readMember,
  readStart,
  writeConfiguration,
  writeMember,
  ByteWriter,
  writeStart,
} from "../bytes.ts"
import { errnoOf, IdentityUnreadable, isOutOfDescriptors, SyncFailed, WrongFormat } from "./errors.ts"
import { datasync, readFully, writeFully, type Files } from "./files.ts"

export interface DirectoryFormat {
  readonly identity: Identity
  /** Numbers of the first and the last segment; `last` is 0 while the directory is being created. */
  readonly first: number
  readonly last: number
  /** The process that has the directory open, or had it open last. */
  readonly start: Start
  /** The latest starts of peers that this node has seen. */
  readonly met: readonly Readonly<Sighting>[]
  /** A peer has seen a later start of this directory: nothing in the directory counts any more. */
  readonly refused: RefusedDirectory | null
  /** How far the log was durable when this was written: a log that ends before it has lost its end. */
  readonly synced: Synced
}
export interface Synced {
  readonly segment: number
  readonly bytes: number
}
export const unstartedFormat = (identity: Identity): DirectoryFormat => ({
  identity,
  first: 1,
  last: 0,
  start: NO_START,
  met: [],
  refused: null,
  synced: { segment: 0, bytes: 0 },
})

const FILE = "FORMAT"
/**
 * The format of what is written in the directory. 5 is the first that was published: what was written in it, or in any later
 * one, is read for good. A new format is written from a feature level on (kv/UPGRADES.md): this file tells it before a segment
 * does, so an older version refuses the directory by name.
 */
export const LOG_FORMAT = 5
/** The first line tells people and later versions what this is; the rest is binary. */
const TITLE = /^stepraft data directory, format ([1-9]\d{0,8})\n/

export const encodeFormat = (
  { identity, first, last, start: own, met, refused, synced }: DirectoryFormat,
  format = LOG_FORMAT,
): Buffer => {
  const w = new ByteWriter()
  w.raw(Buffer.from(`stepraft data directory, format ${format}\n`))
  const start = w.length
  w.u48(first)
  w.u48(last)
  writeMember(w, identity.self)
  w.u8(identity.cluster === null ? 0 : 1)
  if (identity.cluster !== null) w.text(identity.cluster)
  w.u8(identity.founding === null ? 0 : 1)
  if (identity.founding !== null) writeConfiguration(w, identity.founding)
  writeStart(w, own)
  w.u48(synced.segment)
  w.u48(synced.bytes)
  w.u8(refused === null ? 0 : 1)
  if (refused !== null) for (const text of [refused.reason, refused.by, refused.detail]) w.text(text)
  w.u8(met.length)
  for (const { member, start, term, index } of met) {
    writeMember(w, member)
    writeStart(w, start)
    w.u48(term)
    w.u48(index)
  }
  w.u32(crc32(w.view(start)))
  return w.take()
}

const fieldsIn = (r: ByteReader): DirectoryFormat => {
  const first = r.u48()
  const last = r.u48()
  const self = readMember(r)
  const cluster = r.flag() ? r.text() : null
  const founding = r.flag() ? readConfiguration(r) : null
  const own = readStart(r)
  const synced = { segment: r.u48(), bytes: r.u48() }
  const refused = r.flag() ? { reason: r.text(), by: r.text(), detail: r.text() } : null
  const met = Array.from({ length: r.u8() }, () => ({
    member: readMember(r),
    start: readStart(r),
    term: r.u48(),
    index: r.u48(),
  }))
  return { identity: { self, cluster, founding }, first, last, start: own, met, refused, synced }
}
/** How the file is read, by its format. */
const READERS: Readonly<Record<number, (r: ByteReader) => DirectoryFormat>> = { 5: fieldsIn }

export const decodeFormat = (file: string, bytes: Buffer): DirectoryFormat => {
  const title = TITLE.exec(bytes.toString("latin1", 0, 64))
  if (title === null) throw new IdentityUnreadable({ file, reason: "it does not start like a stepraft data directory" })
  const found = Number(title[1])
  const read = READERS[found]
  if (read === undefined) throw new WrongFormat({ file, found, known: Object.keys(READERS).join(", ") })
  const start = title[0].length
  const end = bytes.length - 4
  if (end < start || crc32(bytes.subarray(start, end)) !== bytes.readUInt32BE(end)) {
    throw new IdentityUnreadable({ file, reason: "its checksum does not fit its content" })
  }
  try {
    const r = new ByteReader(bytes, start, end)
    const format = read(r)
    r.done()
    const { first, last } = format
    if (first < 1 || last < first - 1) throw new MalformedBytes(`no log has the segments ${first} to ${last}`)
    return format
  } catch (error) {
    if (error instanceof MalformedBytes) throw new IdentityUnreadable({ file, reason: error.message })
    throw error
  }
}

/** null: there is none. */
export const readFormat = async (files: Files, directory: string): Promise<DirectoryFormat | null> => {
  const path = join(directory, FILE)
  const file = await files.open(path, "read").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return null
    throw error
  })
  if (file === null) return null
  try {
    const bytes = Buffer.alloc(await file.size())
    await readFully(file, bytes, 0)
    return decodeFormat(path, bytes)
  } finally {
    await file.close()
  }
}

/** A failed write leaves the earlier file; only a failed sync (SyncFailed) leaves the outcome open. */
export const writeFormat = async (files: Files, directory: string, format: DirectoryFormat): Promise<void> => {
  const path = join(directory, FILE)
  const fresh = `${path}.new`
  const file = await files.open(fresh, "create")
  try {
    await writeFully(file, encodeFormat(format), 0)
    await asSyncFailed(fresh, datasync(file))
  } finally {
    await file.close()
  }
  await files.rename(fresh, path)
  await asSyncFailed(directory, files.syncDirectory(directory))
}

export const asSyncFailed = (file: string, sync: Promise<void>): Promise<void> =>
  sync.catch((cause: unknown) => {
    // The directory is opened before anything is written: if opening fails, nothing is half done.
    if (isOutOfDescriptors(cause)) throw cause
    throw new SyncFailed({ file, cause })
  })

/** The only writer of FORMAT: its changes happen one after the other. */
export interface FormatKeeper {
  readonly current: () => DirectoryFormat
  /** Writes the result of `change`, unless it is the same object. */
  readonly update: (change: (format: DirectoryFormat) => DirectoryFormat) => Promise<void>
  /** From now on every change also writes these. */
  readonly addToUpdates: (more: () => Pick<DirectoryFormat, "synced" | "met">) => void
}
export const keepFormat = (files: Files, directory: string, start: DirectoryFormat): FormatKeeper => {
  let current = start
  let last: Promise<void> = Promise.resolve()
  let more = (): Partial<DirectoryFormat> => ({})
  return {
    current: () => current,
    addToUpdates: (of) => {
      more = of
    },
    update: (change) => {
      const turn = async (): Promise<void> => {
        const changed = change(current)
        if (changed === current) return
        const next = { ...changed, ...more() }
        await writeFormat(files, directory, next)
        current = next
      }
      last = last.then(turn, turn)
      return last
    },
  }
}
