/** Replicas in worker threads, and in a browser: peers over MessagePorts. */
export { makePortTransport, type PortLimits, type PortOptions, type PortTransport } from "./transport.ts"
export { makeExchange, type Ends, type Exchange, type Give } from "./exchange.ts"
export type { PortPeer } from "./link.ts"
export type { MessagePortLike, PortProblem } from "./connection.ts"
export { PORT_PROTOCOL } from "./frames.ts"
export { isPermanent, type Hello, type LocalHello, type Refusal, type HelloRefusalReason } from "../hello.ts"
export type { Logger, LogLevel } from "../log.ts"
