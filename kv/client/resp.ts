/** The client's part of RESP: requests out, replies in. Incremental: a reply may arrive in any number of pieces. */
import type { Reply } from "../types.ts"

export type Argument = string | number | bigint | Uint8Array

const crlf = "\r\n"
const empty = Buffer.alloc(0)

/** One request as an array of bulk strings, the form that every Redis server takes. */
export const encodeRequest = (args: readonly Argument[]): Buffer => {
  const parts: Buffer[] = []
  let text = `*${args.length}${crlf}`
  for (const arg of args) {
    if (typeof arg === "object") {
      // Bytes cannot be part of a string: the text before them is written first.
      parts.push(Buffer.from(`${text}$${arg.length}${crlf}`), Buffer.from(arg.buffer, arg.byteOffset, arg.length))
      text = crlf
    } else {
      const plain = String(arg)
      text += `$${Buffer.byteLength(plain)}${crlf}${plain}${crlf}`
    }
  }
  parts.push(Buffer.from(text))
  return parts.length === 1 ? (parts[0] ?? empty) : Buffer.concat(parts)
}

/** The bytes are not RESP: nothing after them can be trusted, so the connection is closed. */
export class MalformedReply extends Error {
  override readonly name = "MalformedReply"
}

type Aggregate = "array" | "map" | "push" | "attribute"
interface Open {
  readonly type: Aggregate
  remaining: number
  readonly items: Reply[]
}

const nothing: Reply = { type: "null" }
/** Stands for an attribute, which is no reply of its own. */
const skipped = Symbol("skipped")
const maxDepth = 64
const maxLine = 65_536

export interface Decoder {
  /** Takes a piece of the stream and calls `reply` (or `push`, for RESP3 out-of-band data) for each completed value. */
  readonly feed: (chunk: Buffer) => void
}

export const makeDecoder = (reply: (reply: Reply) => void, push: (reply: Reply) => void = () => {}): Decoder => {
  let buffer: Buffer = empty
  let position = 0
  /** Pieces that wait until a large bulk string is complete, so that it is joined once and not with every piece. */
  let pieces: Buffer[] = []
  let missing = 0
  const stack: Open[] = []

  const settle = (value: Reply | typeof skipped): void => {
    let done: Reply | typeof skipped = value
    for (;;) {
      const top = stack.at(-1)
      if (top === undefined) {
        if (done !== skipped) reply(done)
        return
      }
      if (done !== skipped) {
        top.items.push(done)
        top.remaining -= 1
      }
      if (top.remaining > 0) return
      stack.pop()
      if (top.type === "push") {
        push({ type: "array", items: top.items })
        return
      }
      done =
        top.type === "attribute" ? skipped : top.type === "map" ? asMap(top.items) : { type: "array", items: top.items }
    }
  }

  const open = (type: Aggregate, count: number): void => {
    if (count < 0) return settle(nothing)
    if (stack.length >= maxDepth) throw new MalformedReply("a reply is nested too deeply")
    if (count === 0 && type === "push") return
    if (count === 0)
      return settle(
        type === "attribute" ? skipped : type === "map" ? { type: "map", entries: [] } : { type: "array", items: [] },
      )
    stack.push({ type, remaining: count, items: [] })
  }

  /** Reads one value; false if the buffer ends before it does (nothing is consumed then). */
  const advance = (): boolean => {
    const end = buffer.indexOf(crlf, position, "latin1")
    // However many pieces it came in.
    if ((end < 0 ? buffer.length : end) - position > maxLine)
      throw new MalformedReply("not a RESP reply: its first line does not end")
    if (end < 0) return false
    const line = buffer.toString("utf8", position + 1, end)
    const kind = String.fromCharCode(buffer[position] ?? 0)
    const next = end + 2
    switch (kind) {
      case "$":
      case "=":
      case "!": {
        const length = count(line)
        if (length < 0) {
          position = next
          settle(nothing)
          return true
        }
        if (buffer.length < next + length + 2) {
          missing = next + length + 2 - buffer.length
          return false
        }
        // Else the length was wrong, and the next reply would be read from within this one.
        if (buffer[next + length] !== 0x0d || buffer[next + length + 1] !== 0x0a)
          throw new MalformedReply(`not a RESP reply: ${length} bytes do not end where they should`)
        const bytes = buffer.subarray(next, next + length)
        position = next + length + 2
        // A verbatim string starts with its format, as in "txt:".
        settle(
          kind === "!" ? errorOf(bytes.toString()) : { type: "bulk", bytes: kind === "=" ? bytes.subarray(4) : bytes },
        )
        return true
      }
      case "+":
        position = next
        settle({ type: "simple", text: line })
        return true
      case "-":
        position = next
        settle(errorOf(line))
        return true
      case ":":
      case "(":
        position = next
        settle({ type: "integer", value: integer(line) })
        return true
      case "_":
        position = next
        settle(nothing)
        return true
      case "#":
        position = next
        settle({ type: "integer", value: line === "t" ? 1 : 0 })
        return true
      case ",":
        position = next
        settle({ type: "bulk", bytes: Buffer.from(line) })
        return true
      case "*":
      case "~":
        position = next
        open("array", count(line))
        return true
      case "%":
        position = next
        open("map", count(line) * 2)
        return true
      case "|":
        position = next
        open("attribute", count(line) * 2)
        return true
      case ">":
        position = next
        open("push", count(line))
        return true
      default:
        throw new MalformedReply(`not a RESP reply: it starts with ${JSON.stringify(kind)}`)
    }
  }

  return {
    feed: (chunk) => {
      if (missing > chunk.length) {
        missing -= chunk.length
        pieces.push(chunk)
        return
      }
      missing = 0
      buffer =
        buffer.length === position && pieces.length === 0
          ? chunk
          : Buffer.concat([buffer.subarray(position), ...pieces, chunk])
      position = 0
      pieces = []
      while (position < buffer.length && advance());
      if (position === buffer.length) {
        buffer = empty
        position = 0
      }
    },
  }
}

