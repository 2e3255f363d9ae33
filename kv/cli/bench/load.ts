/**
 * One connection of the benchmark: it sends a batch, counts its replies, and sends the next batch; or many callers
 * share it, and each sends its next command as soon as its last one is answered. It runs on the same machine as the
 * servers that it measures, so it must cost very little: a batch is patched in place in one buffer (the batch before
 * was answered, so it has been sent and nothing reads the buffer any more), and replies are counted without being
 * decoded.
 */
import type * as net from "node:net"
import type { Access } from "../../client/access.ts"
import { socketTo } from "../../client/connection.ts"
import type { Endpoint } from "../../client/endpoints.ts"

export interface LoadSettings {
  readonly endpoint: Endpoint
  /** The commands of a batch, or the number of callers. */
  readonly pipeline: number
  readonly callers: boolean
  readonly reads: number
  readonly valueSize: number
  readonly keys: number
  /** Sent once on each connection, before the first batch. */
  readonly preamble: readonly Buffer[]
  /** null: without TLS. */
  readonly tls: Access["tls"]
}
export interface LoadEvents {
  /**
   * Called with the number of commands that would be sent next. Returns how many may be: fewer near the end, 0 to stop.
   */
  readonly take: (wanted: number) => number
  readonly answered: (micros: number, replies: number) => void
  /** It could begin. Called again after a connection that was lost before that. */
  readonly up: () => void
  readonly failed: (reason: string, commands: number) => void
  readonly ended: () => void
}
export interface Load {
  /** Until then it is connected, and asks nothing. */
  readonly begin: () => void
  readonly stop: () => void
}

const digits = 12
const zero = 48
const keyBytes = 4 + digits

const setTemplate = (valueSize: number): Buffer =>
  Buffer.from(
    `*3\r\n$3\r\nSET\r\n$${keyBytes}\r\nkey:${"0".repeat(digits)}\r\n$${valueSize}\r\n${"x".repeat(valueSize)}\r\n`,
  )
const getTemplate = (): Buffer => Buffer.from(`*2\r\n$3\r\nGET\r\n$${keyBytes}\r\nkey:${"0".repeat(digits)}\r\n`)

/** Counts complete replies in a stream. The content of bulk strings is skipped. */
export const makeCounter = (error: (line: string) => void) => {
  let skip = 0
  let kind = 0
  let length = 0
  let negative = false
  let line = ""
  return (chunk: Uint8Array): number => {
    let replies = 0
    let at = 0
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at)
        at += step
        skip -= step
        if (skip === 0) replies += 1
        continue
      }
      const byte = chunk[at++] ?? 0
      if (kind === 0) {
        kind = byte
        length = 0
        negative = false
        line = ""
      } else if (byte === 10) {
        if (kind === 36 && !negative) skip = length + 2
        else {
          replies += 1
          if (kind === 45) error(line.trimEnd())
        }
        kind = 0
      } else if (kind === 36) {
        if (byte === 45) negative = true
        else if (byte !== 13) length = length * 10 + byte - zero
      } else if (kind === 45) line += String.fromCharCode(byte)
    }
    return replies
  }
}

const retryMs = 100

export const startLoad = (settings: LoadSettings, events: LoadEvents): Load => {
  const { pipeline, keys } = settings
  const set = setTemplate(settings.valueSize)
  const get = getTemplate()
  const setKeyAt = set.indexOf("key:") + 4
  const getKeyAt = get.indexOf("key:") + 4
  const buffer = Buffer.alloc(pipeline * Math.max(set.length, get.length))
  const writesOnly = settings.reads === 0
  // Filled once: a batch of writes differs from the next only in the digits of its keys.
  if (writesOnly) for (let i = 0; i < pipeline; i++) set.copy(buffer, i * set.length)

  let socket: net.Socket | null = null
  let again: NodeJS.Timeout | null = null
  let begun = false
  /** It is connected and logged in, and has not begun. */
  let waiting = false
  let stopped = false
  let over = false
  let outstanding = 0
  /** Batches that were sent and are not completely answered, oldest first. */
  let sent: { at: number; left: number }[] = []

  const patch = (at: number): void => {
    let rest = Math.floor(Math.random() * keys)
    for (let i = at + digits - 1; i >= at; i--) {
      buffer[i] = zero + (rest % 10)
      rest = Math.floor(rest / 10)
    }
  }
  const fill = (buffer: Buffer, commands: number): number => {
    let end = 0
    for (let i = 0; i < commands; i++) {
      if (writesOnly || Math.random() * 100 >= settings.reads) {
        if (!writesOnly) set.copy(buffer, end)
        patch(end + setKeyAt)
        end += set.length
      } else {
        get.copy(buffer, end)
        patch(end + getKeyAt)
        end += get.length
      }
    }
    return end
  }

  const finish = (): void => {
    if (over) return
    over = true
    if (again !== null) clearTimeout(again)
    socket?.destroy()
    events.ended()
  }
  const next = (wanted: number): void => {
    const commands = stopped ? 0 : events.take(wanted)
    if (commands === 0) return outstanding === 0 ? finish() : undefined
    const into = outstanding === 0 ? buffer : Buffer.allocUnsafe(commands * Math.max(set.length, get.length))
    if (writesOnly && into !== buffer) for (let i = 0; i < commands; i++) set.copy(into, i * set.length)
    outstanding += commands
    const bytes = fill(into, commands)
    sent.push({ at: performance.now(), left: commands })
    socket?.write(into.subarray(0, bytes))
  }
  const took = (replies: number): void => {
    const now = performance.now()
    for (let left = replies; left > 0;) {
      const [first] = sent
      if (first === undefined) return
      const part = Math.min(left, first.left)
      events.answered((now - first.at) * 1_000, part)
      left -= part
      first.left -= part
      if (first.left === 0) sent.shift()
    }
  }

  const connect = (): void => {
    again = null
    if (stopped) return finish()
    const mine = socketTo(settings.endpoint, settings.tls)
    socket = mine
    let greeting = settings.preamble.length
    const counter = makeCounter((line) => events.failed(line.replace(/^(\S+).*/, "$1"), 0))
    mine.on(settings.tls === null ? "connect" : "secureConnect", () => {
      if (settings.preamble.length === 0) isUp()
      else mine.write(Buffer.concat(settings.preamble))
    })
    mine.on("data", (chunk: Buffer) => {
      let replies = counter(chunk)
      if (greeting > 0 && replies > 0) {
        const greeted = Math.min(greeting, replies)
        greeting -= greeted
        replies -= greeted
        if (greeting > 0) return
        if (outstanding === 0) return isUp()
      }
      if (replies === 0) return
      took(replies)
      outstanding -= replies
      if (settings.callers) next(replies)
      else if (outstanding === 0) next(pipeline)
    })
    let reason = "connection closed"
    mine.on("error", (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    mine.on("close", () => {
      if (over) return
      waiting = false
      events.failed(reason, Math.max(1, outstanding))
      outstanding = 0
      sent = []
      if (stopped) finish()
      else again = setTimeout(connect, retryMs)
    })
  }
  const isUp = (): void => {
    if (begun) return next(pipeline)
    waiting = true
    events.up()
  }
  connect()
  return {
    begin: () => {
      begun = true
      if (waiting) next(pipeline)
    },
    /** Waits for the replies to what was already sent. */
    stop: () => {
      stopped = true
      if (outstanding === 0) finish()
    },
  }
}
