/** `import … from "stepraft/interpreters/port"`: peers over MessagePorts, in workers and web pages. */
export { makePortTransport, type PortLimits, type PortOptions, type PortTransport } from "./transport.ts"
export { makeExchange, type Ends, type Exchange, type Give } from "./exchange.ts"
export type { PortPeer } from "./link.ts"
export type { MessagePortLike, PortProblem } from "./connection.ts"
export type { Hello, LocalHello, Refusal, HelloRefusalReason } from "../hello.ts"
export type { LogLevel } from "../log.ts"
