export { whoListens, type Listener } from "./asking.ts"
export { makeTcpTransport } from "./transport.ts"
export type { TcpLimits, TcpOptions, TcpTransport, UnlistedPeer } from "./options.ts"
export type { Dropped, PeerLink } from "./peerLink.ts"
export { agreedOn, PROTOCOLS, type Protocols, type PeerHello } from "./handshake.ts"
export { isPermanent, type Hello, type LocalHello, type Refusal, type HelloRefusalReason } from "../hello.ts"
export type { Logger, LogLevel } from "../log.ts"
export { exposed, isLoopback, PEERS_EXPOSED } from "./exposure.ts"
export { ADDRESS, addressText, parseAddress, type Address } from "./socket.ts"
export {
  BrokenStream,
  ConnectFailed,
  ConnectionLost,
  ForeignPeer,
  HandshakeRefused,
  HelloTimeout,
  ListenFailed,
  NotSecured,
  PeerSilent,
  type LinkError,
  type TcpError,
} from "./errors.ts"
