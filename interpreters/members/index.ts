/** The members of a cluster and its leader: verbs that any node accepts, and the list. */
export {
  AUTOPILOT_AFTER_MS,
  silentVoters,
  autopilotStep,
  leastAfter,
  leastVoters,
  NO_SILENT_VOTERS,
  type Autopilot,
  type SilentVoters,
} from "./autopilot.ts"
export { MemberAborted, MemberError, MemberNoLeader, MemberRefused, MemberUnfinished } from "./errors.ts"
export { membersEffect, type MembersEffect } from "./effect.ts"
export {
  nextStep,
  type CatchUp,
  type Goal,
  type Presence,
  type RefusalReason as MemberRefusalReason,
  type GoalStep,
  type LeaderView,
} from "./goals.ts"
export { heldBy, raise } from "./level.ts"
export type { MemberList, MemberView, Newcomer } from "./list.ts"
export {
  makeMembers,
  type PeerDirectory,
  type VerbDone,
  type ForcedOptions,
  type Members,
  type MembersOptions,
  type VerbProgress,
  type RunningMembers,
  type VerbOptions,
} from "./members.ts"
