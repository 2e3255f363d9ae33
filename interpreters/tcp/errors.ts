/** What can go wrong between nodes. Each message says what happened, what was kept and what to do next. */
import * as Data from "effect/Data"
import type { Refusal, HelloRefusalReason } from "../hello.ts"
import { escaped } from "../text.ts"

/** The node cannot listen for its peers at all: the only error that keeps the transport from starting. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{
  readonly host: string
  readonly port: number
  readonly code: string
  readonly message: string
}> {}
export type TcpError = ListenFailed

export const listenFailed = (host: string, port: number, cause: NodeJS.ErrnoException): ListenFailed => {
  const code = cause.code ?? "UNKNOWN"
  const at = `${host}:${port}`
  const next =
    code === "EADDRINUSE"
      ? `another process holds port ${port}: stop it (find it with "ss -ltnp 'sport = :${port}'") or give this node another peer port, here and in the peer lists of the others`
      : code === "EACCES"
        ? `this user may not open port ${port}: choose one above 1023`
        : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
          ? `${host} is no address of this machine: listen on one of its own, or on 0.0.0.0 for all`
          : cause.message
  return new ListenFailed({
    host,
    port,
    code,
    message: `cannot listen for peers on ${at} (${code}): ${next}. Nothing on disk was touched.`,
  })
}

/** A TCP connection could not be made. */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  readonly code: string
  readonly message: string
}> {}
export const connectFailed = (remote: string, code: string): ConnectFailed =>
  new ConnectFailed({
    code,
    message: `cannot reach ${remote} (${code}): trying again, messages for it are dropped meanwhile. If it should be up, check its process, its address and the firewall.`,
  })

/** The bytes at the other end are not a peer's: a browser, a Redis client, a scanner, a wrong port. */
export class ForeignPeer extends Data.TaggedError("ForeignPeer")<{ readonly message: string }> {}
export const foreignPeer = (remote: string, outgoing: boolean, first: Uint8Array): ForeignPeer => {
  const start = escaped(JSON.stringify(Buffer.from(first.subarray(0, 16)).toString("latin1")))
  if (first[1] === 3 && (first[0] === 0x15 || first[0] === 0x16))
    return new ForeignPeer({
      message: `${remote} speaks TLS, and this node does not: closed that connection only. Give all nodes of the cluster certificates (tls-cert, tls-key, tls-ca), or none.`,
    })
  return new ForeignPeer({
    message: outgoing
      ? `what answers at ${remote} is not a stepraft node (it began with ${start}): closed that connection only. Check this peer's address.`
      : `a connection from ${remote} does not speak the peer protocol (it began with ${start}): closed it; nothing else is affected. Clients belong on the client port.`,
  })
}

/** The TLS handshake failed. */
export class NotSecured extends Data.TaggedError("NotSecured")<{ readonly message: string }> {}
export const notSecured = (remote: string, outgoing: boolean, code: string): NotSecured =>
  new NotSecured({
    message: outgoing
      ? `${remote} was reached, but the TLS handshake failed (${code}): no message was sent, trying again. If it has no certificate yet, give it one (tls-cert, tls-key, tls-ca); if it has one, see what its log says.`
      : `the TLS handshake on a connection from ${remote} failed (${code}): closed it, nothing else is affected. Nodes need a certificate of the cluster (tls-cert, tls-key, tls-ca); clients belong on the client port.`,
  })

export class HelloTimeout extends Data.TaggedError("HelloTimeout")<{ readonly message: string }> {}
export const helloTimeout = (remote: string, ms: number): HelloTimeout =>
  new HelloTimeout({
    message: `${remote} accepted or opened a connection and sent no hello for ${ms} ms: closed it. If that is a stepraft node, it hangs or is stopped.`,
  })

export class PeerSilent extends Data.TaggedError("PeerSilent")<{ readonly message: string }> {}
export const peerSilent = (peer: string, ms: number): PeerSilent =>
  new PeerSilent({
    message: `not a byte from ${peer} for ${ms} ms, not even a keep-alive: closed the link, dialling again. Its machine or the network is gone, or its process is paused or hangs.`,
  })

/** What arrived cannot be one of our frames or messages: only that connection is closed. */
export class BrokenStream extends Data.TaggedError("BrokenStream")<{ readonly message: string }> {}
export const brokenStream = (remote: string, what: string): BrokenStream =>
  new BrokenStream({
    message: `unreadable bytes from ${remote}: ${what}. Closed that connection; what arrived before them counts, the rest will be sent again. If it repeats, suspect the network path or different versions.`,
  })

/** The two ends do not belong together. Said by one end, logged by both. */
export class HandshakeRefused extends Data.TaggedError("HandshakeRefused")<{
  readonly reason: HelloRefusalReason
  readonly by: "self" | "peer"
  readonly refusal: Refusal
  readonly message: string
}> {}
export const handshakeRefused = (remote: string, refusal: Refusal, by: "self" | "peer"): HandshakeRefused =>
  new HandshakeRefused({
    reason: refusal.reason,
    by,
    refusal,
    message: `${refusal.reason}: ${by === "self" ? `refused ${remote}` : `${remote} refused this node`}: ${refusal.detail}`,
  })

/** The connection ended for no reason that this node could name. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly code: string
  readonly message: string
}> {}
export const connectionLost = (remote: string, code: string): ConnectionLost =>
  new ConnectionLost({ code, message: `the connection with ${remote} ended (${code}): dialling again` })

export type LinkError =
  | ConnectFailed
  | ForeignPeer
  | NotSecured
  | HelloTimeout
  | PeerSilent
  | BrokenStream
  | HandshakeRefused
  | ConnectionLost

export const errorText = (error: LinkError): string => `${error.name}: ${error.message}`
/** For limitedLog: errors of one kind and reason count as the same. */
export const errorKey = (error: LinkError): string =>
  error instanceof HandshakeRefused ? `${error.name}|${error.reason}` : error.name
/** True if somebody has to act; the other errors end by themselves when the peer comes back. */
export const needsAction = (error: LinkError): boolean =>
  error instanceof HandshakeRefused ||
  error instanceof BrokenStream ||
  error instanceof ForeignPeer ||
  error instanceof NotSecured
