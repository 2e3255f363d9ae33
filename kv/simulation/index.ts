/** The key-value service in a simulated world: its state machine, and clients with sessions. */
export { KvWorldMachine, kvWorldMachine, type KvResult } from "./machine.ts"
export { goodNetwork, KvAnswerWrong, KvClient, KvService, textOf, type ClientNetwork, type Got, type KvClientOptions } from "./clients.ts"
export { kvLoad, type KvLoad } from "./load.ts"
