/**
 * Parses requests: the server's half of RESP. Chunks are pushed, commands are pulled, so that a connection with too
 * much outstanding simply stops pulling. Arguments are views of the chunk they came in; one that spans chunks is joined
 * once, when its last byte has arrived.
 */
import { splitInline } from "./inline.ts"
import type { Limits } from "../limits/limits.ts"

/** The bytes are not RESP. Nothing after them can be trusted: the connection sends this as an error and closes. */
export class ProtocolError {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/**
 * A whole request that was skipped because it is larger than allowed: it is refused by name, and the bytes after it are
 * valid.
 */
export class RequestTooLarge {
  /** The name of the command; empty if not even that was read. */
  readonly name: Buffer
  readonly text: string
  constructor(name: Buffer, text: string) {
    this.name = name
    this.text = text
  }
}

const star = 0x2a
const dollar = 0x24
const cr = 0x0d
const lf = 0x0a
const tab = 0x09
const minus = 0x2d
const empty = Buffer.alloc(0)
/** A list of more words than this is not kept for the next request. */
const keptPlaces = 64
/** A length has at most 20 digits and a sign; a longer text is not a length. */
const maxHeader = 24

/** A request that is larger than allowed is skipped as it arrives, up to this many times the size of one argument. */
const passedOver = 8

/** The memory of a word besides its bytes: a view of a chunk, and an element of a list. */
export const ARGUMENT_WEIGHT = 128

const incomplete = -2
const malformed = -3

export class RequestParser {
  /** The limits for the present client: they may change from one command to the next. */
  limits: Limits
  private chunk: Buffer = empty
  private at = 0
  /**
   * The first `received` are the words of the request being read, of `expected`; 0 between requests. One list for all
   * requests: V8 makes a list that is begun for each request among its old objects once some have lived long, and then
   * its words stay in memory until the next full collection.
   */
  private readonly words: Buffer[] = []
  private received = 0
  private expected = 0
  /** Length of the bulk being read, or -1 before its header. */
  private bulk = -1
  /** The received part of a bulk string that spans chunks. */
  private parts: Buffer[] = []
  private partBytes = 0
  private size = 0
  /**
   * Set while a request is skipped: why, the bytes so far, and how many bytes of the present bulk string are still to
   * come.
   */
  private passing: { readonly refused: RequestTooLarge; words: number; bytes: number; left: number } | null = null
  /** Stream offsets: of the start of the present chunk, and of the end of the last command. */
  private before = 0
  private returnedAt = 0
  /** For the command that `next` returned last: bytes of its words in a log entry, and its memory. */
  requestBytes = 0
  requestWeight = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /**
   * The part of the last chunk that `next` has left is put before this one: it is small once `next` has returned null.
   */
  push(chunk: Buffer): void {
    this.before += this.at
    this.chunk = this.at < this.chunk.length ? Buffer.concat([this.chunk.subarray(this.at), chunk]) : chunk
    this.at = 0
  }

  /** Bytes that arrived and are not parsed yet. */
  get pending(): number {
    return this.chunk.length - this.at
  }
  /** The memory that the parser holds. */
  get weight(): number {
    const missing = this.bulk < 0 ? 0 : this.bulk - Math.min(this.bulk, this.partBytes)
    return this.chunk.length + this.size - missing + (this.received + this.parts.length) * ARGUMENT_WEIGHT
  }

  /** Keeps only the part of the chunk that belongs to the next command. */
  compact(): void {
    this.before += this.at
    this.chunk = Buffer.from(this.chunk.subarray(this.at))
    this.at = 0
    for (let at = 0; at < this.received; at++) this.words[at] = Buffer.from(this.words[at] ?? empty)
    this.parts = this.parts.map((part) => Buffer.from(part))
  }

  /** Drops everything that the parser holds. */
  clear(): void {
    this.chunk = empty
    this.at = 0
    this.forget()
    this.parts = []
    this.partBytes = 0
    this.bulk = -1
    this.expected = 0
    this.size = 0
    this.passing = null
  }

