/** A user's machine definition in simulated worlds. */
export {
  disagreement,
  isPlainPayload,
  numberOf,
  plainCommand,
  ReplicaWorldMachine,
  replicaWorldMachine,
  SnapshotChangesState,
  type CommandExecuted,
  type EntryExecuted,
} from "./machine.ts"
export { WorldDriver } from "./driver.ts"
export { client, Loop, type LoopProcess } from "./loop.ts"
export { jsonCodec } from "../machine/definition.ts"
export { ReplicaBoot, WorldReplicas } from "./replicas.ts"
export { valueText } from "./values.ts"
export { machineWords, type MachineDescriber } from "./words.ts"
