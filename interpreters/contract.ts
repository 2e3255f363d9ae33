/**
 * What an interpreter provides and guarantees. The driver depends on nothing else.
 *
 * Four rules hold for all of them.
 * - Calls never throw and never block. A rejected promise says what went wrong, and the driver continues.
 * - Handlers are called asynchronously, never before the call that caused them has returned. A microtask is late enough.
 * - What is handed over is never changed afterwards by either side, so it may be kept without a copy. Memory that an
 *   interpreter wants to use again must be copied first.
 * - `attach` is called once, before anything except reads (`stored`, `position`). After `failed` was called, no other
 *   handler is called, and whatever the driver hands over is ignored.
 *
 * To check an interpreter of your own, run `stepraft/spec/conformance`, which has these guarantees as tests.
 */
import type {
  Configuration,
  Entry,
  HardState,
  Index,
  LogBase,
  Member,
  Message,
  Millis,
  Persist,
  SnapshotRef,
  Timer,
} from "../core/index.ts"

/** What a storage holds when it is opened. `entries` follow `base` without a gap. */
export interface Stored {
  readonly hardState: HardState
  readonly base: LogBase
  readonly entries: readonly Entry[]
}

/** The owner of a data directory. `founding` is the cluster's first configuration; null until the cluster is formed. */
export interface Identity {
  readonly self: Member
  readonly cluster: string | null
  readonly founding: Configuration | null
}

export interface StorageHandlers {
  /**
   * This Persist and all before it survive a crash of the machine. `seq` increases from call to call; one call may cover
   * many Persists.
   */
  readonly persisted: (seq: number) => void
  /** The storage can no longer keep its guarantees; the node must stop. */
  readonly failed: (error: Error) => void
  /** Free space fell below the low-water mark (true), or rose above the high-water mark again (false). */
  readonly space?: (low: boolean) => void
}
/**
 * Stable storage of hard state, log and base. Persists become durable in the order given, each one whole or not at all;
 * those that arrive during a write go into the next durable write together (group commit). So after a crash the storage
 * always holds the result of some Persist, and never of one before the last that was reported durable.
 */
