/** `import … from "stepraft"`: your own state machine, replicated; leader election and locks. */
export { makeReplica, replicaService, replicate, type ReplicateError, type ReplicateOptions } from "./node/index.ts"
export { BootstrapRefused, LostTail, OptionsInvalid, NodeFailed, StateUnusable, StateWithoutLog } from "./node/index.ts"
export {
  MemberAborted, MemberError, membersEffect, MemberNoLeader, MemberRefused, MemberUnfinished,
  type CatchUp, type Done, type MemberList, type MemberRefusalReason, type Members, type MembersEffect, type MemberView, type Newcomer,
} from "./members/index.ts"
export {
  CommandFailed, elect, jsonCodec, LeaseLost, LeaseRefused, lock, NotDeterministic, NotExecuted, NotRead, OutcomeUnknown, ReplicaError, replicateTogether, ResultForgotten, StateNotPlain,
  type ApplyContext, type Campaign, type Codec, type DurableMachine, type DurableState, type Executed, type Leadership, type LeaseAnswer, type LeaseOptions, type LeaseRequest, type LeaseTable, type Lock, type Machine,
  type NotExecutedReason, type ReadOptions, type Replica, type ReplicaSettings, type ReplicaStatus, type Together, type TogetherOptions, type Unanswered,
} from "./replica/main.ts"
