/**
 * A port that speaks TLS: handshakes in progress are limited in number and time, and new certificates are used at once.
 */
import { constants } from "node:crypto"
import type { Server, ServerOpts, Socket } from "node:net"
import * as tls from "node:tls"
import { Strangers } from "../strangers.ts"
import type { TlsMaterial, Tls } from "./keeper.ts"

export interface Remote {
  readonly host: string
  readonly port: number | undefined
}
export const remoteOf = ({ remoteAddress, remotePort }: Socket): Remote => ({
  host: remoteAddress ?? "a connection that is gone",
  port: remotePort,
})

/** Session tickets are disabled: a ticket would let a client in without showing its certificate again. */
export const contextOf = (shown: TlsMaterial, minVersion: tls.SecureVersion): tls.SecureContextOptions => ({
  ...shown,
  minVersion,
  secureOptions: constants.SSL_OP_NO_TICKET,
})

/** The same for connections that are dialled. It is read once for all of them, which saves half of what a handshake costs. */
export const sharedContextOf = (shown: TlsMaterial, minVersion: tls.SecureVersion): tls.SecureContext => {
  const known = contexts.get(shown)
  if (known !== undefined) return known
  const context = tls.createSecureContext(contextOf(shown, minVersion))
  contexts.set(shown, context)
  return context
}
const contexts = new WeakMap<TlsMaterial, tls.SecureContext>()

export interface SecureOptions extends ServerOpts {
  readonly minVersion: tls.SecureVersion
  /** Whether the other end is asked for a certificate. Whoever accepts the socket checks what it shows (trust.ts). */
  readonly ask: boolean
  /** The time limit of one handshake. */
  readonly patienceMs: number
  /** The number of handshakes in progress; beyond it one of them is ended, so that a new one is always accepted. */
  readonly handshakes: number
}
export interface SecureHandlers {
  readonly secured: (socket: tls.TLSSocket) => void
  /** The TLS handshake failed. `heard`: the other end has sent something. */
  readonly failed: (remote: Remote, code: string, heard: boolean) => void
}

/** Node keeps the socket under TLS there, though it does not document it; the same socket where it does not. */
// oxlint-disable-next-line no-underscore-dangle
const below = (socket: tls.TLSSocket & { readonly _parent?: Socket }): Socket => socket._parent ?? socket

export const secureServer = (
  keeper: Tls,
  { minVersion, ask, patienceMs, handshakes, ...options }: SecureOptions,
  { secured, failed }: SecureHandlers,
): Server => {
  const server = tls.createServer({
    ...options,
    ...contextOf(keeper.material(), minVersion),
    requestCert: ask,
    // A client that is refused is told why, which a TLS alert could not do.
    rejectUnauthorized: false,
    handshakeTimeout: patienceMs,
  })
  const underWay = new Map<string, Socket>()
  const strangers = new Strangers<Socket>(handshakes)
  // The socket under TLS is another object, with the same remote address and port.
  const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ""} ${remotePort ?? ""}`
  server.on("connection", (socket: Socket) => {
    const key = keyOf(socket)
    underWay.set(key, socket)
    socket.once("close", () => {
      underWay.delete(key)
      strangers.leave(socket)
    })
    strangers.add(socket, remoteOf(socket).host)?.destroy()
  })
  server.on("secureConnection", (socket) => {
    const under = underWay.get(keyOf(socket))
    if (under !== undefined) strangers.leave(under)
    underWay.delete(keyOf(socket))
    secured(socket)
  })
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    // Whoever refuses this certificate is gone by now, and only the socket below still knows the address.
    const under = underWay.get(keyOf(socket)) ?? below(socket)
    failed(remoteOf(under), error.code ?? error.message, under.bytesRead > 0)
    // Node only emits an event here, even if a handshake took too long: the socket must be closed.
    socket.destroy()
  })
  server.once(
    "close",
    keeper.onChange(() => server.setSecureContext(contextOf(keeper.material(), minVersion))),
  )
  const close = server.close.bind(server)
  return Object.assign(server, {
    // Node's close would wait for sockets whose handshake is not complete, so they are closed first.
    close: (closed?: (error?: Error) => void) => {
      for (const socket of underWay.values()) socket.destroy()
      return close(closed)
    },
  })
}