const asMap = (items: readonly Reply[]): Reply => {
  const entries: (readonly [Reply, Reply])[] = []
  for (let i = 0; i + 1 < items.length; i += 2) entries.push([items[i] ?? nothing, items[i + 1] ?? nothing])
  return { type: "map", entries }
}

export const errorOf = (line: string): Extract<Reply, { readonly type: "error" }> => {
  const space = line.indexOf(" ")
  return space < 0
    ? { type: "error", code: line, text: "" }
    : { type: "error", code: line.slice(0, space), text: line.slice(space + 1) }
}

/** -1: there is none. */
const count = (line: string): number => {
  const value = Number(line)
  if (!(line === "-1" || /^\d+$/.test(line)) || !Number.isSafeInteger(value))
    throw new MalformedReply(`not a length: ${JSON.stringify(line)}`)
  return value
}

const integer = (line: string): number | bigint => {
  if (!/^[+-]?\d+$/.test(line)) throw new MalformedReply(`not an integer: ${JSON.stringify(line)}`)
  const value = Number(line)
  return Number.isSafeInteger(value) ? value + 0 : BigInt(line)
}

/** A reply as plain JavaScript; `text` decides whether bulk strings become strings or stay bytes. */
export type ReplyValue =
  | string
  | number
  | bigint
  | null
  | Uint8Array
  | readonly ReplyValue[]
  | ReadonlyMap<ReplyValue, ReplyValue>
export const toValue = (reply: Exclude<Reply, { type: "error" }>, text: boolean): ReplyValue => {
  switch (reply.type) {
    case "simple":
      return reply.text
    case "integer":
      return reply.value
    case "bulk":
      return text ? Buffer.from(reply.bytes.buffer, reply.bytes.byteOffset, reply.bytes.length).toString() : reply.bytes
    case "null":
      return null
    case "array":
      return reply.items.map((item) => nestedValue(item, text))
    case "map":
      return new Map(reply.entries.map(([key, value]) => [nestedValue(key, text), nestedValue(value, text)] as const))
  }
}

/**
 * An error inside an EXEC's array belongs to one command and does not fail the others: it stays at its place, as text.
 */
const nestedValue = (reply: Reply, text: boolean): ReplyValue =>
  reply.type === "error" ? `${reply.code} ${reply.text}`.trim() : toValue(reply, text)
