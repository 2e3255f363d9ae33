export { makeTcpTransport, type TcpLimits, type TcpOptions, type TcpTransport } from "./transport.ts"
export type { Dropped, PeerLink } from "./link.ts"
export { PROTOCOL, type Hello, type LocalHello } from "./handshake.ts"
export type { Log, LogLevel } from "./log.ts"
export { addressText, type Address } from "./socket.ts"
export {
  BrokenStream,
  ConnectFailed,
  ConnectionLost,
  ForeignPeer,
  isFinal,
  HandshakeRefused,
  HelloTimeout,
  ListenFailed,
  PeerSilent,
  type LinkError,
  type Refusal,
  type RefusalReason,
  type TcpError,
} from "./errors.ts"
