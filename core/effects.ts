/** What a server asks of the world. Effects are imperative; interpreters execute them in order and feed events back. */
import type { Timer } from "./events.ts"
import type { Message } from "./messages.ts"
import type { Rule } from "./notes.ts"
import type { Outcome } from "./outcomes.ts"
import type { Entry, HardState, Index, LogBase, Member, Millis, SnapshotRef, Term } from "./entry.ts"

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

/** Why a node stops for good: what it found, and which leader showed it. */
export type Halted =
  /** Two servers lead the same term: some server voted twice. */
  | { readonly reason: "twoLeaders"; readonly term: Term; readonly leader: Member; readonly other: Member }
  /** The entry at `index` is committed here in `term`, but the leader has a different one there, of term `theirs`. */
  | {
      readonly reason: "committedConflict"
      readonly index: Index
      readonly term: Term
      readonly leader: Member | null
      readonly theirs: Term
    }
  /** The entry at `index` has the same `term` in both logs, but its content, or that of an entry before it, differs. */
  | {
      readonly reason: "logsDiverged"
      readonly index: Index
      readonly term: Term
      readonly leader: Member | null
      readonly committed: boolean
    }
export type HaltReason = Halted["reason"]

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
