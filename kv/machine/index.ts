/** The replicated key-value state machine: commands, their execution, and the stores it runs on. */
export { decodeCommand, encodeCommand, type Malformed } from "./command.ts"
export {
  MachineDamaged,
  type MachineError,
  MachineLocked,
  MachineOutdated,
  MachineUnusable,
  SnapshotInvalid,
} from "./leveldb/errors.ts"
export { type CommandSpec, commandSpecs, isSpec, resolveCommand, unknownCommand } from "./commands/execute.ts"
export { imageDigest } from "./image.ts"
export type { KvMachine, MachineStats, Scrubbed } from "./contract.ts"
export { MemoryMachine } from "./memory.ts"
export { loadLevel } from "./leveldb/database.ts"
export { type MachineOptions, openMachine } from "./leveldb/open.ts"
export type { MachineOutcome } from "./executor.ts"
export { NO_VERSION } from "./removals.ts"
export { readReply, wrongArity, writeReply } from "./reply.ts"
export { DEFAULT_IDLE, MAX_KEPT_REPLIES, NODE_OWNER, type ReplyState } from "./sessions.ts"
