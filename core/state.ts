/** What a server knows (paper Figure 2, "State"), by role, and what it recovers when it starts. */
import type { Halted } from "./effects.ts"
import type { Log } from "./log.ts"
import type { Condition } from "./messages.ts"
import type { Settings } from "./settings.ts"
import type {
  Configuration,
  Entry,
  HardState,
  Index,
  LogBase,
  Member,
  Millis,
  SnapshotRef,
  Stamp,
  Term,
} from "./entry.ts"

/** One Persist that is not reported durable yet: what will be durable once it and all before it are. */
export interface OutstandingPersist {
  readonly seq: number
  readonly hardState: HardState
  lastIndex: Index
}
export interface Durability {
  nextSeq: number
  /** Every Persist that was handed out and is not yet reported durable, in order. */
  outstanding: OutstandingPersist[]
  /** What would survive a crash now. */
  hardState: HardState
  index: Index
  /** The hard state last handed out, and the first index that was not handed out. */
  queued: HardState
  unsavedFrom: Index
  /** The lowest index that was handed out and overwritten since, or null. */
  truncateFrom: Index | null
  /** A new base that has not been handed out yet, or null. */
  base: LogBase | null
}

/** How far replication to one follower has come (thesis §10.2, etcd's Progress). */
export interface Progress {
  readonly member: Member
  matchIndex: Index
  nextIndex: Index
  /** Heard from since the last quorum check. */
  active: boolean
  condition: Condition
  /** The highest round that it has answered. */
  round: number
  /**
   * Its clients wait until entries up to here are committed: the leader tells it of that commit at once, other
   * followers with the next append.
   */
  wantsCommit: Index
  /** The commit index and round last sent to it. */
  sentCommit: Index
  sentRound: number
  /** Its wall clock minus the leader's monotonic clock, as last heard, and when that was; null: never. */
  wallOffset: Millis | null
  wallAt: Millis
  mode: ProgressMode
}
export type ProgressMode =
  /** It is not known how far the two logs agree: one append at a time. */
  | { type: "probe"; waiting: boolean }
  /** The logs agree: entries are pipelined within the window. */
  | { type: "replicate"; inflight: Inflight[]; inflightBytes: number }
  /** It needs entries that were trimmed, so it gets a snapshot. `snapshot` is null until one is pinned. */
  | { type: "snapshot"; snapshot: SnapshotRef | null; offset: number; waiting: boolean; heartbeats: number }
export interface Inflight {
  readonly lastIndex: Index
  readonly bytes: number
}

/** Recognises copies of forwarded proposals: refs through `floor`, and those in `recent`, were answered. */
export interface Forwards {
  readonly from: Member
  readonly bootId: number
  floor: number
  recent: number[]
}

/** A read at the leader, on behalf of a local client (`from` null) or of a follower. */
export interface PendingRead {
  readonly from: { readonly member: Member; readonly bootId: number; readonly number: number } | null
  readonly ref: number
  readonly index: Index
  /** The read is confirmed once a quorum has answered this round. */
  readonly round: number
}
export interface ForwardedProposal {
  readonly ref: number
  /** The proposal was already waiting when the answer timer last expired. */
  overdue: boolean
}

