/**
 * `import … from "stepraft/interpreters/replica"`: your own state machine over any storage and transport, and several
 * replicas in one process. It runs without Node; "stepraft" adds `replicate`, which needs Node.
 */
export { jsonCodec, type ApplyContext, type Codec, type Machine } from "./machine/definition.ts"
export {
  elect,
  LeaseLost,
  LeaseRefused,
  lock,
  type Campaign,
  type LeaseAnswer,
  type LeaseOptions,
  type HeldLease,
  type LeaseEffectOptions,
  type LeaseRequest,
  type LeasesEffect,
  type LeaseTable,
  type Lock,
  type Unanswered,
} from "../lease/index.ts"
export { leasesEffect } from "./effect.ts"
export {
  CommandFailed,
  NotDeterministic,
  NotExecuted,
  NotRead,
  OutcomeUnknown,
  ReplicaError,
  ResultForgotten,
  type Executed,
  type NotExecutedReason,
} from "./errors.ts"
export {
  openReplicaMachine,
  type ReplicaMachine,
  type ReplicaMachineOptions,
  type RunnableMachine,
} from "./machine/machine.ts"
export type { ReplicaSettings } from "./session/parts.ts"
export {
  runReplica,
  type Leadership,
  type ReadOptions,
  type Replica,
  type ReplicaStatus,
  type RunningReplica,
  type RunOptions,
} from "./replica.ts"
export type { DurableMachine, DurableState } from "./machine/durable.ts"
export { StateNotPlain } from "./machine/slices.ts"
export { memoryStore, type Draft, type Snapshot, type SnapshotStore } from "./machine/store.ts"
export { replicateTogether } from "./together.ts"
export type { ReplicaGroup, ReplicaGroupOptions } from "./group.ts"
