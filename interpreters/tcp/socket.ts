/** The only place where sockets are made, in the clear or with TLS. */
import { constants } from "node:crypto"
import { connect, createServer, type Server, type Socket } from "node:net"
import * as tls from "node:tls"
import { nameOf, noMember, type Shown, type Tls } from "../tls/index.ts"

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
 * No Nagle: a batch is one write and must leave at once. Keep-alive after one quiet second (then each second, ten
 * times): a machine that lost power sends no reset, and two followers have nothing to say to each other.
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

/** Both ends are ours: no older version is needed. A ticket would let a peer in without showing its certificate again. */
const settingsOf = (shown: Shown): tls.SecureContextOptions => ({
  ...shown,
  minVersion: "TLSv1.3",
  secureOptions: constants.SSL_OP_NO_TICKET,
})
/** Each end looks at the other's certificate itself, and tells it why it refuses it. */
const MUTUAL = { requestCert: true, rejectUnauthorized: false } as const

export const dialSocket = (address: Address, keeper: Tls | null): Wire => {
  const { host, port } = address
  if (keeper === null) return plain(connect({ ...OPTIONS, host, port }))
  const socket = tls.connect({
    ...settingsOf(keeper.shown()),
    ...MUTUAL,
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
export interface Remote {
  readonly host: string
  readonly port: number | undefined
}
export const remoteOf = ({ remoteAddress, remotePort }: Socket): Remote => ({
  host: remoteAddress ?? "a connection that is gone",
  port: remotePort,
})

/** Handshakes under way; beyond it the oldest is ended. */
const HANDSHAKES = 64

export const listenSocket = (keeper: Tls | null, { accepted, failed, patienceMs }: Accepting): Server => {
  if (keeper === null) return createServer(OPTIONS, (socket) => accepted(plain(socket)))
  const server = tls.createServer({
    ...OPTIONS,
    ...settingsOf(keeper.shown()),
    ...MUTUAL,
    handshakeTimeout: patienceMs,
  })
  const underWay = new Map<string, Socket>()
  const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ""} ${remotePort ?? ""}`
  server.on("connection", (socket: Socket) => {
    const key = keyOf(socket)
    underWay.set(key, socket)
    socket.once("close", () => underWay.delete(key))
    const [oldest] = underWay
    if (underWay.size <= HANDSHAKES || oldest === undefined) return
    underWay.delete(oldest[0])
    oldest[1].destroy()
  })
  server.on("secureConnection", (socket) => {
    underWay.delete(keyOf(socket))
    accepted(secured(socket))
  })
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) =>
    failed(remoteOf(socket), error.code ?? error.message),
  )
  const stop = keeper.onChange(() => server.setSecureContext(settingsOf(keeper.shown())))
  server.once("close", stop)
  return server
}
