/** Replies: those that every family uses, and the binary form in which a session keeps them. */
import { MalformedBytes, ByteReader, type ByteWriter } from "../../interpreters/bytes.ts"
import type { Reply } from "../types.ts"

export const OK: Reply = { type: "simple", text: "OK" }
export const NULL: Reply = { type: "null" }
export const ZERO: Reply = { type: "integer", value: 0 }
export const ONE: Reply = { type: "integer", value: 1 }

export const integer = (value: number): Reply => (value === 1 ? ONE : value === 0 ? ZERO : { type: "integer", value })
export const bulk = (bytes: Uint8Array): Reply => ({ type: "bulk", bytes })
export const errorReply = (code: string, text: string): Reply => ({ type: "error", code, text })
export const err = (text: string, code = "ERR"): Reply => errorReply(code, text)

export const EMPTY_BULK: Reply = bulk(Buffer.alloc(0))

/** The reply of HELP: the form of the command, then each subcommand with its purpose. */
export const help = (name: string, lines: Readonly<Record<string, string>>): Reply => {
  const simple = (text: string): Reply => ({ type: "simple", text })
  const items = Object.entries({ ...lines, HELP: "This list." }).flatMap(([form, text]) => [
    simple(form),
    simple(`    ${text}`),
  ])
  return {
    type: "array",
    items: [simple(`${name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`), ...items],
  }
}

/** How an error quotes a word: its bytes as characters, up to a zero byte, as Redis does. */
export const quoted = (bytes: Uint8Array, room: number): string => {
  const zero = bytes.subarray(0, room).indexOf(0)
  return Buffer.from(bytes.buffer, bytes.byteOffset, zero < 0 ? Math.min(room, bytes.length) : zero).toString("latin1")
}
export const syntaxError = err("syntax error")
export const notAnInteger = err("value is not an integer or out of range")
export const wrongArity = (name: string): Reply => err(`wrong number of arguments for '${name.toLowerCase()}' command`)
export const invalidExpire = (name: string): Reply => err(`invalid expire time in '${name}' command`)

/** The memory of a reply object besides its bytes. */
const OBJECT = 128

/** The approximate memory of a kept reply. Part of the format: the log decides what is kept. */
export const replySize = (reply: Reply): number => {
  switch (reply.type) {
    case "simple":
    case "integer":
    case "null":
      return OBJECT
    case "error":
      return OBJECT + reply.text.length
    case "bulk":
      return OBJECT + reply.bytes.length
    case "array":
      return reply.items.reduce((sum, item) => sum + replySize(item), OBJECT)
    case "map":
      return reply.entries.reduce((sum, [key, value]) => sum + replySize(key) + replySize(value), OBJECT)
  }
}

const SIMPLE = 0
const ERROR = 1
const INTEGER = 2
const WIDE = 3
const BULK = 4
const NOTHING = 5
const ARRAY = 6
const MAP = 7
const DONE = 8
/** Deeper than any command's reply; a bound so that wrong bytes cannot exhaust the stack. */
const MAX_DEPTH = 8

const isWide = (value: number | bigint): boolean =>
  typeof value === "bigint" || !(value >= 0 && value <= 0xffff_ffff_ffff)

export const writeReply = (w: ByteWriter, reply: Reply): void => {
  switch (reply.type) {
    case "simple":
      if (reply.text === "OK") w.u8(DONE)
      else {
        w.u8(SIMPLE)
        w.text(reply.text)
      }
      break
    case "error":
      w.u8(ERROR)
      w.text(reply.code)
      w.text(reply.text)
      break
    case "integer":
      if (isWide(reply.value)) {
        w.u8(WIDE)
        w.text(reply.value.toString())
      } else {
        w.u8(INTEGER)
        w.u48(Number(reply.value))
      }
      break
    case "bulk":
      w.u8(BULK)
      w.bytes(reply.bytes)
      break
    case "null":
      w.u8(NOTHING)
      break
    case "array":
      w.u8(ARRAY)
      w.u32(reply.items.length)
      for (const item of reply.items) writeReply(w, item)
      break
    case "map":
      w.u8(MAP)
      w.u32(reply.entries.length)
      for (const [key, value] of reply.entries) {
        writeReply(w, key)
        writeReply(w, value)
      }
      break
  }
}

const wide = (text: string): number | bigint => {
  if (!/^-?\d{1,19}$/.test(text)) throw new MalformedBytes(`${JSON.stringify(text)} is not an integer`)
  const value = BigInt(text)
  // Whatever has another form as well would not be the same when it is written again.
  if (!isWide(value <= 0xffff_ffff_ffffn && value >= 0n ? Number(value) : value) || value.toString() !== text)
    throw new MalformedBytes(`${JSON.stringify(text)} is not an integer as it is written`)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

export const readReply = (r: ByteReader, depth = 0): Reply => {
  if (depth > MAX_DEPTH) throw new MalformedBytes(`a reply is nested more than ${MAX_DEPTH} deep`)
  const kind = r.u8()
  switch (kind) {
    case DONE:
      return OK
    case SIMPLE:
      return { type: "simple", text: r.text() }
    case ERROR:
      return { type: "error", code: r.text(), text: r.text() }
    case INTEGER:
      return { type: "integer", value: r.u48() }
    case WIDE:
      return { type: "integer", value: wide(r.text()) }
    case BULK:
      // A copy: a view would keep the whole record in memory.
      return { type: "bulk", bytes: Buffer.from(r.bytes()) }
    case NOTHING:
      return NULL
    case ARRAY:
      return { type: "array", items: Array.from({ length: r.count(1) }, () => readReply(r, depth + 1)) }
    case MAP:
      return {
        type: "map",
        entries: Array.from({ length: r.count(2) }, () => [readReply(r, depth + 1), readReply(r, depth + 1)] as const),
      }
    default:
      throw new MalformedBytes(`a reply of the unknown kind ${kind}`)
  }
}
