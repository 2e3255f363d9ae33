/** What can happen to a server. Events are past tense; each is one call of the reducer, or part of a batch. */
import type { Message } from "./messages.ts"
import type { Addresses, Index, LogBase, Member, Millis, Payload, SnapshotRef, Stamp } from "./entry.ts"

/**
 * election: no leader was heard for a whole election timeout (it runs in two stages, see election.ts).
 * heartbeat: a leader must send the next heartbeat. quorum: a leader must have heard from a quorum since this timer last
 * expired (CheckQuorum, thesis §6.2). lease: the time in which no other leader can have been elected is over
 * (thesis §6.4.1). persist: a leader's oldest write has been outstanding for too long.
 * transfer: the target of a leadership transfer did not take over in time. answer: the leader has not yet answered a
 * forwarded proposal or read of this node.
 */
export type Timer = "election" | "heartbeat" | "quorum" | "lease" | "persist" | "transfer" | "answer"

export type Event =
  /** The first event after every start: the interpreter is ready. */
  | { readonly type: "Started" }
  | { readonly type: "MessageReceived"; readonly from: Member; readonly message: Message }
  /** Commands of clients of this node. One Respond answers `ref`; refs only grow until the next start. */
  | { readonly type: "Proposed"; readonly ref: number; readonly payloads: readonly Payload[] }
  /** A client of this node asks for a linearizable read. One Respond answers `ref`. */
  | { readonly type: "ReadRequested"; readonly ref: number }
  /** Persist `seq` and all before it are on stable storage. */
  | { readonly type: "Persisted"; readonly seq: number }
  /** The state machine has executed every entry through `index`. */
  | { readonly type: "Applied"; readonly index: Index }
  | { readonly type: "TimerExpired"; readonly timer: Timer }
  /** The interpreter's clocks, for stamps only: milliseconds since it started, and the wall clock (0: there is none). */
  | { readonly type: "ClockAdvanced"; readonly monotonic: Millis; readonly wall: Stamp }
  | { readonly type: "PeerConnected"; readonly peer: Member }
  /** The connection to `peer` was closed or reset: a hint that it is gone. */
  | { readonly type: "PeerDisconnected"; readonly peer: Member }
  /** The state machine is durable through `base.index` without the log: the log before that may be trimmed. */
  | { readonly type: "SnapshotTaken"; readonly base: LogBase }
  | { readonly type: "SnapshotTakeFailed" }
  /** An image of the state machine is pinned and can be read for `to`. */
  | { readonly type: "SnapshotOpened"; readonly to: Member; readonly snapshot: SnapshotRef }
  | { readonly type: "SnapshotOpenFailed"; readonly to: Member }
  /** A received chunk was stored. */
  | { readonly type: "ChunkStored"; readonly id: string; readonly nextOffset: number; readonly last: boolean }
  /** A chunk could not be stored, or the whole snapshot is invalid: the transfer has failed. */
  | { readonly type: "SnapshotRejected"; readonly id: string }
  /** The received snapshot has replaced the state machine, durably. */
  | { readonly type: "SnapshotRestored"; readonly snapshot: SnapshotRef }
  /** The state machine found damage in itself and serves nothing until it is rebuilt from a peer. */
  | { readonly type: "MachineDamaged" }
  /** Free space fell below the low-water mark, or rose above the high-water mark. */
  | { readonly type: "SpaceChanged"; readonly low: boolean }
  /** Hand leadership over (to the most suitable voter if `to` is null); ignored unless this node leads. */
  | { readonly type: "TransferRequested"; readonly to: Member | null }
  /**
   * Make these the voters and learners of the cluster (paper §6), with these addresses and this feature level (as before,
   * if none are given).
   * One Respond answers `ref`.
   */
  | {
      readonly type: "ConfigurationChangeProposed"
      readonly ref: number
      readonly voters: readonly Member[]
      readonly learners: readonly Member[]
      readonly addresses?: Addresses
      readonly level?: number
    }
export type EventType = Event["type"]
