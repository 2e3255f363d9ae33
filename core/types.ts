/**
 * The vocabulary of the algorithm: what a node knows (State), what can happen to it (Event), what it asks
 * of the world (Effect) and, in messages.ts, what nodes say to each other (Message). Everything here is plain tagged data:
 * a journal of events replays bit for bit.
 *
 * Sources: "Raft paper" is Ongaro & Ousterhout 2014 (extended version); "thesis" is Ongaro 2014.
 */
import type { Chain } from "./chain.ts"
import type { Halted } from "./halt.ts"
import type { Log } from "./log.ts"
import type { Condition, Message } from "./messages.ts"
import type { Rule } from "./notes.ts"
import type { Settings } from "./settings.ts"

export type * from "./messages.ts"

/** A number of one kind: plain arithmetic is allowed, handing a Term where an Index is wanted is not. */
type Flavour<Kind extends string> = number & { readonly __kind?: Kind }
/** Election epoch, counted from 1; 0 before the first election. */
export type Term = Flavour<"Term">
/** Position in the log, counted from 1; 0 is the empty log. */
export type Index = Flavour<"Index">
/** Milliseconds since the epoch, on the replicated clock or on a wall clock. */
export type Stamp = Flavour<"Stamp">
/** Milliseconds of a duration. */
export type Millis = Flavour<"Millis">

/**
 * A server of the cluster. The incarnation is a random id written with its data directory: a server that lost
 * its disk comes back with another one, and nothing said by or to the earlier one counts for it.
 */
export interface Member {
  readonly name: string
  readonly incarnation: string
}

/**
 * Who decides. While `outgoing` is not empty the configuration is joint (paper §6): every decision needs a
 * majority of `voters` and a majority of `outgoing`. Learners receive the log and decide nothing.
 */
export interface Configuration {
  readonly voters: readonly Member[]
  readonly outgoing: readonly Member[]
  readonly learners: readonly Member[]
}

/** Bytes that the core never looks into. The checksum (CRC-32) travels with them from proposal to apply. */
export interface Payload {
  readonly bytes: Uint8Array
  readonly checksum: number
}

interface EntryOf<Kind extends string> {
  readonly kind: Kind
  readonly index: Index
  readonly term: Term
  /** Stamped by the leader that appended the entry; never falls along the log. */
  readonly time: Stamp
  /** Over this entry and all before it (chain.ts). */
  readonly chain: Chain
}
export interface NoOpEntry extends EntryOf<"noop"> {}
export interface CommandEntry extends EntryOf<"command"> {
  readonly payload: Payload
}
export interface ConfigurationEntry extends EntryOf<"configuration"> {
  readonly configuration: Configuration
}
export type Entry = NoOpEntry | CommandEntry | ConfigurationEntry

/** The last entry that a snapshot or a trimmed log covers; the log starts right after it. */
export interface LogBase {
  readonly index: Index
  readonly term: Term
  readonly time: Stamp
  readonly chain: Chain
  readonly configuration: Configuration
}

/** Paper Figure 2, "persistent state on all servers", without the log. Always written together. */
export interface HardState {
  readonly term: Term
  readonly vote: Member | null
}

/** A snapshot on its way from one state machine to another. The id names the sender's pinned image. */
export interface SnapshotRef extends LogBase {
  readonly id: string
}

// ------------------------------------------------------------------------------------------------ events

/**
 * election: no leader heard for a whole election timeout (it runs in two stages, see election.ts).
 * heartbeat: a leader owes its followers a sign of life. quorum: a leader must have heard a quorum since the
 * last one (CheckQuorum, thesis §6.2). lease: the time in which no other leader can have been elected is over
 * (thesis §6.4.1). persist: a leader's oldest write has been under way for too long.
 * transfer: the target of a leadership transfer did not take over in time. answer: the leader owes this node
 * an answer to a forwarded proposal or read.
 */
export type Timer = "election" | "heartbeat" | "quorum" | "lease" | "persist" | "transfer" | "answer"

export type Event =
  /** The first event of every life: the interpreter is ready. */
  | { readonly type: "Started" }
  | { readonly type: "MessageReceived"; readonly from: Member; readonly message: Message }
  /** Commands of clients of this node. `ref` comes back in one Respond; refs of one life only grow. */
  | { readonly type: "Proposed"; readonly ref: number; readonly payloads: readonly Payload[] }
  /** A linearizable read waits at this node. `ref` comes back in one Respond. */
  | { readonly type: "ReadRequested"; readonly ref: number }
  /** Persist `seq` and all before it are on stable storage. */
  | { readonly type: "Persisted"; readonly seq: number }
  /** The state machine has executed every entry through `index`. */
  | { readonly type: "Applied"; readonly index: Index }
  | { readonly type: "TimerExpired"; readonly timer: Timer }
  /** The interpreter's clocks, for stamps only: milliseconds since it started, and the wall clock's (0: there is none). */
  | { readonly type: "ClockAdvanced"; readonly monotonic: Millis; readonly wall: Stamp }
  | { readonly type: "PeerConnected"; readonly peer: Member }
  /** The connection to `peer` was closed or reset: a hint that it is gone. */
  | { readonly type: "PeerDisconnected"; readonly peer: Member }
  /** The state machine is durable through `base.index` by itself: the log before it may go. */
  | { readonly type: "SnapshotTaken"; readonly base: LogBase }
  | { readonly type: "SnapshotTakeFailed" }
  /** An image of the state machine is pinned and can be read for `to`. */
  | { readonly type: "SnapshotOpened"; readonly to: Member; readonly snapshot: SnapshotRef }
  | { readonly type: "SnapshotOpenFailed"; readonly to: Member }
  /** A received chunk was put aside. */
  | { readonly type: "ChunkStored"; readonly id: string; readonly nextOffset: number; readonly last: boolean }
  /** The chunk cannot be put aside, or the whole does not check out: the transfer is void. */
  | { readonly type: "SnapshotRejected"; readonly id: string }
  /** The state machine now is the received snapshot, durably. */
  | { readonly type: "SnapshotRestored"; readonly snapshot: SnapshotRef }
  /** The state machine found damage in itself and serves nothing until it is rebuilt from a peer. */
  | { readonly type: "MachineDamaged" }
  /** Free space fell below the low-water mark, or rose above the high-water mark. */
  | { readonly type: "SpaceChanged"; readonly low: boolean }
  /** Hand leadership over (to anybody suitable if `to` is null); ignored unless leader. */
  | { readonly type: "TransferRequested"; readonly to: Member | null }
  /** Make these the voters and learners of the cluster (paper §6). `ref` comes back in one Respond. */
  | { readonly type: "ConfigurationChangeProposed"; readonly ref: number; readonly voters: readonly Member[]; readonly learners: readonly Member[] }