export interface Storage {
  /** What was found at opening: term 0, no vote and an empty log if nothing was ever written. Read it before the first `persist`, which may release it. */
  readonly stored: Stored
  readonly attach: (handlers: StorageHandlers) => void
  /**
   * The parts of a Persist take effect in this order: `truncateFrom`, `base`, `entries`. A base beyond the end of the
   * log leaves an empty log after it; a base within the log keeps the entries after it.
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
 * Messages that the services of two members exchange besides the algorithm's: a question or its answer, of at most
 * MAX_SERVICE_BYTES. `bootId` and `ref` are the asker's: they match the answer to the question.
 */
export interface ServiceMessage {
  readonly type: "ServiceQuestion" | "ServiceAnswer"
  readonly bootId: number
  readonly ref: number
  readonly bytes: Uint8Array
}
export const MAX_SERVICE_BYTES = 256 << 10

export interface TransportHandlers {
  /**
   * `from` is the sender: name and incarnation as established by the handshake, not as claimed in a message. `chunk` holds
   * the bytes of an InstallSnapshot, and is null for other messages.
   */
  readonly received: (from: Member, message: Message, chunk: Uint8Array | null) => void
  /** From now on messages reach `peer`. For each peer `connected` and `disconnected` alternate. */
  readonly connected: (peer: Member) => void
  readonly disconnected: (peer: Member) => void
  readonly serviceSaid?: (from: Member, message: ServiceMessage) => void
}
/**
 * Messages between members. A transport may lose, delay, duplicate and reorder them; it never alters a message and
 * never delivers one to an incarnation for which it was not meant. Its memory is bounded: it drops messages that do not
 * fit.
 *
 * Before the first message the two ends shake hands (hello.ts). Members of different clusters never exchange a message.
 * Neither do two members if one has already seen a later start of the other's directory: such a directory was restored
 * from a copy, and its messages must not count.
 */
export interface Transport {
  /** Peers that are already connected are reported through `connected` too, asynchronously. */
  readonly attach: (handlers: TransportHandlers) => void
  /** The message is dropped if the peer is not connected, or is another incarnation by now. */
  readonly send: (to: Member, message: Message, chunk: Uint8Array | null) => void
  /**
   * As `send`, for ServiceMessages. A transport without it carries no questions: then the caller must ask the leader
   * itself.
   */
  readonly sendService?: (to: Member, message: ServiceMessage) => void
  /**
   * The driver's batch is complete: make one write per peer. Messages may be held back until this call, but no longer.
   */
  readonly flush: () => void
}

/** Timers on monotonic time. They may fire late, never early. */
export interface Timers {
  readonly attach: (expired: (timer: Timer) => void) => void
  readonly set: (timer: Timer, min: Millis, max: Millis) => void
  readonly cancel: (timer: Timer) => void
}

/**
 * A pinned image of a state machine, as it was after the entry at its position: entries applied later do not show in it.
 * Reading the same offset again gives the same bytes.
 */
export interface SnapshotImage {
  /**
   * The image's position, and an id. Images with different bytes must have different ids, across machines too:
   * receivers rely on it.
   */
  readonly snapshot: SnapshotRef
  /** One chunk of bytes from `offset` on: at least one byte, unless it is the last chunk. The driver asks for one at a time. */
  readonly read: (offset: number) => Promise<{ readonly bytes: Uint8Array; readonly last: boolean }>
  readonly close: () => Promise<void>
}

export interface StateMachineHandlers {
  /** Every entry through `index` has been executed and its results delivered. Called once for each `apply`, with its last index. */
  readonly applied: (index: Index) => void
  /** The machine is still working on the last `apply`: the limit on silence is counted from this call. */
  readonly progress?: () => void
  /** Damage was found; the machine executes nothing more until `restore` has succeeded. */
  readonly damaged: (error: Error) => void
  /** The state machine cannot continue at all (its disk failed); the node must stop. */
  readonly failed: (error: Error) => void
}
/**
 * The replicated state machine. Equal entries give equal states, however they are split into calls of `apply`. It keeps its
 * own position (the applied index, with term, stamp and configuration) in the same atomic write as its data, so that a
 * restart executes nothing twice: a crash always leaves the state after exactly the entries through `position`.
 */
export interface StateMachine {
  /**
   * How far it has executed: the last entry's index, term, stamp and chain, and the configuration of the last configuration
   * entry (the founding configuration is not an entry; the node's start-up code adds it). Index 0 if it is new. Null if it
   * is lost or damaged and must be rebuilt from a peer.
   */
  readonly position: () => LogBase | null
  readonly attach: (handlers: StateMachineHandlers) => void
  /**
   * Entries right after `position`, of all kinds; entries that are not commands only move the position. One call at a time:
   * the next one comes after `applied`. If it throws, rejects or never reports, the node stops with that reason.
   */
  readonly apply: (entries: readonly Entry[]) => void
  /** Make everything executed so far durable; resolves with the position that now survives a crash. */
  readonly takeSnapshot: () => Promise<LogBase>
  /**
   * An image of the present state or of an earlier one, but not from before the position that `takeSnapshot` last
   * returned: the log before that is gone.
   */
  readonly openSnapshot: () => Promise<SnapshotImage>
  /** Store a received chunk; offset 0 starts over. Resolves with the offset expected next; a chunk at any other offset is ignored, with the same answer. */
  readonly storeChunk: (snapshot: SnapshotRef, offset: number, bytes: Uint8Array, last: boolean) => Promise<number>
  /** Check the stored chunks, make them durable, and replace the state by them. On failure (incomplete, damaged, or another snapshot) the earlier state stays. */
  readonly restore: (snapshot: SnapshotRef) => Promise<void>
}
