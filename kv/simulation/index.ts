/** The key-value service in a simulated world: its state machine, and clients with sessions that never stop trying. */
export { KvWorldMachine, kvWorldMachine, type KvResult } from "./machine.ts"
export { goodNetwork, KvAnswerWrong, KvClient, KvService, textOf, type ClientNetwork, type Got, type KvClientOptions } from "./clients.ts"