export interface Follower {
  readonly type: "follower"
  leader: Member | null
  /** fresh: a leader was heard within the minimum election timeout, so votes are refused (thesis §4.2.3). */
  stickiness: "active" | "lapsed"
  /** The log is known to equal the leader's up to here. */
  verified: Index
  /** The match and round last reported to the leader, and the latest round received. */
  reportedMatch: Index
  reportedRound: number
  round: number
  /** The latest replicated time that this leader sent. */
  leaderTime: Stamp
  /**
   * The monotonic time since which every message from the leader carried a time far behind this server's; null: the
   * last message did not.
   */
  aheadSince: Millis | null
  reply: null | "accept" | { readonly prevLogIndex: Index; readonly conflictTerm: Term; readonly conflictIndex: Index }
  /** Reads of local clients: those in the outstanding request to the leader, and those that wait for the next one. */
  asked: { readonly number: number; readonly refs: readonly number[]; overdue: boolean } | null
  unsentReads: number[]
  install: Install | null
}
/** A snapshot that is being received. In phase `installed` it waits for the log's new base to be durable. */
export interface Install {
  readonly snapshot: SnapshotRef
  nextOffset: number
  phase: "receiving" | "storing" | "complete" | "restoring" | "installed"
}
export interface Candidate {
  readonly type: "preCandidate" | "candidate"
  /** By name: true granted, false refused. */
  votes: Record<string, boolean>
  /** RequestVote or RequestPreVote has been sent. */
  asked: boolean
  transfer: boolean
  /** When it asked, and the voters' clocks as offsets from its own monotonic clock (clock.ts). */
  askedAt: Millis
  wallOffsets: Record<string, Millis>
  timeOffset: Millis | null
}
export interface Leader {
  readonly type: "leader"
  /** Index of the no-op that opened this leader's term (paper §8). */
  termStart: Index
  /** By name: every replication target (removal.ts). */
  progress: Record<string, Progress>
  round: number
  confirmedRound: number
  reads: PendingRead[]
  /** What followers have forwarded in this term. */
  forwards: Forwards[]
  transfer: { readonly to: Member; sent: boolean } | null
  /** none: reads need a round. held: until the lease timer expires. barred: a successor was told to campaign. */
  lease: "none" | "held" | "barred"
  /** The lease is counted from the sending of this round. */
  leasedRound: number
  /** The configurations from which the targets were derived: the one in force, and the last committed one. */
  targetsAsOf: { readonly inForce: Index; readonly committed: Index }
  /** The oldest outstanding Persist when the persist timer was started, or null. */
  watchedPersist: number | null
  /** When it began to lead, on its monotonic clock. */
  since: Millis
  /** The wall clock on which a majority agrees, minus its own monotonic clock, as last compared; null: no majority agrees. */
  agreedOffset: Millis | null
  comparedAt: Millis
}
export type Role = Follower | Candidate | Leader

/** The rules are in clock.ts. */
export interface ReplicatedClock {
  /** The interpreter's clocks, as last reported. */
  monotonic: Millis
  wall: Stamp
  /** It showed `time` when the monotonic clock showed `at`. */
  time: Stamp
  at: Millis
  /** The time comes from a leader or from clocks that were compared, not only from the last stamp in the log. */
  settled: boolean
  /** As leader: elapsed milliseconds, too few so far to steer the clock by a whole millisecond. */
  unsteered: Millis
}

export interface State {
  readonly self: Member
  readonly settings: Settings
  /** Drawn at each start, different from those of earlier starts: ties replies to this start. */
  readonly bootId: number
  /** Not null: this node has stopped, and does nothing more. */
  halted: Halted | null
  currentTerm: Term
  votedFor: Member | null
  /** The leader of this term, once it is known: there is never another one. */
  termLeader: Member | null
  /** The candidate to which a granted vote must still be sent, once the vote is durable. */
  pendingVote: Member | null
  role: Role
  log: Log
  /** Every configuration that the base or the log holds, oldest first; the last one is in force (paper §6). */
  configurations: { readonly index: Index; readonly configuration: Configuration }[]
  commitIndex: Index
  durability: Durability
  /** The last entry handed to the state machine, and the last that it reported executed. */
  applying: Index
  applied: Index
  /** rebuild: it is lost or damaged, and a peer's snapshot must replace it. */
  machine: "ready" | "rebuild"
  /** The id of the snapshot that is replacing it right now. */
  restoring: string | null
  /** A TakeSnapshot is not answered yet. */
  snapshotting: boolean
  /** The index through which the state machine is durable without the log. */
  snapshotIndex: Index
  /** Confirmed reads that wait for the state machine. */
  confirmedReads: { readonly ref: number; readonly index: Index }[]
  forwarded: ForwardedProposal[]
  awaitingAnswer: boolean
  readNumber: number
  clock: ReplicatedClock
  spaceLow: boolean
}

/** What an interpreter recovers at start (paper Figure 2, "persistent state"). */
export interface Recovered {
  readonly self: Member
  readonly bootId: number
  readonly hardState: HardState
  readonly base: LogBase
  readonly entries: readonly Entry[]
  /**
   * The position of the state machine, or null if it is lost or damaged. It is ahead of the log after a crash between
   * restoring a snapshot and writing the log's new base; initialState handles that.
   */
  readonly position: LogBase | null
}
