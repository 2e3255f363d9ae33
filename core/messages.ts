/** The messages between servers. */
import type { Chain, Entry, Index, Payload, SnapshotRef, Stamp, Term } from "./entry.ts"
import type { ProposalOutcome } from "./outcomes.ts"

interface MessageOf<Type extends string> {
  readonly type: Type
  readonly term: Term
}
/** Paper §5.2. `transfer` marks an election that the leader itself asked for (thesis §3.10). */
export interface RequestVote extends MessageOf<"RequestVote"> {
  readonly lastLogIndex: Index
  readonly lastLogTerm: Term
  readonly transfer: boolean
}
export interface RequestVoteReply extends MessageOf<"RequestVoteReply"> {
  readonly granted: boolean
  /** The sender's wall clock, and the replicated time if it knows it: 0 is unknown (clock.ts). */
  readonly wall: Stamp
  readonly time: Stamp
}
/** Thesis §9.6. `term` is the term the sender *would* start; nobody has it yet. */
export interface RequestPreVote extends MessageOf<"RequestPreVote"> {
  readonly lastLogIndex: Index
  readonly lastLogTerm: Term
}
/**
 * A granted reply repeats the term that was asked for; a refusal carries the current term of the server that refuses.
 */
export interface RequestPreVoteReply extends MessageOf<"RequestPreVoteReply"> {
  readonly granted: boolean
}
/** Paper §5.3. Without entries it is the heartbeat. `round` numbers the leader's rounds (thesis §6.4). */
export interface AppendEntries extends MessageOf<"AppendEntries"> {
  readonly prevLogIndex: Index
  readonly prevLogTerm: Term
  /** Chain of the entry at prevLogIndex: index and term can agree although the content differs. */
  readonly prevLogChain: Chain
  readonly entries: readonly Entry[]
  readonly leaderCommit: Index
  readonly round: number
  /** The replicated time, and whether it is settled (clock.ts). */
  readonly time: Stamp
  readonly settled: boolean
}
export interface AppendAccepted extends MessageOf<"AppendAccepted"> {
  /** The sender's log equals the leader's up to here: these entries need not be sent again. */
  readonly verifiedIndex: Index
  /** Chain of the entry at verifiedIndex: if the follower has committed something else, the leader must not count it. */
  readonly verifiedChain: Chain
  /** The last of these entries that is durable: only entries through this index count towards commitment. */
  readonly matchIndex: Index
  readonly round: number
  readonly condition: Condition
  /**
   * The sender's wall clock (0 if it has none), and the latest replicated time that it had received from the leader
   * (clock.ts).
   */
  readonly wall: Stamp
  readonly leaderTime: Stamp
}
/** rebuild: the state machine is lost or damaged and needs a snapshot. full: no disk space, entries are not accepted. */
export type Condition = "ready" | "rebuild" | "full"
/**
 * Paper §5.3, the optimisation at its end: says where the conflicting term starts, so that the leader skips that term
 * in one round trip.
 */
export interface AppendRejected extends MessageOf<"AppendRejected"> {
  /** prevLogIndex of the rejected request. */
  readonly prevLogIndex: Index
  /** Term of the entry at prevLogIndex, or 0 if the log ends before it. */
  readonly conflictTerm: Term
  /** First index of conflictTerm, or the index after the last entry. */
  readonly conflictIndex: Index
  readonly round: number
}
/** Paper §7. When sending, the interpreter adds the bytes at `offset` and fills in `length` and `last`. */
export interface InstallSnapshot extends MessageOf<"InstallSnapshot"> {
  readonly snapshot: SnapshotRef
  readonly offset: number
  readonly length: number
  readonly last: boolean
  readonly round: number
}
export interface InstallSnapshotReply extends MessageOf<"InstallSnapshotReply"> {
  readonly id: string
  readonly round: number
  /** `more`: send from `nextOffset`. `installed`: durable. `failed`: start over with a new snapshot. */
  readonly status: "more" | "installed" | "failed"
  readonly nextOffset: number
}
/** A follower asks for a read index (thesis §6.4). `bootId` and `number` match the reply to the request. */
export interface ReadIndex extends MessageOf<"ReadIndex"> {
  readonly bootId: number
  readonly number: number
}
export interface ReadIndexReply extends MessageOf<"ReadIndexReply"> {
  readonly bootId: number
  readonly number: number
  /** null: the sender could not confirm that it leads. */
  readonly readIndex: Index | null
}
export interface ForwardProposal extends MessageOf<"ForwardProposal"> {
  readonly ref: number
  readonly bootId: number
  readonly payloads: readonly Payload[]
}
export interface ForwardProposalReply extends MessageOf<"ForwardProposalReply"> {
  readonly ref: number
  readonly bootId: number
  readonly outcome: ProposalOutcome
}
/** Thesis §3.10: the receiver starts an election at once. */
export interface TimeoutNow extends MessageOf<"TimeoutNow"> {}

export type Message =
  | RequestVote
  | RequestVoteReply
  | RequestPreVote
  | RequestPreVoteReply
  | AppendEntries
  | AppendAccepted
  | AppendRejected
  | InstallSnapshot
  | InstallSnapshotReply
  | ReadIndex
  | ReadIndexReply
  | ForwardProposal
  | ForwardProposalReply
  | TimeoutNow
export type MessageType = Message["type"]
