/** A small RESP2 client that pipelines, for process tests and benchmarks. */
import { connect, type Socket } from "node:net"
import * as tls from "node:tls"

/** An error reply; `code` is its first word. */
export class ErrorReply {
  readonly code: string
  readonly text: string
  constructor(line: string) {
    const space = line.indexOf(" ")
    this.code = space < 0 ? line : line.slice(0, space)
    this.text = line
  }
}
export type RespReply = string | number | null | ErrorReply | readonly RespReply[]

/** The connection ended before the answer came: whether the command was executed is unknown. */
export class ConnectionLost extends Error {}

export interface RespClient {
  readonly call: (...words: readonly (string | number)[]) => Promise<RespReply>
  /** Sends bytes unchanged, without waiting for an answer. */
  readonly raw: (bytes: Uint8Array) => void
  readonly closed: () => boolean
  readonly close: () => void
}

/** undefined: more bytes are needed. */
type Parsed = { readonly reply: RespReply; readonly end: number } | undefined

const parse = (bytes: Buffer, start: number): Parsed => {
  const lineEnd = bytes.indexOf("\r\n", start)
  if (lineEnd < 0) return undefined
  const line = bytes.toString("utf8", start + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(bytes[start] ?? 0)) {
    case "+":
      return { reply: line, end }
    case "-":
      return { reply: new ErrorReply(line), end }
    case ":":
      return { reply: Number(line), end }
    case "$": {
      const length = Number(line)
      if (length < 0) return { reply: null, end }
      if (bytes.length < end + length + 2) return undefined
      return { reply: bytes.toString("utf8", end, end + length), end: end + length + 2 }
    }
    case "*": {
      const count = Number(line)
      if (count < 0) return { reply: null, end }
      const items: RespReply[] = []
      let at = end
      for (let i = 0; i < count; i++) {
        const item = parse(bytes, at)
        if (item === undefined) return undefined
        items.push(item.reply)
        at = item.end
      }
      return { reply: items, end: at }
    }
    default:
      throw new Error(`not RESP: ${JSON.stringify(bytes.toString("latin1", start, start + 40))}`)
  }
}

const encode = (words: readonly (string | number)[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join("")}`

interface Waiting {
  readonly resolve: (reply: RespReply) => void
  readonly reject: (error: Error) => void
}

const clientOn = (socket: Socket): RespClient => {
  let waiting: Waiting[] = []
  let chunks: Buffer[] = []
  let out: string[] = []
  let lost = false

  const end = (reason: string): void => {
    lost = true
    socket.destroy()
    const failed = waiting
    waiting = []
    for (const one of failed) one.reject(new ConnectionLost(reason))
  }
  const received = (chunk: Buffer): void => {
    chunks.push(chunk)
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    let at = 0
    let answered = 0
    for (; at < bytes.length; answered++) {
      const parsed = parse(bytes, at)
      if (parsed === undefined) break
      at = parsed.end
      waiting[answered]?.resolve(parsed.reply)
    }
    waiting.splice(0, answered)
    chunks = at === bytes.length ? [] : [bytes.subarray(at)]
  }
  socket.on("data", (chunk: Buffer) => {
    try {
      received(chunk)
    } catch (error) {
      end(String(error))
    }
  })
  socket.on("error", (error) => end(String(error)))
  socket.on("close", () => end("connection closed"))

  return {
    call: (...words) =>
      new Promise((resolve, reject) => {
        if (lost) return reject(new ConnectionLost("connection closed"))
        waiting.push({ resolve, reject })
        out.push(encode(words))
        if (out.length === 1)
          queueMicrotask(() => {
            const text = out.join("")
            out = []
            if (!lost) socket.write(text)
          })
      }),
    raw: (bytes) => void socket.write(bytes),
    closed: () => lost,
    close: () => end("closed by this side"),
  }
}

/** `secured`: null in the clear. */
export const openResp = (
  port: number,
  host = "127.0.0.1",
  secured: tls.ConnectionOptions | null = null,
): Promise<RespClient> =>
  new Promise((resolve, reject) => {
    const at = { port, host }
    const socket = secured === null ? connect({ ...at, noDelay: true }) : tls.connect({ ...at, ...secured })
    socket.once("error", (error) => reject(new ConnectionLost(String(error))))
    socket.once(secured === null ? "connect" : "secureConnect", () => {
      socket.setNoDelay(true)
      socket.removeAllListeners("error")
      resolve(clientOn(socket))
    })
  })
