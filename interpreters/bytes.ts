/**
 * The binary form of values that are both sent to peers and written to disk: integers, members, configurations,
 * entries, starts. Big-endian; counting integers (terms, indexes, stamps, offsets) take 48 bits, which JavaScript
 * represents exactly.
 */
import {
  isChain,
  isCount,
  isUint32,
  MAX_LINEAGE_WORDS,
  type Configuration,
  type Entry,
  type LogBase,
  type Member,
  type Payload,
  type Start,
} from "../core/index.ts"
import { MalformedBytes } from "./malformed.ts"

export { MalformedBytes }

/** This number cannot be written: it would be read back as another one, or not at all. Nothing was written. */
export class NumberOutOfDomain extends RangeError {
  override readonly name = "NumberOutOfDomain"
  constructor(found: string) {
    super(`${found} cannot be written, because it would not be read back as the same number; nothing was written`)
  }
  static of(found: number, bits: number): NumberOutOfDomain {
    return new NumberOutOfDomain(`${found}, which is no whole number of ${bits} bits,`)
  }
}

/** A growing buffer. `take` returns what was written and starts over. */
export class ByteWriter {
  private buffer: Buffer
  length = 0
  constructor(capacity = 4096) {
    this.buffer = Buffer.allocUnsafe(capacity)
  }
  private room(bytes: number): number {
    const at = this.length
    const end = at + bytes
    if (end > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.buffer.length * 2))
      this.buffer.copy(grown, 0, 0, at)
      this.buffer = grown
    }
    this.length = end
    return at
  }
  u8(value: number): void {
    if (!(value >= 0 && value <= 0xff && Number.isInteger(value))) throw NumberOutOfDomain.of(value, 8)
    const at = this.room(1)
    this.buffer[at] = value
  }
  u32(value: number): void {
    if (!isUint32(value)) throw NumberOutOfDomain.of(value, 32)
    const at = this.room(4)
    this.buffer.writeUInt32BE(value, at)
  }
  i32(value: number): void {
    if (!isChain(value)) throw NumberOutOfDomain.of(value, 32)
    const at = this.room(4)
    this.buffer.writeInt32BE(value, at)
  }
  u48(value: number): void {
    if (!isCount(value)) throw NumberOutOfDomain.of(value, 48)
    const at = this.room(6)
    this.buffer.writeUIntBE(value, at, 6)
  }
  raw(bytes: Uint8Array): void {
    const at = this.room(bytes.length)
    this.buffer.set(bytes, at)
  }
  bytes(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.raw(bytes)
  }
  text(value: string): void {
    const size = Buffer.byteLength(value)
    this.u32(size)
    const at = this.room(size)
    this.buffer.write(value, at)
  }
  /** Reserve four bytes, to be filled in by `patchU32`. */
  hole(): number {
    return this.room(4)
  }
  patchU32(at: number, value: number): void {
    this.buffer.writeUInt32BE(value, at)
  }
  /** A view of what was written from `from` on; valid until the next write. */
  view(from = 0): Buffer {
    return this.buffer.subarray(from, this.length)
  }
  /** What was written; the writer continues with fresh memory. */
  take(): Buffer {
    const out = this.buffer.subarray(0, this.length)
    this.buffer = Buffer.allocUnsafe(Math.min(Math.max(4096, this.length), 1 << 20))
    this.length = 0
    return out
  }
  /** Drop what was written and reuse the memory: only if nobody holds a view of it. */
  reset(): void {
    this.length = 0
  }
}

/** Reads what a Writer wrote; every read checks that the bytes are there. */
export class ByteReader {
  readonly buffer: Buffer
  at: number
  readonly end: number
  /** True if the buffer holds nothing but what is read from it, so payloads may be views of it instead of copies. */
  readonly lasting: boolean
  constructor(buffer: Buffer, at = 0, end = buffer.length, lasting = false) {
    this.buffer = buffer
    this.at = at
    this.end = end
    this.lasting = lasting
  }
  private step(bytes: number): number {
    const at = this.at
    if (bytes > this.end - at) throw new MalformedBytes(`${bytes} bytes wanted at offset ${at}, ${this.end - at} left`)
    this.at = at + bytes
    return at
  }
  u8(): number {
    return this.buffer.readUInt8(this.step(1))
  }
  u32(): number {
    return this.buffer.readUInt32BE(this.step(4))
  }
  i32(): number {
    return this.buffer.readInt32BE(this.step(4))
  }
  u48(): number {
    return this.buffer.readUIntBE(this.step(6), 6)
  }
  flag(): boolean {
    const value = this.u8()
    if (value > 1) throw new MalformedBytes(`a flag is 0 or 1, not ${value}`)
    return value === 1
  }
  /** A view, not a copy: it keeps the whole buffer alive. */
  bytes(): Buffer {
    const size = this.u32()
    const at = this.step(size)
    return this.buffer.subarray(at, at + size)
  }
  /** The same as a plain Uint8Array, at half the cost of a Buffer. */
  view(): Uint8Array {
    const size = this.u32()
    const at = this.step(size)
    return new Uint8Array(this.buffer.buffer, this.buffer.byteOffset + at, size)
  }
  text(): string {
    const size = this.u32()
    const at = this.step(size)
    const text = this.buffer.toString("utf8", at, at + size)
    // Bytes that are no UTF-8 are read as others than they are: two names could become one.
    if (text.includes("\ufffd") && !this.buffer.subarray(at, at + size).equals(Buffer.from(text)))
      throw new MalformedBytes(`a text of ${size} bytes is not UTF-8`)
    return text
  }
  /** A count of items of at least `least` bytes each: a false count cannot cause a large allocation. */
  count(least: number): number {
    const value = this.u32()
    if (value * least > this.end - this.at)
      throw new MalformedBytes(`${value} items do not fit into ${this.end - this.at} bytes`)
    return value
  }
  done(): void {
    if (this.at !== this.end) throw new MalformedBytes(`${this.end - this.at} bytes left over`)
  }
}

