/** A user's machine definition in simulated worlds. */
export { disagreement, isPlain, numberOf, plainCommand, ReplicaWorldMachine, replicaWorldMachine, SnapshotChangesState, type CommandExecuted, type EntryExecuted } from "./machine.ts"
export { jsonCodec } from "../machine/definition.ts"
export { valueText } from "./values.ts"
export { machineWords, type Describe } from "./words.ts"
