/**
 * The byte stream of a snapshot: frames of [length, kind, body]. A header with the position, the removals by part, the
 * sessions by id, the data by place, and a trailer with the number of records and the CRC-32 of all bytes before it.
 * Expired keys are left out, so that the stream depends only on the replicated state: two nodes at one position write
 * the same bytes, and the hash of the stream is the digest that tests and operators compare.
 */
import { createHash } from "node:crypto"
import { crc32 } from "node:zlib"
import type { LogBase } from "../../core/index.ts"
import { MalformedBytes, ByteReader, ByteWriter, readBase, writeBase } from "../../interpreters/bytes.ts"
import { decodeRecord } from "./layout.ts"
import type { Removal } from "./removals.ts"
import { readReply, writeReply } from "./reply.ts"
import type { Session, Sessions } from "./sessions.ts"
import type { Item } from "./commands/view.ts"

/** Large enough that frames and turns cost little, small enough to be made in a few milliseconds. */
export const CHUNK = 256 << 10
/**
 * 6 is the first format that was published: images in it, and in any later one, are read for good. A new one is written from a
 * feature level on (kv/UPGRADES.md): the position in the header tells the level of the cluster.
 */
const FORMAT = 6
const READABLE: ReadonlySet<number> = new Set([6])
/** Twice the size of a session that keeps as much as it may. */
const MAX_FRAME = 64 << 20

const HEADER = 0
const SESSION = 1
const DATA = 2
const TRAILER = 3
const REMOVALS = 4
const FRAME_HEADER = 5

export const sessionsForImage = (sessions: Sessions, now: number): Session[] =>
  [...sessions.all()]
    .filter((session) => sessions.alive(session, now))
    .map((session) => ({ ...session, replies: new Map(session.replies) }))
    .sort((a, b) => a.id - b.id)

export class ImageWriter {
  private readonly w = new ByteWriter(CHUNK + 65_536)
  private crc = 0
  private count = 0

  get length(): number {
    return this.w.length
  }
  /** What was written since the last `take`. */
  take(): Buffer {
    this.crc = crc32(this.w.view(), this.crc)
    return this.w.take()
  }
  private frame(kind: number, body: () => void): void {
    const at = this.w.hole()
    this.w.u8(kind)
    const from = this.w.length
    body()
    this.w.patchU32(at, this.w.length - from)
  }
  begin(base: LogBase): void {
    this.frame(HEADER, () => {
      this.w.u32(FORMAT)
      writeBase(this.w, base)
    })
  }
  session(session: Session): void {
    this.count++
    this.frame(SESSION, () => {
      const { w } = this
      w.u48(session.id)
      w.text(session.owner)
      w.bytes(session.secret)
      w.u48(session.last)
      w.u48(session.lowest)
      w.u48(session.active)
      w.u32(session.replies.size)
      for (const reply of session.replies.values()) writeReply(w, reply)
    })
  }
  removals(removals: readonly Removal[]): void {
    this.count++
    this.frame(REMOVALS, () => {
      const { w } = this
      w.u32(removals.length)
      for (const [part, index] of removals) {
        w.u32(part)
        w.u48(index)
      }
    })
  }
  data(key: Uint8Array, record: Uint8Array): void {
    this.count++
    const { w } = this
    w.u32(4 + key.length + record.length)
    w.u8(DATA)
    w.bytes(key)
    w.raw(record)
  }
  end(): void {
    const crc = crc32(this.w.view(), this.crc)
    this.frame(TRAILER, () => {
      this.w.u48(this.count)
      this.w.u32(crc)
    })
  }
}

export type ImageRecord =
  | { readonly type: "header"; readonly base: LogBase }
  | { readonly type: "session"; readonly session: Session }
  | { readonly type: "removals"; readonly removals: readonly Removal[] }
  | { readonly type: "data"; readonly key: Buffer; readonly record: Buffer; readonly item: Item }

