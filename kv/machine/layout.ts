/**
 * Where everything is stored in LevelDB. The first byte of a key says what it is:
 *
 *   10 meta        identity | position | checkpoint
 *   20 markers     first index of a batch → its last: they join without a gap from the checkpoint to the position
 *   30 sessions    id → owner, secret of the opening
 *   38 replies     id, sequence → the state of the session after a batch, and the replies that the batch gave
 *   40 data        generation, place, key → version, deadline, and the value or its length and checksum
 *   48 values      generation, place, key → a large value, so that a command about the key alone need not read it
 *   58 removals    part of the places → the last entry that removed a key there (removals.ts)
 *   50 deadlines   generation, deadline, key → nothing; may be stale: the data record decides
 *
 * The place of a key is its hash (place.ts): data are stored in the order of SCAN.
 *
 * FLUSHALL begins a new generation: one step, whatever the size. Records of earlier generations are removed little by
 * little. Every record starts with a CRC-32 over its key and itself, because LevelDB returns flipped bytes without an
 * error; the CRC-32 of a large value is in its data record.
 */
import { crc32 } from "node:zlib"
import { ByteReader, ByteWriter, readBase, writeBase } from "../../interpreters/bytes.ts"
import type { LogBase } from "../../core/index.ts"
import { placeOf } from "./place.ts"
import type { Removal } from "./removals.ts"
import { NULL, readReply, writeReply } from "./reply.ts"
import type { Session } from "./sessions.ts"
import type { Item } from "./commands/view.ts"
import type { Reply } from "../types.ts"

/**
 * The format of the records. 6 is the first that was published: what was written in it, or in any later one, is read for good.
 * A new format is written from a feature level on, identity first (kv/UPGRADES.md).
 */
export const FORMAT = 6
export const READABLE: ReadonlySet<number> = new Set([6])
export const META = 0x10
export const MARKER = 0x20
export const SESSION = 0x30
export const REPLIES = 0x38
export const DATA = 0x40
export const VALUE = 0x48
export const DEADLINE = 0x50
export const REMOVAL = 0x58
/** There is no record here: compacting this range flushes LevelDB's memory and moves nothing else. */
export const BEFORE_ALL = Buffer.from([0x01])

/** The record is not what was written. */
export class BadRecord extends Error {
  override readonly name = "BadRecord"
}

const metaKey = (name: string): Buffer => Buffer.concat([Buffer.from([META]), Buffer.from(name)])
export const identityKey = metaKey("identity")
export const positionKey = metaKey("position")
export const checkpointKey = metaKey("checkpoint")

const numbered = (kind: number, ...numbers: readonly number[]): Buffer => {
  const key = Buffer.allocUnsafe(1 + 6 * numbers.length)
  key[0] = kind
  numbers.forEach((number, i) => key.writeUIntBE(number, 1 + 6 * i, 6))
  return key
}
export const markerKey = (first: number): Buffer => numbered(MARKER, first)
export const sessionKey = (id: number): Buffer => numbered(SESSION, id)
export const repliesKey = (id: number, first: number): Buffer => numbered(REPLIES, id, first)
export const removalKey = (part: number): Buffer => numbered(REMOVAL, part)
export const numberIn = (key: Buffer, position: 0 | 1): number => key.readUIntBE(1 + 6 * position, 6)

/** All keys of one kind: [first, second). */
export const kindRange = (kind: number): { readonly gte: Buffer; readonly lt: Buffer } => ({
  gte: Buffer.from([kind]),
  lt: Buffer.from([kind + 1]),
})

const NOTHING = Buffer.alloc(0)
const KEY_PREFIX = 13
const placed = (kind: number, generation: number, place: number, key: Uint8Array): Buffer => {
  const out = Buffer.allocUnsafe(KEY_PREFIX + key.length)
  out[0] = kind
  out.writeUIntBE(generation, 1, 6)
  out.writeUIntBE(place, 7, 6)
  out.set(key, KEY_PREFIX)
  return out
}
export const dataKey = (generation: number, key: Uint8Array): Buffer => placed(DATA, generation, placeOf(key), key)
export const valueKey = (generation: number, key: Uint8Array): Buffer => placed(VALUE, generation, placeOf(key), key)
/** Where the data of a place begin. */
export const dataFrom = (generation: number, place: number): Buffer => placed(DATA, generation, place, NOTHING)
export const placeIn = (key: Buffer): number => key.readUIntBE(7, 6)
export const userKey = (key: Buffer): Buffer => key.subarray(KEY_PREFIX)
/** In these keys the deadline takes the place's position. */
export const deadlineKey = (generation: number, deadline: number, key: Uint8Array): Buffer =>
  placed(DEADLINE, generation, deadline, key)
