/** The only place where sockets are made, with or without TLS. */
import { connect, createServer, type Server, type Socket } from "node:net"
import * as tls from "node:tls"
import {
  sharedContextOf,
  certifiedName,
  memberCertificateProblem,
  secureServer,
  type Remote,
  type Tls,
} from "../tls/index.ts"

export interface Address {
  readonly host: string
  readonly port: number
}
export const addressText = (address: Address): string =>
  `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`

export const ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:,=\s[\]]+)):(\d{1,5})$/u
/** null: the text is no host:port. */
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

/** A connection, and what is known of its other end once it is established. */
export interface DialledSocket {
  readonly socket: Socket
  /** The event that tells that it is established. */
  readonly up: "connect" | "secureConnect"
  /** Why the other end must not be believed, whatever it says; null if it may be. */
  readonly flaw: () => string | null
  /** The member's name in its certificate; null: TLS is not used. */
  readonly certified: () => string | null
}
const plain = (socket: Socket): DialledSocket => ({ socket, up: "connect", flaw: () => null, certified: () => null })
const secured = (socket: tls.TLSSocket): DialledSocket => ({
  socket,
  up: "secureConnect",
  flaw: () => memberCertificateProblem(socket),
  certified: () => certifiedName(socket) ?? "",
})

/** Both ends run this program, so no older version is needed. */
const VERSION = "TLSv1.3"

export const dialSocket = (address: Address, keeper: Tls | null): DialledSocket => {
  const { host, port } = address
  if (keeper === null) return plain(connect({ ...OPTIONS, host, port }))
  const socket = tls.connect({
    secureContext: sharedContextOf(keeper.material(), VERSION),
    // Each end looks at the other's certificate itself, and tells it why it refuses it.
    rejectUnauthorized: false,
    host,
    port,
    // A member is dialled, whatever its host: its member name is compared (transport.ts), not its host name.
    checkServerIdentity: () => undefined,
  })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, OPTIONS.keepAliveInitialDelay)
  return secured(socket)
}

/** The name in the certificate of whoever answers there, which proves nothing; empty: in no form of ours. null: no TLS. */
export const certificateAt = ({ host, port }: Address, timeout: number): Promise<string | null> =>
  new Promise((resolve) => {
    const socket = tls.connect({ host, port, rejectUnauthorized: false })
    const end = (name: string | null): void => {
      socket.destroy()
      resolve(name)
    }
    socket.setTimeout(timeout, () => end(null))
    socket.once("secureConnect", () => end(certifiedName(socket) ?? ""))
    socket.once("error", () => end(null))
  })

export interface Accepting {
  readonly accepted: (wire: DialledSocket) => void
  /** The TLS handshake failed. */
  readonly failed: (remote: Remote, code: string) => void
  /** The time limit of one handshake. */
  readonly patienceMs: number
}
/** The number of handshakes that may be in progress at a time. */
const HANDSHAKES = 64

export const listenSocket = (keeper: Tls | null, { accepted, failed, patienceMs }: Accepting): Server => {
  if (keeper === null) return createServer(OPTIONS, (socket) => accepted(plain(socket)))
  return secureServer(
    keeper,
    { ...OPTIONS, minVersion: VERSION, ask: true, patienceMs, handshakes: HANDSHAKES },
    { secured: (socket) => accepted(secured(socket)), failed },
  )
}
