/** A port that speaks TLS: handshakes that are under way are bounded and timed, and new certificates count at once. */
import { constants } from "node:crypto"
import type { Server, ServerOpts, Socket } from "node:net"
import * as tls from "node:tls"
import type { Shown, Tls } from "./keeper.ts"

export interface Remote {
  readonly host: string
  readonly port: number | undefined
}
export const remoteOf = ({ remoteAddress, remotePort }: Socket): Remote => ({
  host: remoteAddress ?? "a connection that is gone",
  port: remotePort,
})

/** A ticket would let somebody in without showing his certificate again. */
export const contextOf = (shown: Shown, minVersion: tls.SecureVersion): tls.SecureContextOptions => ({
  ...shown,
  minVersion,
  secureOptions: constants.SSL_OP_NO_TICKET,
})

export interface SecureOptions extends ServerOpts {
  readonly minVersion: tls.SecureVersion
  /** Whether the other end is asked for a certificate. What it shows is looked at by whoever takes the socket (trust.ts). */
  readonly ask: boolean
  /** For one handshake. */
  readonly patienceMs: number
  /** Handshakes under way; beyond them the oldest is ended, so that a new one is always heard. */
  readonly handshakes: number
}
export interface SecureHandlers {
  readonly secured: (socket: tls.TLSSocket) => void
  /** No TLS came about. */
  readonly failed: (remote: Remote, code: string) => void
}

export const secureServer = (
  keeper: Tls,
  { minVersion, ask, patienceMs, handshakes, ...options }: SecureOptions,
  { secured, failed }: SecureHandlers,
): Server => {
  const server = tls.createServer({
    ...options,
    ...contextOf(keeper.shown(), minVersion),
    requestCert: ask,
    // Whoever is refused is told why, which an alert could not.
    rejectUnauthorized: false,
    handshakeTimeout: patienceMs,
  })
  const underWay = new Map<string, Socket>()
  // The socket under TLS is another one, with the same other end.
  const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ""} ${remotePort ?? ""}`
  server.on("connection", (socket: Socket) => {
    const key = keyOf(socket)
    underWay.set(key, socket)
    socket.once("close", () => underWay.delete(key))
    const [oldest] = underWay
    if (underWay.size <= handshakes || oldest === undefined) return
    underWay.delete(oldest[0])
    oldest[1].destroy()
  })
  server.on("secureConnection", (socket) => {
    underWay.delete(keyOf(socket))
    secured(socket)
  })
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    failed(remoteOf(socket), error.code ?? error.message)
    // Node only tells, also of a handshake that took too long.
    socket.destroy()
  })
  server.once(
    "close",
    keeper.onChange(() => server.setSecureContext(contextOf(keeper.shown(), minVersion))),
  )
  const close = server.close.bind(server)
  return Object.assign(server, {
    // It would wait for those that have not come so far as to be anybody's.
    close: (closed?: (error?: Error) => void) => {
      for (const socket of underWay.values()) socket.destroy()
      return close(closed)
    },
  })
}
