/**
 * Encodes replies. Small ones are collected as one latin-1 string (one character per byte: the cheapest for V8 to
 * append to and for a socket to write); the bytes of longer bulk strings are passed to the sink unchanged, between two
 * pieces of text.
 */
import type { Reply } from "../../types.ts"

export type Protocol = 2 | 3

/** Where encoded replies are collected. `text` holds one character per byte. */
export interface Sink {
  text: string
  readonly bytes: (bytes: Uint8Array) => void
}

export const ok: Reply = { type: "simple", text: "OK" }
export const queued: Reply = { type: "simple", text: "QUEUED" }
export const pong: Reply = { type: "simple", text: "PONG" }
export const nil: Reply = { type: "null" }

/** Stands for no reply at all, for CLIENT REPLY OFF and SKIP. */
export const noReply: Reply = { type: "simple", text: "" }

export const bulkText = (text: string): Reply => ({ type: "bulk", bytes: Buffer.from(text) })
/** A text for people. */
export const verbatim = (text: string | Buffer): Reply => ({ type: "bulk", bytes: Buffer.from(text), verbatim: true })
export const array = (items: readonly Reply[]): Reply => ({ type: "array", items })
/** A map with text keys, as most maps in Redis are. */
export const map = (entries: Readonly<Record<string, Reply>>): Reply => ({
  type: "map",
  entries: Object.entries(entries).map(([key, value]) => [bulkText(key), value] as const),
})

/** Up to this many bytes a loop is faster than the calls into native code for a copy. */
const looped = 12

const small = Array.from({ length: 256 }, (_, value) => `:${value}\r\n`)
const headers = Array.from({ length: 256 }, (_, length) => `$${length}\r\n`)

/** The format of a verbatim string. */
const format = "txt:"

export const encode = (reply: Reply, protocol: Protocol, sink: Sink): void => {
  switch (reply.type) {
    case "simple":
      sink.text += reply.text === "OK" ? "+OK\r\n" : `+${line(reply.text)}\r\n`
      return
    case "integer":
      sink.text += (typeof reply.value === "number" ? small[reply.value] : undefined) ?? `:${reply.value}\r\n`
      return
    case "null":
      sink.text += protocol === 3 ? "_\r\n" : "$-1\r\n"
      return
    case "bulk":
      if (reply.verbatim === true && protocol === 3) sink.text += `=${reply.bytes.length + format.length}\r\n${format}`
      else sink.text += headers[reply.bytes.length] ?? `$${reply.bytes.length}\r\n`
      encodeBytes(reply.bytes, sink)
      return
    case "error":
      sink.text += `-${line(`${reply.code} ${reply.text}`)}\r\n`
      return
    case "array": {
      const text = reply.items.length < longList ? undefined : fixedTexts.get(reply)
      if (text !== undefined) {
        sink.text += text
        return
      }
      encodeHeader(reply, protocol, sink)
      for (const item of reply.items) encode(item, protocol, sink)
      return
    }
    case "map":
      encodeHeader(reply, protocol, sink)
      for (const [key, value] of reply.entries) {
        encode(key, protocol, sink)
        encode(value, protocol, sink)
      }
      return
  }
}

export const encodeHeader = (
  reply: Extract<Reply, { type: "array" | "map" }>,
  protocol: Protocol,
  sink: Sink,
): void => {
  if (reply.type === "array")
    sink.text += reply.announced === null ? "" : `*${reply.announced ?? reply.items.length}\r\n`
  else sink.text += protocol === 3 ? `%${reply.entries.length}\r\n` : `*${reply.entries.length * 2}\r\n`
}

/** Long lists that never change are encoded once. */
const longList = 32
const fixedTexts = new WeakMap<Reply, string>()
/** The reply, encoded once and kept. For lists without nulls and maps, which both protocols encode alike. */
export const fixed = (reply: Reply): Reply => {
  const sink: Sink = {
    text: "",
    bytes: (bytes) => {
      sink.text += Buffer.from(bytes).toString("latin1")
    },
  }
  encode(reply, 2, sink)
  // Through a buffer: that gives one flat string, not a tree of its pieces.
  fixedTexts.set(reply, Buffer.from(sink.text, "latin1").toString("latin1"))
  return reply
}
/** Whether it is encoded already, however long it is. */
export const isFixed = (reply: Reply): boolean => fixedTexts.has(reply)

/** The reply of EXEC when a watched key has changed: RESP2 has a separate null for arrays. */
export const encodeNullArray = (protocol: Protocol, sink: Sink): void => {
  sink.text += protocol === 3 ? "_\r\n" : "*-1\r\n"
}

const encodeBytes = (bytes: Uint8Array, sink: Sink): void => {
  const { length } = bytes
  if (length > looped) sink.bytes(bytes)
  else for (let at = 0; at < length; at++) sink.text += String.fromCharCode(bytes[at] ?? 0)
  sink.text += "\r\n"
}

/**
 * Makes the text of an error one line. Quotes from a request hold one character per byte, and are sent as they came;
 * other characters are sent as UTF-8.
 */
const line = (text: string): string => {
  if (/^[\x20-\x7e]*$/u.test(text)) return text
  return text.replaceAll(/[\r\n]/gu, " ").replaceAll(/[^\0-\xff]/gu, (other) => Buffer.from(other).toString("latin1"))
}
