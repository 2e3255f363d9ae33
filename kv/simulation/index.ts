/** The key-value service in a simulated world: the real service on every node, with real and plain clients. */
export { KvWorldMachine, kvWorldMachine, type KvResult, type KvWitness } from "./servers/machine.ts"
export { KvServices, type KvServicesOptions } from "./servers/services.ts"
export { KvClient, PlainClient, type KvClientOptions, type PlainReply } from "./clients.ts"
export { goodNetwork, type ClientNetwork } from "./link.ts"
export { KvAnswerWrong, replyText } from "./operation.ts"
export { kvLoad, type KvLoad } from "./load.ts"
