/** What a server asks of the world. Effects are imperative; interpreters execute them in order and feed events back. */
import type { Timer } from "./events.ts"
import type { Halted } from "./halt.ts"
import type { Message } from "./messages.ts"
import type { Rule } from "./notes.ts"
import type { Entry, HardState, Index, LogBase, Member, Millis, SnapshotRef, Term } from "./types.ts"

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
