/** What a server asks of the world. Effects are imperative; interpreters execute them in order and feed events back. */
import type { Timer } from "./events.ts"
import type { Halted } from "./halt.ts"
import type { Message } from "./messages.ts"
import type { Rule } from "./notes.ts"
import type { Entry, HardState, Index, LogBase, Member, Millis, SnapshotRef, Term } from "./types.ts"

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

export interface Persist {
  readonly type: "Persist"
  readonly seq: number
  /** null: unchanged. */
  readonly hardState: HardState | null
  /** Entries at this index and after it are deleted before `entries` are appended. null: none. */
  readonly truncateFrom: Index | null
  /** Contiguous, starting right after the last entry that is kept. */
  readonly entries: readonly Entry[]
  /** The log now starts after this; entries through base.index may be dropped. null: unchanged. */
  readonly base: LogBase | null
}

export type Effect =
  | { readonly type: "Send"; readonly to: Member; readonly message: Message }
  | Persist
  /**
   * Execute these entries. They are committed and durable on this node. They come in order, each exactly once unless
   * the state machine is replaced.
   */
  | { readonly type: "Apply"; readonly entries: readonly Entry[] }
  | { readonly type: "Respond"; readonly ref: number; readonly outcome: Outcome }
  /**
   * Start or restart the timer: it fires once, at a random point of [min, max], counted from now or, if `since` is
   * given, from just before the first message of the leader's round `since` was sent. It may fire late, never early.
   * When a lease ends, its TimerExpired must reach the reducer before any event that happened later.
   */
  | {
      readonly type: "SetTimer"
      readonly timer: Timer
      readonly min: Millis
      readonly max: Millis
      readonly since?: number
    }
  | { readonly type: "CancelTimer"; readonly timer: Timer }
  /** Save the state machine, so that it can be recovered without the log before this point; then report SnapshotTaken. */
  | { readonly type: "TakeSnapshot" }
  /** Pin an image of the state machine for `to`, then report SnapshotOpened. */
  | { readonly type: "OpenSnapshot"; readonly to: Member }
  /** Release what OpenSnapshot pinned. */
  | { readonly type: "CloseSnapshot"; readonly id: string }
  /** Store the bytes that came with the InstallSnapshot just received, then report ChunkStored. */
  | { readonly type: "StoreChunk"; readonly snapshot: SnapshotRef; readonly offset: number; readonly last: boolean }
  /** All chunks are here: check them, make them durable, replace the state machine by them, then report SnapshotRestored. */
  | { readonly type: "RestoreSnapshot"; readonly snapshot: SnapshotRef }
  /** Stop this process and report why: something has happened that must never happen. The only effect of its batch, except for notes. */
  | { readonly type: "Halt"; readonly halted: Halted }
  /** The rule of Raft that was just applied; for people, coverage, metrics and search. */
  | { readonly type: "Note"; readonly rule: Rule }
export type EffectType = Effect["type"]