  /** Returns the next whole command; null if more bytes are needed. */
  next(): readonly Buffer[] | RequestTooLarge | ProtocolError | null {
    for (;;) {
      if (this.expected === 0) {
        if (this.at >= this.chunk.length) {
          // An idle connection must not hold its last chunk in memory.
          this.before += this.at
          this.chunk = empty
          this.at = 0
          return null
        }
        if (this.chunk[this.at] !== star) {
          const words = this.inline()
          if (words === null || words instanceof ProtocolError) return words
          if (words.length === 0) continue
          this.weigh(words.length)
          return words
        }
        const count = this.length()
        if (count === incomplete) return null
        if (count === malformed || count > this.limits.maxArguments)
          return new ProtocolError("invalid multibulk length")
        if (count <= 0) continue
        this.expected = count
      }
      const failure = this.passing === null ? this.bulks() : this.pass()
      if (failure !== undefined) return failure
      if (this.passing !== null) {
        const { refused } = this.passing
        this.passing = null
        this.expected = 0
        this.weigh(0)
        // Nothing of the request is kept in memory.
        this.requestWeight = 0
        return refused
      }
      const words = this.words.slice(0, this.received)
      this.forget()
      this.expected = 0
      this.requestBytes = this.size + words.length * 16
      this.size = 0
      this.weigh(words.length)
      return words
    }
  }

  private forget(): void {
    if (this.words.length > keptPlaces) this.words.length = 0
    else this.words.fill(empty, 0, this.received)
    this.received = 0
  }

  /** Skipped bytes count too: they came in the same chunks, and stay in memory as long as those. */
  private weigh(words: number): void {
    const now = this.before + this.at
    this.requestWeight = now - this.returnedAt + words * ARGUMENT_WEIGHT
    this.returnedAt = now
  }

  /** Reads the missing bulk strings; undefined once they are complete. */
  private bulks(): ProtocolError | null | undefined {
    while (this.received < this.expected) {
      if (this.bulk < 0) {
        const first = this.chunk[this.at]
        if (first === undefined) return null
        if (first !== dollar) return new ProtocolError(`expected '$', got '${printable(first)}'`)
        const length = this.length()
        if (length === incomplete) return null
        if (length < 0) return new ProtocolError("invalid bulk length")
        if (length > this.limits.maxEntryBytes || this.size + length > 2 * this.limits.maxEntryBytes)
          return this.refuse(length)
        this.bulk = length
        this.size += length
      }
      const argument = this.partBytes === 0 ? this.whole() : this.joined()
      if (argument === null || argument instanceof ProtocolError) return argument
      this.words[this.received++] = argument
      this.bulk = -1
    }
    return undefined
  }

  /** The request is too large: drops what has arrived of it, and skips the rest. */
  private refuse(length: number): ProtocolError | null | undefined {
    const { maxEntryBytes } = this.limits
    const text =
      length > maxEntryBytes
        ? `an argument of ${length} bytes was given, at most ${maxEntryBytes} are allowed.`
        : `a request of ${this.size + length} bytes or more was given, at most ${2 * maxEntryBytes} are allowed.`
    this.passing = {
      refused: new RequestTooLarge(Buffer.from(this.words[0] ?? empty), `${text} Nothing was executed.`),
      words: this.received,
      bytes: this.size,
      left: 0,
    }
    this.forget()
    this.size = 0
    return this.passOver(length) ?? this.pass()
  }

  private passOver(length: number): ProtocolError | null {
    const { passing, limits } = this
    if (passing === null) return null
    passing.bytes += length
    passing.left = length + 2
    const most = passedOver * limits.maxEntryBytes
    return passing.bytes <= most
      ? null
      : new ProtocolError(
          `invalid bulk length: a request of ${passing.bytes} bytes or more was given, and at most ${most} are skipped`,
        )
  }

