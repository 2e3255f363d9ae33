/** The only place where sockets are made, in the clear or with TLS. */
import { connect, createServer, type Server, type Socket } from "node:net"
import * as tls from "node:tls"
import { contextOf, nameOf, noMember, secureServer, type Remote, type Tls } from "../tls/index.ts"

export interface Address {
  readonly host: string
  readonly port: number
}
export const addressText = (address: Address): string =>
  `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`

export const ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:,=\s]+)):(\d{1,5})$/u
/** null: that is no host:port. */
export const parseAddress = (text: string): Address | null => {
  const [, bracketed, plain, port] = ADDRESS.exec(text) ?? []
  const host = bracketed ?? plain
  return host === undefined || Number(port) > 65_535 ? null : { host, port: Number(port) }
}

/**
 * No Nagle: a batch is one write and must leave at once. Keep-alive starts after one quiet second (then each second,
 * ten times): a machine that lost power sends no reset, and two followers send each other nothing.
 */
const OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 } as const

/** A connection, and what is known of its other end once it stands. */
export interface Wire {
  readonly socket: Socket
  /** Told when it stands. */
  readonly up: "connect" | "secureConnect"
  /** Why the other end is not to be believed, whatever it says; null if it may be. */
  readonly flaw: () => string | null
  /** The member's name in its certificate; null: it needs none. */
  readonly certified: () => string | null
}
const plain = (socket: Socket): Wire => ({ socket, up: "connect", flaw: () => null, certified: () => null })
const secured = (socket: tls.TLSSocket): Wire => ({
  socket,
  up: "secureConnect",
  flaw: () => noMember(socket),
  certified: () => nameOf(socket) ?? "",
})

/** Both ends are ours: no older version is needed. */
const VERSION = "TLSv1.3"

export const dialSocket = (address: Address, keeper: Tls | null): Wire => {
  const { host, port } = address
  if (keeper === null) return plain(connect({ ...OPTIONS, host, port }))
  const socket = tls.connect({
    ...contextOf(keeper.shown(), VERSION),
    // Each end looks at the other's certificate itself, and tells it why it refuses it.
    rejectUnauthorized: false,
    host,
    port,
    // It is a member that is dialled, wherever it is: its name is compared (transport.ts), not its host's.
    checkServerIdentity: () => undefined,
  })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, OPTIONS.keepAliveInitialDelay)
  return secured(socket)
}

export interface Accepting {
  readonly accepted: (wire: Wire) => void
  /** No TLS came about with whoever is there. */
  readonly failed: (remote: Remote, code: string) => void
  /** For one handshake. */
  readonly patienceMs: number
}
/** Under way at a time. */
const HANDSHAKES = 64

export const listenSocket = (keeper: Tls | null, { accepted, failed, patienceMs }: Accepting): Server => {
  if (keeper === null) return createServer(OPTIONS, (socket) => accepted(plain(socket)))
  return secureServer(
    keeper,
    { ...OPTIONS, minVersion: VERSION, ask: true, patienceMs, handshakes: HANDSHAKES },
    { secured: (socket) => accepted(secured(socket)), failed },
  )
}
