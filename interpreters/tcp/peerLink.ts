/** What is known about the link with a peer, for status, health and forming a cluster. */
import { type Member } from "../../core/index.ts"
import { type ArrivingFrame } from "./frame.ts"
import { type PeerHello } from "./handshake.ts"
import type { Histogram } from "../metrics/index.ts"

/** Messages that were not sent, by reason. The core recovers from each. */
export interface Dropped {
  /** The link was down. */
  readonly disconnected: number
  /** Addressed to another incarnation than the one that is connected. */
  readonly incarnation: number
  /** Too many unsent bytes: the peer or the network is slow. */
  readonly backpressure: number
  /** Larger than a frame may be: a setting is wrong. */
  readonly tooLarge: number
}
/** For status, metrics and forming the cluster. */
export interface PeerLink {
  readonly name: string
  readonly address: string
  /** From the last hello; null before the first. */
  readonly member: Member | null
  /** Both directions are up, and `member` is at the other end. */
  readonly connected: boolean
  readonly clientAddress: string | null
  /** The last hello received, kept while disconnected; null before the first. */
  readonly hello: PeerHello | null
  /** Milliseconds since the last byte from this peer; null if there was none. */
  readonly lastReceivedMs: number | null
  readonly bytesIn: number
  readonly bytesOut: number
  readonly messagesIn: number
  readonly messagesOut: number
  /** Bytes handed over and not yet accepted by the kernel. */
  readonly unsentBytes: number
  /** Round-trip time of the last keep-alive, or how long it has been outstanding; null: none was sent yet. */
  readonly transitMs: number | null
  /** The round-trip times of answered keep-alives, in seconds. */
  readonly roundTrips: Histogram
  /** Bytes handed over since the last answered keep-alive: they may still be in transit. */
  readonly behindBytes: number
  /** The message from the peer that has arrived only in part. */
  readonly arriving: ArrivingFrame | null
  readonly dropped: Dropped
  /** Why it is not connected, as text; null while it is. */
  readonly problem: string | null
  /** Why a process of this name was refused lately, whether or not a link is up; null if none was. */
  readonly refused: string | null
  /** The hello of a peer that was refused because it does not support the level of the cluster; otherwise null. */
  readonly tooLow: PeerHello | null
}