export const deadlineOfKey = (key: Buffer): { readonly deadline: number; readonly key: Buffer } => ({
  deadline: placeIn(key),
  key: userKey(key),
})
/** All records of a generation: [first, second). */
export const generationRange = (
  kind: typeof DATA | typeof VALUE | typeof DEADLINE,
  generation: number,
): { readonly gte: Buffer; readonly lt: Buffer } => ({
  gte: placed(kind, generation, 0, NOTHING),
  lt: placed(kind, generation + 1, 0, NOTHING),
})

// ------------------------------------------------------------------------------------------------ values

const RECORD_HEADER = 17
const WITHIN = 0
const APART = 1
/** [checksum, version, deadline, where the value is]; the value, or [its length, its checksum]. */
const APART_SIZE = RECORD_HEADER + 8

/** The checksum covers the client's key, so that a value under another key is noticed, but not the generation. */
const sealRecord = (key: Uint8Array, item: Item, out: Buffer, where: number): Buffer => {
  out.writeUIntBE(item.version, 4, 6)
  out.writeUIntBE(item.expiry, 10, 6)
  out[16] = where
  out.writeUInt32BE(crc32(out.subarray(4), crc32(key)), 0)
  return out
}
/** With its value: always in images, and on disk if the value is small. */
export const encodeRecord = (key: Uint8Array, item: Item, value: Buffer): Buffer => {
  const out = Buffer.allocUnsafe(RECORD_HEADER + value.length)
  out.set(value, RECORD_HEADER)
  return sealRecord(key, item, out, WITHIN)
}
/** Without its value, whose checksum is `crc`. */
export const encodeApart = (key: Uint8Array, item: Item, crc: number): Buffer => {
  const out = Buffer.allocUnsafe(APART_SIZE)
  out.writeUInt32BE(item.length, RECORD_HEADER)
  out.writeUInt32BE(crc, RECORD_HEADER + 4)
  return sealRecord(key, item, out, APART)
}
export const valueCrc = (key: Uint8Array, value: Buffer): number => crc32(value, crc32(key))

const named = (key: Uint8Array): string =>
  `the key that starts with ${JSON.stringify(Buffer.from(key.subarray(0, 40)).toString("latin1"))}`
export const decodeRecord = (key: Uint8Array, record: Buffer): Item => {
  if (record.length < RECORD_HEADER || crc32(record.subarray(4), crc32(key)) !== record.readUInt32BE(0))
    throw new BadRecord(`the record of ${named(key)} fails its checksum`)
  const version = record.readUIntBE(4, 6)
  const expiry = record.readUIntBE(10, 6)
  if (record[16] === WITHIN) {
    const value = record.subarray(RECORD_HEADER)
    return { version, expiry, length: value.length, value, crc: 0 }
  }
  if (record[16] !== APART || record.length !== APART_SIZE)
    throw new BadRecord(`the record of ${named(key)} is of no known kind`)
  return {
    version,
    expiry,
    length: record.readUInt32BE(RECORD_HEADER),
    value: null,
    crc: record.readUInt32BE(RECORD_HEADER + 4),
  }
}
/** Returns the value in the record of a large value, if it is the one that the item refers to. */
export const checkedValue = (key: Uint8Array, item: Item, value: Buffer | undefined): Buffer => {
  if (value === undefined) throw new BadRecord(`the value of ${named(key)} is missing`)
  if (value.length !== item.length || valueCrc(key, value) !== item.crc)
    throw new BadRecord(`the value of ${named(key)} fails its checksum`)
  return value
}

