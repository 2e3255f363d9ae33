/** How a proposal or a read ends. */
import type { Index, Member, Term } from "./entry.ts"

/**
 * exhausted: the log has no further index. notReady: the leader waits for the clocks of a majority (clock.ts); for a
 * configuration change: no entry of this term is committed yet, or a new voter has not caught up. changePending and
 * invalidChange are for configuration changes only (reconfiguration.ts).
 */
export type ProposalRefusal =
  | "notLeader"
  | "noLeader"
  | "busy"
  | "tooLarge"
  | "spaceLow"
  | "exhausted"
  | "transferring"
  | "notReady"
  | "changePending"
  | "invalidChange"
export type ProposalOutcome =
  /** Appended at `first`, `first + 1`, … in `term`. Not committed yet: another leader can still replace it. */
  | { readonly type: "ProposalAppended"; readonly first: Index; readonly term: Term }
  /** Not executed, and never will be. */
  | { readonly type: "ProposalRefused"; readonly reason: ProposalRefusal; readonly leader: Member | null }
  /** The leader to which it was forwarded is gone or did not answer; this node cannot know whether it was executed. */
  | { readonly type: "ProposalUnknown"; readonly leader: Member | null }
export type ReadOutcome =
  /** The state machine of this node now holds every write acknowledged before the read was requested. */
  | { readonly type: "ReadReady"; readonly index: Index }
  | {
      readonly type: "ReadRefused"
      readonly reason: "noLeader" | "leaderChanged" | "busy" | "rebuilding"
      readonly leader: Member | null
    }
export type Outcome = ProposalOutcome | ReadOutcome
