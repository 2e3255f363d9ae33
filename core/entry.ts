/** What the log holds: numbers of the algorithm, members and their configuration, entries, and where a log begins. */

/** A kind of number: plain arithmetic is allowed, passing a Term where an Index is wanted is not. */
type Flavour<Kind extends string> = number & { readonly __kind?: Kind }
/** Election epoch, counted from 1; 0 before the first election. */
export type Term = Flavour<"Term">
/** Position in the log, counted from 1; 0 is the empty log. */
export type Index = Flavour<"Index">
/** Milliseconds since the epoch, on the replicated clock or on a wall clock. */
export type Stamp = Flavour<"Stamp">
/** Milliseconds of a duration. */
export type Millis = Flavour<"Millis">
/** A chained checksum (chain.ts): a signed 32-bit integer, which JavaScript engines keep unboxed; 0 for the empty log. */
export type Chain = number

/**
 * A server of the cluster. The incarnation is a random id that belongs to its data directory: a server that lost its disk
 * comes back with a different one, and no message from or to the earlier incarnation counts for it.
 */
export interface Member {
  readonly name: string
  readonly incarnation: string
}

/**
 * The members and their roles. While `outgoing` is not empty the configuration is joint (paper §6): every decision needs
 * a majority of `voters` and a majority of `outgoing`. Learners receive the log but do not vote.
 */
export interface Configuration {
  readonly voters: readonly Member[]
  readonly outgoing: readonly Member[]
  readonly learners: readonly Member[]
  /**
   * The members' network addresses by name, as far as they are known. They travel with the log; the core never reads
   * them.
   */
  readonly addresses?: Addresses
  /**
   * The feature level: what members may write. Every one of them supports it, and it never falls. Default: 1, the
   * first.
   */
  readonly level?: number
}
export type Addresses = Readonly<Record<string, string>>

/** Bytes that the core never reads. The checksum (CRC-32) travels with them from proposal to apply. */
export interface Payload {
  readonly bytes: Uint8Array
  readonly checksum: number
}

interface EntryOf<Kind extends string> {
  readonly kind: Kind
  readonly index: Index
  readonly term: Term
  /** Stamped by the leader that appended the entry; never decreases along the log. */
  readonly time: Stamp
  /** Checksum of this entry and all before it (chain.ts). */
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

/** The last entry that a snapshot covers, or that was trimmed from the log; the log starts right after it. */
export interface LogBase {
  readonly index: Index
  readonly term: Term
  readonly time: Stamp
  readonly chain: Chain
  readonly configuration: Configuration
}

/** Paper Figure 2, "persistent state on all servers", except for the log. Always written together. */
export interface HardState {
  readonly term: Term
  readonly vote: Member | null
}

/** A snapshot that is being sent from one state machine to another. The id names the sender's pinned image. */
export interface SnapshotRef extends LogBase {
  readonly id: string
}