export const writeMember = (w: ByteWriter, member: Member): void => {
  w.text(member.name)
  w.text(member.incarnation)
}
export const readMember = (r: ByteReader): Member => ({ name: r.text(), incarnation: r.text() })

const writeMembers = (w: ByteWriter, members: readonly Member[]): void => {
  w.u32(members.length)
  for (const member of members) writeMember(w, member)
}
const readMembers = (r: ByteReader): Member[] => Array.from({ length: r.count(8) }, () => readMember(r))

export const writeConfiguration = (w: ByteWriter, configuration: Configuration): void => {
  writeMembers(w, configuration.voters)
  writeMembers(w, configuration.outgoing)
  writeMembers(w, configuration.learners)
  const addresses = Object.entries(configuration.addresses ?? {})
  w.u32(addresses.length)
  for (const [name, address] of addresses) {
    w.text(name)
    w.text(address)
  }
  w.u32(configuration.level ?? 0)
}
export const readConfiguration = (r: ByteReader): Configuration => {
  const members = { voters: readMembers(r), outgoing: readMembers(r), learners: readMembers(r) }
  const places = Array.from({ length: r.count(8) }, () => [r.text(), r.text()] as const)
  const level = r.u32()
  const addresses = Object.fromEntries(places)
  if (Object.keys(addresses).length < places.length) throw new MalformedBytes("a member with two addresses")
  return { ...members, ...(places.length === 0 ? {} : { addresses }), ...(level === 0 ? {} : { level }) }
}

export const writeBase = (w: ByteWriter, base: LogBase): void => {
  w.u48(base.index)
  w.u48(base.term)
  w.u48(base.time)
  w.i32(base.chain)
  writeConfiguration(w, base.configuration)
}
export const readBase = (r: ByteReader): LogBase => ({
  index: r.u48(),
  term: r.u48(),
  time: r.u48(),
  chain: r.i32(),
  configuration: readConfiguration(r),
})

const NOOP = 0
const COMMAND = 1
const CONFIGURATION = 2
const LEAST_ENTRY = 17

export const writePayload = (w: ByteWriter, payload: Payload): void => {
  w.u32(payload.checksum)
  w.bytes(payload.bytes)
}
/** The bytes are copied, unless the buffer is lasting: a view would keep the whole socket chunk or file alive. */
export const readPayload = (r: ByteReader): Payload => {
  const checksum = r.u32()
  if (r.lasting) return { checksum, bytes: r.view() }
  const view = r.bytes()
  const bytes = Buffer.allocUnsafe(view.length)
  bytes.set(view)
  return { checksum, bytes }
}

/** The index is implied: entries are written in runs that name their first index. */
const writeEntry = (w: ByteWriter, entry: Entry): void => {
  switch (entry.kind) {
    case "noop":
      w.u8(NOOP)
      break
    case "command":
      w.u8(COMMAND)
      break
    case "configuration":
      w.u8(CONFIGURATION)
      break
  }
  w.u48(entry.term)
  w.u48(entry.time)
  w.i32(entry.chain)
  if (entry.kind === "command") writePayload(w, entry.payload)
  else if (entry.kind === "configuration") writeConfiguration(w, entry.configuration)
}
const readEntry = (r: ByteReader, index: number): Entry => {
  const kind = r.u8()
  const term = r.u48()
  const time = r.u48()
  const chain = r.i32()
  switch (kind) {
    case NOOP:
      return { kind: "noop", index, term, time, chain }
    case COMMAND:
      return { kind: "command", index, term, time, chain, payload: readPayload(r) }
    case CONFIGURATION:
      return { kind: "configuration", index, term, time, chain, configuration: readConfiguration(r) }
    default:
      throw new MalformedBytes(`no entry is of kind ${kind}`)
  }
}

/** A contiguous run of entries, first index first. An empty run has no index. */
export const writeEntries = (w: ByteWriter, entries: readonly Entry[]): void => {
  w.u32(entries.length)
  const first = entries[0]
  if (first === undefined) return
  w.u48(first.index)
  for (const entry of entries) writeEntry(w, entry)
}
export const readEntries = (r: ByteReader): Entry[] => {
  const count = r.count(LEAST_ENTRY)
  if (count === 0) return []
  const first = r.u48()
  const entries: Entry[] = []
  for (let i = 0; i < count; i++) entries.push(readEntry(r, first + i))
  return entries
}

export const writeStart = (w: ByteWriter, { number, words }: Start): void => {
  w.u48(number)
  w.u8(words.length)
  for (const word of words) w.u48(word)
}
export const readStart = (r: ByteReader): Start => {
  const number = r.u48()
  const count = r.u8()
  if (count !== Math.min(number, MAX_LINEAGE_WORDS)) throw new MalformedBytes(`${count} words for start ${number}`)
  return { number, words: Array.from({ length: count }, () => r.u48()) }
}
