export { Barriers, refusedBarrier, type Barrier } from "./session/barriers.ts"
export { ProposalQueue, type QueuedCommand, type ProposalQueueOptions } from "./session/proposalQueue.ts"
export {
  defaultReplicaSettings,
  proposalQueueFor,
  reasonOf,
  type KnownOutcome,
  type Refusals,
  type ReplicaDriver,
  type ReplicaParts,
  type ReplicaSettings,
  type SessionFormat,
} from "./session/parts.ts"
export { ServerSession } from "./session/session.ts"
export { connectParts, type SessionPart } from "./session/connectParts.ts"
export { jsonCodec, type ApplyContext, type Codec, type Machine } from "./machine/definition.ts"
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
export {
  runReplica,
  type Leadership,
  type ReadOptions,
  type Replica,
  type ReplicaStatus,
  type RunningReplica,
  type RunOptions,
} from "./replica.ts"
export { DurableExecutor, type DurableMachine, type DurableState } from "./machine/durable.ts"
export type { ExecutionReport } from "./machine/execution.ts"
export { makePacer, StateNotPlain } from "./machine/slices.ts"
export { SnapshotDamaged } from "./machine/snapshot.ts"
export { memoryStore, type Draft, type Snapshot, type SnapshotStore } from "./machine/store.ts"
export { replicateTogether } from "./together.ts"
export type { ReplicaGroup, ReplicaGroupOptions } from "./group.ts"
