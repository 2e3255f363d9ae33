/** One connection: requests go out in order, replies come back in that order, and the end is reported once. */
import * as net from "node:net"
import { realSurroundings, type Surroundings } from "../../interpreters/surroundings.ts"
import type { Reply } from "../types.ts"
import { type Endpoint, showEndpoint } from "./endpoints.ts"
import { makeDecoder } from "./resp.ts"

export interface Connection {
  readonly endpoint: Endpoint
  /** The callback is called with the reply, or not at all if the connection ends first (then `down` was). */
  readonly send: (request: Buffer, replied: (reply: Reply) => void) => void
  /** How long no byte has arrived while a request is unanswered. */
  readonly silentMs: () => number
  /** Ends the connection at once. `down` is not called. */
  readonly drop: () => void
}

export interface ConnectionEvents {
  readonly up: () => void
  /**
   * The connection was refused, timed out, reset, ended by the server, or the bytes were not RESP. Called at most once.
   */
  readonly down: (reason: string) => void
}

/** Begins to connect. Where there are no sockets, the client's engine is given another function. */
export type Dial = (
  endpoint: Endpoint,
  connectTimeoutMs: number,
  events: ConnectionEvents,
  surroundings: Surroundings,
) => Connection

export const openConnection = (
  endpoint: Endpoint,
  connectTimeoutMs: number,
  events: ConnectionEvents,
  { now, after }: Surroundings = realSurroundings,
): Connection => {
  const waiting: ((reply: Reply) => void)[] = []
  let first = 0
  let over = false
  let lastByte = now()
  let unsent: Buffer[] = []

  const socket = net.connect({ host: endpoint.host, port: endpoint.port, noDelay: true, keepAlive: true })
  const timer = after(connectTimeoutMs, () =>
    end(`no connection to ${showEndpoint(endpoint)} within ${connectTimeoutMs} ms`),
  )
  const release = (): void => {
    over = true
    timer.cancel()
    socket.destroy()
  }
  const end = (reason: string): void => {
    if (over) return
    release()
    events.down(reason)
  }

  const decoder = makeDecoder((reply) => {
    if (over) return
    const replied = waiting[first]
    if (replied === undefined) throw new Error("a reply that was not asked for")
    first += 1
    // Removing replies one by one would move the whole array each time.
    if (first === waiting.length || first > 1_024) first -= waiting.splice(0, first).length
    replied(reply)
  })

  socket.on("connect", () => {
    timer.cancel()
    lastByte = now()
    if (!over) events.up()
  })
  socket.on("data", (chunk: Buffer) => {
    lastByte = now()
    try {
      if (!over) decoder.feed(chunk)
    } catch (error) {
      end(`${showEndpoint(endpoint)}: ${error instanceof Error ? error.message : String(error)}`)
    }
  })
  socket.on("error", (error) => end(`${showEndpoint(endpoint)}: ${error.message}`))
  socket.on("close", () => end(`${showEndpoint(endpoint)} closed the connection`))

  const flush = (): void => {
    const [only] = unsent
    const bytes = unsent.length === 1 && only !== undefined ? only : Buffer.concat(unsent)
    unsent = []
    if (!over) socket.write(bytes)
  }

  return {
    endpoint,
    send: (request, replied) => {
      if (over) return
      if (waiting.length === 0) lastByte = now()
      waiting.push(replied)
      unsent.push(request)
      // Everything that is sent in this turn of the loop is one write.
      if (unsent.length === 1) process.nextTick(flush)
    },
    silentMs: () => (waiting.length === 0 ? 0 : now() - lastByte),
    drop: release,
  }
}
