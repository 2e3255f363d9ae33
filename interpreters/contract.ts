/**
 * What an interpreter provides and promises. The driver knows nothing else of the world.
 *
 * Four rules hold for all of them.
 * - Calls never throw and never block. A promise that is rejected says what went wrong; the driver goes on.
 * - Handlers are called later, never before the call that caused them has returned. A microtask is late enough.
 * - What is handed over is never changed afterwards by either side, so it may be kept without a copy. Memory that an
 *   interpreter wants to use again must be copied first.
 * - `attach` is called once, before anything else but what reads (`stored`, `position`). Once `failed` was called,
 *   nothing else is called, and what the driver hands over afterwards is ignored.
 *
 * Whoever writes an interpreter can check it: `stepraft/spec/conformance` holds these promises as tests.
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
  /**
   * This Persist and all handed over before it survive a crash of the machine. `seq` rises from call to call; one call
   * may stand for many Persists.
   */
  readonly persisted: (seq: number) => void
  /** The storage cannot keep its promise any more; the node must stop. */
  readonly failed: (error: Error) => void
  /** Free space fell below the low-water mark, or rose above the high-water mark again. */
  readonly space?: (low: boolean) => void
}
/**
 * Stable storage of hard state, log and base. Persists become durable in the order given, each one whole or not
 * at all; whatever waits while a write is under way goes into one durable write (group commit). So what a crash leaves
 * is always the state after some Persist, and never one before the last that was reported.
 */
export interface Storage {
  /** What was found when it was opened: term 0, no vote and an empty log if nothing was ever written. Read before the first `persist`, which may let it go. */
  readonly stored: Stored
  readonly attach: (handlers: StorageHandlers) => void
  /**
   * Its parts take effect in this order: `truncateFrom`, `base`, `entries`. A base past the end of the log leaves an
   * empty log after it; a base that the log reaches leaves what follows it.
   */
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

/**
 * What the services of two members say to each other beside the algorithm: a question, or its answer, of at most
 * MAX_SERVICE_BYTES. `life` and `ref` are the asker's: they tie the answer to the question.
 */
export interface ServiceMessage {
  readonly type: "ServiceQuestion" | "ServiceAnswer"
  readonly life: number
  readonly ref: number
  readonly bytes: Uint8Array
}
export const MAX_SERVICE_BYTES = 256 << 10

export interface TransportHandlers {
  /**
   * `from` is who said it: name and incarnation as the handshake found them, not as the message claims. `chunk` holds
   * the bytes of an InstallSnapshot, and is null for everything else.
   */
  readonly received: (from: Member, message: Message, chunk: Uint8Array | null) => void
  /** Messages reach `peer` from now on. For each peer, `connected` and `disconnected` take turns. */
  readonly connected: (peer: Member) => void
  readonly disconnected: (peer: Member) => void
  readonly serviceSaid?: (from: Member, message: ServiceMessage) => void
}
/**
 * Messages between members. May lose, delay, duplicate and reorder; never alters a message and never delivers one
 * to an incarnation that it was not meant for. Bounded: what does not fit is dropped.
 *
 * Before the first message the two ends shake hands (hello.ts). Members of different clusters never exchange a message,
 * nor does a start of a directory that does not come after the one that its peer has met: such a directory was put back
 * or copied, and what it says does not count.
 */
export interface Transport {
  /** Peers that were connected before are told as `connected`, later, as all others. */
  readonly attach: (handlers: TransportHandlers) => void
  /** To whom is not connected, or is another incarnation by now: dropped. */
  readonly send: (to: Member, message: Message, chunk: Uint8Array | null) => void
  /** As `send`. A transport without it carries no questions: what a follower would ask its leader must be asked there. */
  readonly sendService?: (to: Member, message: ServiceMessage) => void
  /** The driver's batch is over: one write per peer. What was sent may wait for this call, and for nothing else. */
  readonly flush: () => void
}

/** Monotonic time and the timers. Late is allowed, early is not. */
export interface Timers {
  readonly attach: (expired: (timer: Timer) => void) => void
  readonly set: (timer: Timer, min: Millis, max: Millis) => void
  readonly cancel: (timer: Timer) => void
}

/**
 * A pinned image of a state machine, as it was after the entry at its position: what is applied meanwhile does not show
 * in it. Reading the same offset again gives the same bytes.
 */
export interface SnapshotImage {
  /** Its position, and an id that only images of the same bytes have, of this machine or another: receivers go by it. */
  readonly snapshot: SnapshotRef
  /** Bytes from `offset` on, as many as make one chunk: at least one, unless it is the last. The driver asks for one at a time. */
  readonly read: (offset: number) => Promise<{ readonly bytes: Uint8Array; readonly last: boolean }>
  readonly close: () => Promise<void>
}

export interface StateMachineHandlers {
  /** Every entry through `index` has been executed, and its results are out. Once for each `apply`, with its last index. */
  readonly applied: (index: Index) => void
  /** Still at what `apply` was given, and alive: silence is limited, and counts from here. */
  readonly progress?: () => void
  /** Damage was found; nothing more is executed until `restore` has succeeded. */
  readonly damaged: (error: Error) => void
  /** The state machine cannot go on at all (its disk failed); the node must stop. */
  readonly failed: (error: Error) => void
}
/**
 * What the log is for. Equal entries give equal states, however they are cut into calls of `apply`. Keeps its own
 * position (the applied index, with term, stamp and configuration) in the same atomic write as its data, so that a
 * restart executes nothing twice: whatever a crash leaves is the state after exactly the entries through `position`.
 */
export interface StateMachine {
  /**
   * Through where it has executed: the last entry's index, term, stamp and chain, and the configuration of the last
   * configuration entry (the founding one is no entry: whoever starts the node knows it). Index 0 if it is new. Null if
   * it is lost or damaged and must be rebuilt from a peer.
   */
  readonly position: () => LogBase | null
  readonly attach: (handlers: StateMachineHandlers) => void
/**
   * Entries right after `position`, of all kinds; those that are no commands move the position only. One call at a time:
   * the next follows after `applied`. A throw, a rejection or no answer ends the node by name.
   */
  readonly apply: (entries: readonly Entry[]) => void
  /** Make everything executed so far durable; the result is the position that a crash cannot take back. */
  readonly takeSnapshot: () => Promise<LogBase>
  /** Of now, or of an earlier position, but not before the one that `takeSnapshot` answered last: the log before that is gone. */
  readonly openSnapshot: () => Promise<SnapshotImage>
  /** Put a chunk aside; offset 0 starts over. Resolves with the offset expected next, which is also the answer to a chunk that is not the expected one: that is not taken. */
  readonly storeChunk: (snapshot: SnapshotRef, offset: number, bytes: Uint8Array, last: boolean) => Promise<number>
  /** Check what was put aside, make it durable, become it. On failure (it is not whole, or damaged, or another one) the earlier state stays. */
  readonly restore: (snapshot: SnapshotRef) => Promise<void>
}
