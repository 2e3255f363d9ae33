/** One connection: requests go out in order, replies come back in that order, and the end is reported once. */
import * as net from "node:net"
import * as tls from "node:tls"
import { realSurroundings, type Surroundings } from "../../interpreters/surroundings.ts"
import type { Reply } from "../types.ts"
import { type Access, inTheClear } from "./access.ts"
import { type Endpoint, showEndpoint } from "./endpoints.ts"
import { encodeRequest, makeDecoder } from "./resp.ts"
import { speaksTls, tlsTrouble, type TlsTrouble } from "./tlsTrouble.ts"

export interface NodeConnection {
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
   * `lasting`: waiting does not mend it, for the node does not accept this user, or TLS cannot be agreed with it.
   */
  readonly down: (reason: string, lasting?: Denied | TlsTrouble) => void
}
export interface Denied {
  readonly code: string
  readonly text: string
}

/** Starts to connect. On platforms without sockets the client's engine is given another function. */
export type Dial = (
  endpoint: Endpoint,
  connectTimeoutMs: number,
  events: ConnectionEvents,
  surroundings: Surroundings,
) => NodeConnection

/** Answers to AUTH that every other node would give too. After any other answer, another node may accept the login. */
const FINAL: ReadonlySet<string> = new Set(["WRONGPASS", "NOAUTH", "NOPERM"])
const isFinal = (code: string, text: string): boolean => FINAL.has(code) || text.startsWith("AUTH <password> called")

type Secured = NonNullable<Access["tls"]>
/** To read certificates and keys takes half as long as a handshake, so the connections of a client share what was read. */
const contexts = new WeakMap<Secured, tls.SecureContext>()
const contextOf = (secured: Secured): tls.SecureContext => {
  const known = contexts.get(secured)
  if (known !== undefined) return known
  const { ca, cert, key } = secured
  const asBuffer = (pem: string | Uint8Array): string | Buffer => (typeof pem === "string" ? pem : Buffer.from(pem))
  const context = tls.createSecureContext({
    ...(ca === undefined ? {} : { ca: asBuffer(ca) }),
    ...(cert === undefined ? {} : { cert: asBuffer(cert) }),
    ...(key === undefined ? {} : { key: asBuffer(key) }),
  })
  contexts.set(secured, context)
  return context
}

export const socketTo = ({ host, port }: Endpoint, secured: Access["tls"]): net.Socket => {
  if (secured === null) return net.connect({ host, port, noDelay: true, keepAlive: true })
  const name = secured.servername ?? (net.isIP(host) === 0 ? host : undefined)
  const named = name === undefined ? {} : { servername: name }
  return tls
    .connect({ host, port, ...named, secureContext: contextOf(secured) })
    .setNoDelay(true)
    .setKeepAlive(true)
}

/**
 * Whether TLS is spoken there: a node that does closes a connection without TLS and says nothing. Only a handshake is
 * sent.
 */
const probeTls = ({ host, port }: Endpoint, told: (speaks: boolean) => void): net.Socket => {
  const socket = tls.connect({ host, port, rejectUnauthorized: false })
  return socket
    .once("secureConnect", () => told(true))
    .once("error", () => told(false))
    .once("close", () => told(false))
}

/** Makes a function that dials with these TLS files and this login. */
export const dialAs =
  (access: Access): Dial =>
  (endpoint, connectTimeoutMs, events, surroundings) =>
    openConnection(endpoint, connectTimeoutMs, events, surroundings, access)

export const openConnection = (
  endpoint: Endpoint,
  connectTimeoutMs: number,
  events: ConnectionEvents,
  { now, after }: Surroundings = realSurroundings,
  { tls: secured, login }: Access = inTheClear,
): NodeConnection => {
  const waiting: ((reply: Reply) => void)[] = []
  let first = 0
  let over = false
  let lastByte = now()
  let unsent: Buffer[] = []

  const address = showEndpoint(endpoint)
  const socket = socketTo(endpoint, secured)
  let probe: net.Socket | null = null
  let timer = after(connectTimeoutMs, () => end(`no connection to ${address} within ${connectTimeoutMs} ms`))
  const release = (): void => {
    over = true
    timer.cancel()
    socket.destroy()
    probe?.destroy()
  }
  const end = (reason: string, lasting?: Denied | TlsTrouble): void => {
    if (over) return
    release()
    events.down(reason, lasting)
  }
  /** The node ended the connection, or the network did. */
  const lost = (reason: string): void => {
    if (over || probe !== null) return
    if (secured !== null || socket.bytesRead > 0 || socket.bytesWritten === 0) return end(reason)
    timer.cancel()
    timer = after(connectTimeoutMs, () => end(reason))
    probe = probeTls(endpoint, (speaks) => {
      const trouble = speaksTls(address)
      if (speaks) end(trouble.text, trouble)
      else end(`${reason} without an answer`)
    })
  }

  const decoder = makeDecoder((reply) => {
    if (over) return
    const replied = waiting[first]
    if (replied === undefined) throw new Error("a reply without a request")
    first += 1
    // Removing replies one by one would move the whole array each time.
    if (first === waiting.length || first > 1_024) first -= waiting.splice(0, first).length
    replied(reply)
  })

  socket.on(secured === null ? "connect" : "secureConnect", () => {
    lastByte = now()
    if (over) return
    if (login === null) {
      timer.cancel()
      events.up()
    } else
      send(encodeRequest(["AUTH", login.username, login.password]), (reply) => {
        timer.cancel()
        if (reply.type !== "error") return events.up()
        const { code, text } = reply
        end(`${address}: ${code} ${text}`, isFinal(code, text) ? { code, text } : undefined)
      })
  })
  socket.on("data", (chunk: Buffer) => {
    lastByte = now()
    try {
      if (!over) decoder.feed(chunk)
    } catch (error) {
      end(`${address}: ${error instanceof Error ? error.message : String(error)}`)
    }
  })
  let seen: tls.PeerCertificate | null = null
  // Before Node judges the certificate: afterwards it tells only why, and no more whose it was.
  if (socket instanceof tls.TLSSocket)
    socket.prependOnceListener("secure", () => {
      seen = socket.getPeerCertificate()
    })
  socket.on("error", (error: NodeJS.ErrnoException) => {
    const host = secured?.servername ?? endpoint.host
    const trouble = secured === null ? null : tlsTrouble(error, { address, host, secured, seen })
    if (trouble === null) lost(`${address}: ${error.message.trim()}`)
    else end(trouble.text, trouble)
  })
  socket.on("close", () => lost(`${address} closed the connection`))

  const flush = (): void => {
    const [only] = unsent
    const bytes = unsent.length === 1 && only !== undefined ? only : Buffer.concat(unsent)
    unsent = []
    if (!over) socket.write(bytes)
  }

  const send: NodeConnection["send"] = (request, replied) => {
    if (over) return
    if (waiting.length === 0) lastByte = now()
    waiting.push(replied)
    unsent.push(request)
    // Everything that is sent in this turn of the loop is one write.
    if (unsent.length === 1) process.nextTick(flush)
  }

  return { endpoint, send, silentMs: () => (waiting.length === 0 ? 0 : now() - lastByte), drop: release }
}
