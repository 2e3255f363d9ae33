/** What a server knows (paper Figure 2, "State"), by role, and what it finds when it starts. */
import type { Halted } from "./halt.ts"
import type { Log } from "./log.ts"
import type { Condition } from "./messages.ts"
import type { Settings } from "./settings.ts"
import type { Configuration, Entry, HardState, Index, LogBase, Member, Millis, SnapshotRef, Stamp, Term } from "./types.ts"

/** One Persist on its way to the disk: what will be durable once it and all before it are. */
export interface OutstandingPersist {
  readonly seq: number
  readonly hardState: HardState
  lastIndex: Index
}
export interface Durability {
  nextSeq: number
  /** In order; each Persist handed out and not yet reported back. */
  outstanding: OutstandingPersist[]
  /** What a crash now would leave. */
  hardState: HardState
  index: Index
  /** What has been handed out, and the first index that has not. */
  queued: HardState
  unsavedFrom: Index
  /** An already handed out index that was overwritten since, or null. */
  truncateFrom: Index | null
  /** A new base that has not been handed out yet, or null. */
  base: LogBase | null
}

/** How far one follower is (thesis §10.2, etcd's progress). */
export interface Progress {
  readonly member: Member
  matchIndex: Index
  nextIndex: Index
  /** Heard of since the last quorum check. */
  active: boolean
  condition: Condition
  /** Highest round that it answered. */
  round: number
  /** Its clients wait for the commitment of entries up to here: it is told at once, others with the next append. */
  wantsCommit: Index
  /** Commit index and round that it has been told. */
  sentCommit: Index
  sentRound: number
  /** Its wall clock beside the leader's monotonic clock, as last heard, and when that was; null: never. */
  wallOffset: Millis | null
  wallAt: Millis
  mode: ProgressMode
}
export type ProgressMode =
  /** Where do the logs meet? One append at a time. */
  | { type: "probe"; waiting: boolean }
  /** They meet: entries are sent ahead of their answers, within the window. */
  | { type: "replicate"; inflight: Inflight[]; inflightBytes: number }
  /** It needs entries that are gone: a snapshot. `snapshot` is null until one is pinned. */
  | { type: "snapshot"; snapshot: SnapshotRef | null; offset: number; waiting: boolean; heartbeats: number }
export interface Inflight {
  readonly lastIndex: Index
  readonly bytes: number
}

/** A copy of a forwarded proposal must not be taken for another one: refs through `floor`, and those in `recent`, were answered. */
export interface Forwards {
  readonly from: Member
  readonly life: number
  floor: number
  recent: number[]
}

/** A read at the leader, on behalf of a local client (`from` null) or of a follower. */
export interface PendingRead {
  readonly from: { readonly member: Member; readonly life: number; readonly number: number } | null
  readonly ref: number
  readonly index: Index
  /** Confirmed once a quorum has answered this round. */
  readonly round: number
}
export interface ForwardedProposal {
  readonly ref: number
  /** It was there already when the answer timer expired the last time. */
  overdue: boolean
}

export interface Follower {
  readonly type: "follower"
  leader: Member | null
  /** fresh: a leader was heard within the minimum election timeout, so votes are refused (thesis §4.2.3). */
  contact: "fresh" | "lapsed"
  /** The log equals the leader's up to here. */
  verified: Index
  /** What the leader last learned, and what it is still owed. */
  reportedMatch: Index
  reportedRound: number
  round: number
  /** The latest time that this leader told. */
  leaderTime: Stamp
  reply: null | "accept" | { readonly prevLogIndex: Index; readonly conflictTerm: Term; readonly conflictIndex: Index }
  /** Reads of local clients: asked of the leader (number), or waiting to be asked. */
  asked: { readonly number: number; readonly refs: readonly number[]; overdue: boolean } | null
  unasked: number[]
  install: Install | null
}
/** A snapshot on its way in. `installed` waits for the log's new base to be durable. */
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
  /** When it asked, and what voters said of their clocks, all beside its monotonic clock (clock.ts). */
  askedAt: Millis
  wallOffsets: Record<string, Millis>
  timeOffset: Millis | null
}
export interface Leader {
  readonly type: "leader"
  /** Index of the no-op that opened this leader's term (paper §8). */
  termStart: Index
  /** By name, everybody in the configuration but this node. */
  progress: Record<string, Progress>
  round: number
  confirmedRound: number
  reads: PendingRead[]
  /** Whatever was forwarded in this term, by whomever. */
  forwards: Forwards[]
  transfer: { readonly to: Member; sent: boolean } | null
  /** none: reads need a round. held: until the lease timer says otherwise. barred: a successor was told to campaign. */
  lease: "none" | "held" | "barred"
  /** The round that the lease was last counted from. */
  leasedRound: number
  /** Which configurations `progress` was made for: the one in force, and the last committed one. */
  targetsAsOf: { readonly inForce: Index; readonly committed: Index }
  /** The oldest outstanding Persist when the stall timer was started, or null. */
  watchedPersist: number | null
  /** When it began to lead, on its monotonic clock. */
  since: Millis
  /** The wall clock that a majority agrees on, beside its monotonic clock, as last compared; null: no majority agrees. */
  agreedOffset: Millis | null
  comparedAt: Millis
}
export type Role = Follower | Candidate | Leader

/** Rules: clock.ts. */
export interface ReplicatedClock {
  /** The interpreter's clocks, as last told. */
  monotonic: Millis
  wall: Stamp
  /** It showed `time` when the monotonic clock showed `at`. */
  time: Stamp
  at: Millis
  /** It goes back to what a leader told, or to clocks that were compared; not just to the last stamp of the log. */
  settled: boolean
  /** As leader: time that passed and allows no steering yet. */
  unsteered: Millis
}

export interface State {
  readonly self: Member
  readonly settings: Settings
  /** A number that no earlier process of this server used: ties answers to this life. */
  readonly life: number
  /** Not null: this node has stopped, and does nothing more. */
  halted: Halted | null
  currentTerm: Term
  votedFor: Member | null
  /** Who was heard to lead this term, or leads it: there is never another one. */
  termLeader: Member | null
  /** The vote just given is to be told to the candidate, once it is durable. */
  voteOwed: Member | null
  role: Role
  log: Log
  /** Every configuration that the base or the log holds, oldest first; the last one is in force (paper §6). */
  configurations: { readonly index: Index; readonly configuration: Configuration }[]
  commitIndex: Index
  durability: Durability
  /** Last entry handed to the state machine, and last that it reported executed. */
  applying: Index
  applied: Index
  /** rebuild: lost or damaged, a snapshot of a peer must replace it. */
  machine: "ready" | "rebuild"
  /** The id of the snapshot that is replacing it right now. */
  restoring: string | null
  /** TakeSnapshot is under way. */
  snapshotting: boolean
  /** Through where the state machine is durable by itself. */
  snapshotIndex: Index
  /** Confirmed reads that wait for the state machine. */
  confirmedReads: { readonly ref: number; readonly index: Index }[]
  forwarded: ForwardedProposal[]
  awaitingAnswer: boolean
  readNumber: number
  clock: ReplicatedClock
  spaceLow: boolean
}

/** What an interpreter finds at start (paper Figure 2, "persistent state"). */
export interface Recovered {
  readonly self: Member
  readonly life: number
  readonly hardState: HardState
  readonly base: LogBase
  readonly entries: readonly Entry[]
  /**
   * Through where the state machine has executed, or null if it is lost or damaged. It can be ahead of the log when
   * a crash came between restoring a snapshot and writing the log's new base: initialState settles that.
   */
  readonly position: LogBase | null
}