  /** Skips the missing bulk strings; undefined once all have been skipped. */
  private pass(): ProtocolError | null | undefined {
    const { passing } = this
    if (passing === null) return undefined
    while (passing.words < this.expected) {
      if (passing.left === 0) {
        const first = this.chunk[this.at]
        if (first === undefined) return null
        if (first !== dollar) return new ProtocolError(`expected '$', got '${printable(first)}'`)
        const length = this.length()
        if (length === incomplete) return null
        if (length < 0) return new ProtocolError("invalid bulk length")
        const failure = this.passOver(length)
        if (failure !== null) return failure
      }
      // The line end is checked as a whole.
      const taken = Math.min(passing.left - 2, this.pending)
      this.at += taken
      passing.left -= taken
      if (this.pending < 2) return null
      if (this.chunk[this.at] !== cr || this.chunk[this.at + 1] !== lf) return unterminated
      this.at += 2
      passing.left = 0
      passing.words++
    }
    return undefined
  }

  /** Returns a bulk string that lies in one chunk; otherwise begins to collect it. */
  private whole(): Buffer | ProtocolError | null {
    const from = this.at
    const end = from + this.bulk
    if (end + 2 > this.chunk.length) return this.joined()
    if (this.chunk[end] !== cr || this.chunk[end + 1] !== lf) return unterminated
    this.at = end + 2
    return this.bulk === 0 ? empty : this.chunk.subarray(from, end)
  }

  /** A bulk string that spans chunks: its parts, with the line end, are collected and copied once. */
  private joined(): Buffer | ProtocolError | null {
    const wanted = this.bulk + 2
    const part = this.chunk.subarray(this.at, this.at + wanted - this.partBytes)
    this.at += part.length
    this.partBytes += part.length
    this.parts.push(part)
    if (this.partBytes < wanted) return null
    const joined = Buffer.concat(this.parts, wanted)
    this.parts = []
    this.partBytes = 0
    return joined[wanted - 2] === cr && joined[wanted - 1] === lf ? joined.subarray(0, wanted - 2) : unterminated
  }

  /** Parses the number after the `*` or `$` at the position, through its line end. */
  private length(): number {
    const { chunk } = this
    let at = this.at + 1
    const negative = chunk[at] === minus
    if (negative) at++
    const digits = at
    let value = 0
    for (; at < chunk.length; at++) {
      const digit = (chunk[at] ?? 0) - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at - this.at > maxHeader) return malformed
    if (at + 1 >= chunk.length && (at >= chunk.length || chunk[at] === cr)) return incomplete
    if (at === digits || chunk[at] !== cr || chunk[at + 1] !== lf) return malformed
    this.at = at + 2
    return negative ? -1 : value
  }

  private inline(): readonly Buffer[] | ProtocolError | null {
    const { chunk, limits } = this
    const first = chunk[this.at] ?? 0
    // No command begins with this byte: fail at once, because random bytes may never contain a line end.
    if (first !== cr && first !== lf && first !== tab && (first < 0x20 || first > 0x7e))
      return new ProtocolError(
        `expected '*' or a command, got byte 0x${hex(first)}${first === 0x16 ? "; this port does not speak TLS" : ""}`,
      )
    const end = chunk.indexOf(lf, this.at)
    if ((end < 0 ? chunk.length : end) - this.at > limits.maxInlineBytes)
      return new ProtocolError("too big inline request")
    if (end < 0) return null
    const line = chunk.subarray(this.at, end > this.at && chunk[end - 1] === cr ? end - 1 : end)
    this.requestBytes = end + 1 - this.at
    this.at = end + 1
    for (const byte of line)
      if ((byte < 0x20 && byte !== tab) || byte === 0x7f)
        return new ProtocolError(`unprintable byte 0x${hex(byte)} in an inline request`)
    const words = splitInline(line)
    if (words === null) return new ProtocolError("unbalanced quotes in request")
    // A browser sends this, perhaps without its user's knowledge: do not execute the lines that follow.
    const verb = (words[0] ?? empty).toString("latin1").toLowerCase()
    if (verb === "host:" || (verb === "post" && words.length > 1))
      return new ProtocolError("this port does not speak HTTP")
    return words
  }
}

const unterminated = new ProtocolError("expected CRLF after a bulk")
const hex = (byte: number): string => byte.toString(16).padStart(2, "0")
const printable = (byte: number): string =>
  byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${hex(byte)}`