const seal = (key: Buffer, fill: (w: ByteWriter) => void, capacity = 64): Buffer => {
  const w = new ByteWriter(capacity)
  const at = w.hole()
  fill(w)
  w.patchU32(at, crc32(w.view(4), crc32(key)))
  return w.view()
}
const unseal = <A>(key: Buffer, value: Buffer, read: (r: ByteReader) => A): A => {
  if (value.length < 4 || crc32(value.subarray(4), crc32(key)) !== value.readUInt32BE(0)) {
    throw new BadRecord(`the record ${key.toString("hex")} fails its checksum`)
  }
  const r = new ByteReader(value, 4)
  const result = read(r)
  r.done()
  return result
}

export interface StateIdentity {
  readonly format: number
  readonly cluster: string
  readonly node: string
}
/** `begins`: the last entry in the snapshot that was restored here; 0 if everything here was executed. */
export const encodeIdentity = (identity: StateIdentity, begins: number): Buffer =>
  seal(identityKey, (w) => {
    w.u32(identity.format)
    w.text(identity.cluster)
    w.text(identity.node)
    w.u48(begins)
  })
export const decodeIdentity = (value: Buffer): StateIdentity & { readonly begins: number } =>
  unseal(identityKey, value, (r) => {
    const identity = { format: r.u32(), cluster: r.text(), node: r.text() }
    if (READABLE.has(identity.format)) return { ...identity, begins: r.u48() }
    // In another format nothing more is known; the caller refuses it by name.
    r.at = r.end
    return { ...identity, begins: 0 }
  })

export interface Position {
  readonly base: LogBase
  readonly generation: number
  /** There may be large values in this generation: writing or deleting a key then also removes a large value. */
  readonly large: boolean
}
export const encodePosition = (position: Position): Buffer =>
  seal(
    positionKey,
    (w) => {
      w.u48(position.generation)
      w.u8(position.large ? 1 : 0)
      writeBase(w, position.base)
    },
    512,
  )
export const decodePosition = (value: Buffer): Position =>
  unseal(positionKey, value, (r) => ({ generation: r.u48(), large: r.flag(), base: readBase(r) }))

const encodeIndex = (key: Buffer, index: number): Buffer => seal(key, (w) => w.u48(index), 10)
const decodeIndex = (key: Buffer, value: Buffer): number => unseal(key, value, (r) => r.u48())
export const encodeMarker = (first: number, last: number): Buffer => encodeIndex(markerKey(first), last)
export const decodeMarker = (key: Buffer, value: Buffer): number => decodeIndex(key, value)
export const encodeRemoval = (part: number, index: number): Buffer => encodeIndex(removalKey(part), index)
export const decodeRemoval = (key: Buffer, value: Buffer): Removal => [numberIn(key, 0), decodeIndex(key, value)]
export const encodeCheckpoint = (index: number): Buffer => encodeIndex(checkpointKey, index)
export const decodeCheckpoint = (value: Buffer): number => decodeIndex(checkpointKey, value)

export type Opening = Pick<Session, "owner" | "secret">
export const encodeOpening = (key: Buffer, { owner, secret }: Opening): Buffer =>
  seal(key, (w) => {
    w.text(owner)
    w.bytes(secret)
  })
export const decodeOpening = (key: Buffer, value: Buffer): Opening =>
  unseal(key, value, (r) => ({ owner: r.text(), secret: Buffer.from(r.bytes()) }))

/** The state of a session after a batch: the replies from `first` on were given in this batch. */
export interface ReplySegment {
  readonly lowest: number
  readonly active: number
  readonly replies: readonly Reply[]
}
export const encodeReplySegment = (key: Buffer, session: Session, first: number): Buffer => {
  const replies: Reply[] = []
  let size = 64
  for (let sequence = first; sequence <= session.last; sequence++) {
    const reply = session.replies.get(sequence) ?? NULL
    replies.push(reply)
    // A large one is copied once.
    if (reply.type === "bulk") size += reply.bytes.length + 8
  }
  return seal(
    key,
    (w) => {
      w.u48(session.lowest)
      w.u48(session.active)
      w.u32(replies.length)
      for (const reply of replies) writeReply(w, reply)
    },
    size,
  )
}
export const decodeReplySegment = (key: Buffer, value: Buffer): ReplySegment =>
  unseal(key, value, (r) => ({
    lowest: r.u48(),
    active: r.u48(),
    replies: Array.from({ length: r.count(1) }, () => readReply(r)),
  }))
