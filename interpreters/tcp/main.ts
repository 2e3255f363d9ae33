/** `import … from "stepraft/interpreters/tcp"`: peers over TCP (Node). */
export { makeTcpTransport } from "./transport.ts"
export type { TcpLimits, TcpOptions, TcpTransport } from "./options.ts"
export { openTls, TlsUnusable, type TlsMaterial, type Tls, type TlsFiles, type TlsOptions } from "../tls/index.ts"
export type { Dropped, PeerLink } from "./peerLink.ts"
export type { Hello, LocalHello, Refusal, HelloRefusalReason } from "../hello.ts"
export type { LogLevel } from "../log.ts"
export type { Address } from "./socket.ts"
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
