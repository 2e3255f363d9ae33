/**
 * What an interpreter provides and promises. The driver knows nothing else of the world.
 *
 * Three rules hold for all of them. Calls never throw and never block: what takes time answers later through
 * the handlers, on a turn of the event loop of its own. What is handed over is never changed afterwards by
 * either side. Once `failed` was called, nothing else is called.
 */
import type { Configuration, Entry, HardState, Index, LogBase, Member, Message, Millis, Persist, SnapshotRef, Timer } from "../core/index.ts"

/** What a storage holds when it is opened. `entries` follow `base` without a gap. */
export interface Stored {
  readonly hardState: HardState
  readonly base: LogBase
  readonly entries: readonly Entry[]
}

/** Who a data directory belongs to. `founding` is the first configuration; null until the cluster is formed. */
export interface Identity {
  readonly self: Member
  readonly cluster: string | null
  readonly founding: Configuration | null
}

export interface StorageHandlers {
  /** This Persist and all handed over before it survive a crash of the machine. Called in order. */
  readonly persisted: (seq: number) => void
  /** The storage cannot keep its promise any more; the node must stop. */
  readonly failed: (error: Error) => void
  /** Free space fell below the low-water mark, or rose above the high-water mark again. */
  readonly space?: (low: boolean) => void
}
/**
 * Stable storage of hard state, log and base. Persists become durable in the order given, each one whole or not
 * at all; whatever waits while a write is under way goes into one durable write (group commit).
 */
export interface Storage {
  readonly stored: Stored
  readonly attach: (handlers: StorageHandlers) => void
  readonly persist: (persist: Persist) => void
  /** For status and metrics. */
  readonly stats: () => StorageStats
}
export interface StorageStats {
  readonly bytes: number
  readonly segments: number
  readonly syncs: number
  readonly bytesWritten: number
}

export interface TransportHandlers {
  /** `chunk` holds the bytes of an InstallSnapshot, and is null for everything else. */
  readonly received: (from: Member, message: Message, chunk: Uint8Array | null) => void
  readonly connected: (peer: Member) => void
  readonly disconnected: (peer: Member) => void
}
/**
 * Messages between members. May lose, delay, duplicate and reorder; never alters a message and never delivers one
 * to an incarnation that it was not meant for. Bounded: what does not fit is dropped.
 */
export interface Transport {
  readonly attach: (handlers: TransportHandlers) => void
  readonly send: (to: Member, message: Message, chunk: Uint8Array | null) => void
  /** The driver's batch is over: one write per peer. */
  readonly flush: () => void
}

/** Monotonic time and the timers. Late is allowed, early is not. */
export interface Timers {
  readonly attach: (expired: (timer: Timer) => void) => void
  readonly set: (timer: Timer, min: Millis, max: Millis) => void
  readonly cancel: (timer: Timer) => void
}

/** A pinned image of a state machine. Reading the same offset again gives the same bytes. */
export interface SnapshotImage {
  readonly snapshot: SnapshotRef
  /** Bytes from `offset` on, as many as make one chunk. */
  readonly read: (offset: number) => Promise<{ readonly bytes: Uint8Array; readonly last: boolean }>
  readonly close: () => Promise<void>
}

export interface StateMachineHandlers {
  /** Every entry through `index` has been executed, and its results are out. */
  readonly applied: (index: Index) => void
  /** Still at what `apply` was given, and alive: silence is limited, and counts from here. */
  readonly progress?: () => void
  /** Damage was found; nothing more is executed until `restore` has succeeded. */
  readonly damaged: (error: Error) => void
  /** The state machine cannot go on at all (its disk failed); the node must stop. */
  readonly failed: (error: Error) => void
}
/**
 * What the log is for. Keeps its own position (the applied index, with term, stamp and configuration) in the same
 * atomic write as its data, so that a restart executes nothing twice.
 */
export interface StateMachine {
  /** Through where it has executed, or null if it is lost or damaged and must be rebuilt from a peer. */
  readonly position: () => LogBase | null
  readonly attach: (handlers: StateMachineHandlers) => void
  /** In order, one call at a time: the next follows after `applied`. A throw, a rejection or no answer ends the node by name. */
  readonly apply: (entries: readonly Entry[]) => void
  /** Make everything executed so far durable; the result is the position that a crash cannot take back. */
  readonly takeSnapshot: () => Promise<LogBase>
  readonly openSnapshot: () => Promise<SnapshotImage>
  /** Put a chunk aside; offset 0 starts over. Resolves with the offset expected next. */
  readonly storeChunk: (snapshot: SnapshotRef, offset: number, bytes: Uint8Array, last: boolean) => Promise<number>
  /** Check what was put aside, make it durable, become it. On failure the earlier state stays. */
  readonly restore: (snapshot: SnapshotRef) => Promise<void>
}