const readSession = (r: ByteReader): Session => {
  const session = {
    id: r.u48(),
    owner: r.text(),
    secret: Buffer.from(r.bytes()),
    last: r.u48(),
    lowest: r.u48(),
    active: r.u48(),
    replies: new Map(),
  }
  const count = r.count(1)
  if (session.lowest < 1 || session.lowest > session.last + 1 || count !== session.last - session.lowest + 1)
    throw new MalformedBytes(`session ${session.id} is inconsistent`)
  for (let i = 0; i < count; i++) session.replies.set(session.lowest + i, readReply(r))
  return session
}

/** Accepts the stream in pieces of any size; yields records that have been checked. */
export class ImageReader {
  private parts: Buffer[] = []
  private held = 0
  private crc = 0
  private count = 0
  private begun = false
  private ended = false

  /** The trailer has arrived and everything is consistent. */
  complete(): boolean {
    return this.ended && this.held === 0
  }
  *push(bytes: Buffer): Generator<ImageRecord, void> {
    this.parts.push(bytes)
    this.held += bytes.length
    for (;;) {
      const frame = this.frame()
      if (frame === null) return
      const record = this.decode(frame)
      if (record !== null) yield record
    }
  }
  /** The next whole frame, or null. Pieces are joined once per frame, however many there are. */
  private frame(): Buffer | null {
    if (this.held < FRAME_HEADER) return null
    let [first] = this.parts
    if (first === undefined || first.length < FRAME_HEADER) first = this.join()
    const length = first.readUInt32BE(0)
    if (length > MAX_FRAME)
      throw new MalformedBytes(`a record says that it has ${length} bytes; at most ${MAX_FRAME} are allowed`)
    const size = FRAME_HEADER + length
    if (this.held < size) return null
    if (first.length < size) first = this.join()
    const rest = first.subarray(size)
    if (rest.length === 0) this.parts.shift()
    else this.parts[0] = rest
    this.held -= size
    return first.subarray(0, size)
  }
  private join(): Buffer {
    const joined = Buffer.concat(this.parts, this.held)
    this.parts = [joined]
    return joined
  }
  private decode(frame: Buffer): ImageRecord | null {
    if (this.ended) throw new MalformedBytes("records after the trailer")
    const kind = frame.readUInt8(4)
    if (this.begun === (kind === HEADER)) throw new MalformedBytes("the header must come first, and once")
    const r = new ByteReader(frame, FRAME_HEADER)
    if (kind === TRAILER) {
      this.ended = true
      const count = r.u48()
      if (count !== this.count) throw new MalformedBytes(`${this.count} records arrived, but ${count} were sent`)
      if (r.u32() !== this.crc) throw new MalformedBytes("the checksum of the whole image is wrong")
      r.done()
      return null
    }
    this.crc = crc32(frame, this.crc)
    if (kind === HEADER) {
      this.begun = true
      const format = r.u32()
      if (!READABLE.has(format))
        throw new MalformedBytes(
          `it is of format ${format}, and this version reads format ${[...READABLE].join(", ")}: use the version that wrote it, or a later one`,
        )
      const base = readBase(r)
      r.done()
      return { type: "header", base }
    }
    this.count++
    if (kind === SESSION) {
      const session = readSession(r)
      r.done()
      return { type: "session", session }
    }
    if (kind === REMOVALS) {
      const removals = Array.from({ length: r.count(10) }, (): Removal => [r.u32(), r.u48()])
      r.done()
      return { type: "removals", removals }
    }
    if (kind !== DATA) throw new MalformedBytes(`a record of the unknown kind ${kind}`)
    const key = r.bytes()
    const record = frame.subarray(r.at)
    const item = decodeRecord(key, record)
    if (item.value === null) throw new MalformedBytes("a record came without its value")
    return { type: "data", key, record, item }
  }
}

export const imageDigest = (image: Iterable<Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const bytes of image) hash.update(bytes)
  return hash.digest("hex")
}
