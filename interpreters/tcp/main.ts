/** `import … from "stepraft/interpreters/tcp"`: peers over TCP (Node). */
export { makeTcpTransport, type TcpLimits, type TcpOptions, type TcpTransport } from "./transport.ts"
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
  PeerSilent,
  type LinkError,
  type TcpError,
} from "./errors.ts"