export type EventType = Event["type"]

// ----------------------------------------------------------------------------------------------- effects

/**
 * exhausted: the log has no further index. notReady: a leader waits for the clocks of a majority (clock.ts). Of a configuration change: no entry of this term is
 * committed yet, or a new voter has not caught up. Of a change only: changePending, invalidChange (reconfiguration.ts).
 */
export type ProposalRefusal = "notLeader" | "noLeader" | "busy" | "tooLarge" | "spaceLow" | "exhausted" | "transferring" | "notReady" | "changePending" | "invalidChange"
export type ProposalOutcome =
  /** Appended at `first`, `first + 1`, … in `term`. Not yet committed: another leader can still replace it. */
  | { readonly type: "ProposalAppended"; readonly first: Index; readonly term: Term }
  /** Not executed, and never will be. */
  | { readonly type: "ProposalRefused"; readonly reason: ProposalRefusal; readonly leader: Member | null }
  /** The leader that it was forwarded to is gone or did not answer: executed or not, nobody here knows. */
  | { readonly type: "ProposalUnknown"; readonly leader: Member | null }
export type ReadOutcome =
  /** The state machine of this node now holds every write acknowledged before the read was requested. */
  | { readonly type: "ReadReady"; readonly index: Index }
  | { readonly type: "ReadRefused"; readonly reason: "noLeader" | "leaderChanged" | "busy" | "rebuilding"; readonly leader: Member | null }
export type Outcome = ProposalOutcome | ReadOutcome

export interface Persist {
  readonly type: "Persist"
  readonly seq: number
  /** null: unchanged. */
  readonly hardState: HardState | null
  /** Whatever stands at this index or after it is void, before `entries` are appended. null: nothing is. */
  readonly truncateFrom: Index | null
  /** Contiguous, starting right after what is kept. */
  readonly entries: readonly Entry[]
  /** The log now starts after this; entries through base.index may be dropped. null: unchanged. */
  readonly base: LogBase | null
}

export type Effect =
  | { readonly type: "Send"; readonly to: Member; readonly message: Message }
  | Persist
  /** Committed, locally durable, in order, each exactly once per life of the state machine. */
  | { readonly type: "Apply"; readonly entries: readonly Entry[] }
  | { readonly type: "Respond"; readonly ref: number; readonly outcome: Outcome }
  /**
   * (Re)start the timer: fire once, at a random point of [min, max] from now, or from just before the first message of
   * the leader's round `since` was sent. Late is allowed, early is not; but that a lease is over comes before whatever
   * else happened in the meantime.
   */
  | { readonly type: "SetTimer"; readonly timer: Timer; readonly min: Millis; readonly max: Millis; readonly since?: number }
  | { readonly type: "CancelTimer"; readonly timer: Timer }
  /** Make the state machine durable by itself, then SnapshotTaken. */
  | { readonly type: "TakeSnapshot" }
  /** Pin an image of the state machine for `to`, then SnapshotOpened. */
  | { readonly type: "OpenSnapshot"; readonly to: Member }
  /** Release what OpenSnapshot pinned. */
  | { readonly type: "CloseSnapshot"; readonly id: string }
  /** Put the bytes that came with the InstallSnapshot just received aside, then ChunkStored. */
  | { readonly type: "StoreChunk"; readonly snapshot: SnapshotRef; readonly offset: number; readonly last: boolean }
  /** All chunks are here: check them, make them durable, become them, then SnapshotRestored. */
  | { readonly type: "RestoreSnapshot"; readonly snapshot: SnapshotRef }
  /** Stop this process, and tell people why: what must never happen has happened. The only effect of its batch, but for notes. */
  | { readonly type: "Halt"; readonly halted: Halted }
  /** The rule of Raft just used; for people, coverage, metrics and search. */
  | { readonly type: "Note"; readonly rule: Rule }
export type EffectType = Effect["type"]

// ------------------------------------------------------------------------------------------------- state

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
  suppliedFor: { readonly inForce: Index; readonly committed: Index }
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
