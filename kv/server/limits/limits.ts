import { budgetOfMachine } from "./budget.ts"

/** The limits of one client, except where "all" is said. All sizes are in bytes. */
export interface Limits {
  readonly maxClients: number
  /** If there are users: how long a connection may stay without being logged in. */
  readonly loginMs: number
  /**
   * The limit of such connections. If there are more, or if all places are taken when a client connects, one of them is
   * closed.
   */
  readonly maxUnauthenticated: number
  /** The limit for one address (for IPv6: one /64). */
  readonly maxClientsPerAddress: number
  /** The limit of TLS handshakes in progress; beyond it one of the address that has most of them is ended. */
  readonly maxHandshakes: number
  /** Further connections, on which a full node can be inspected and relieved; half of them only from this machine. */
  readonly reservedClients: number
  /** A client that sends nothing, and waits for nothing, for this long is disconnected. 0: never. */
  readonly idleMs: number
  /** Memory for all clients together: see budget.ts. */
  readonly memoryBytes: number
  /**
   * The largest log entry. No argument may be larger, and no request larger than twice that. A larger request, up to
   * eight times that, is skipped, and the error names its command.
   */
  readonly maxEntryBytes: number
  /**
   * Words of a request; more than these end the connection. The log accepts fewer: such requests are refused with the
   * reason.
   */
  readonly maxArguments: number
  readonly maxInlineBytes: number
  /** Bytes of a client's name, its library's and the library's version: CLIENT LIST returns them for every client in one reply. */
  readonly maxNameBytes: number
  /** A connection with more than this outstanding is not read from until half of it is answered. */
  readonly pipelinedCommands: number
  readonly pipelinedBytes: number
  /** The largest reply of a read; a larger one is refused before it is made. */
  readonly maxReplyBytes: number
  /** Commands that a MULTI may hold, and keys that one client may watch. */
  readonly maxQueued: number
  readonly maxWatched: number
  /** Unread replies: above `soft` nothing more is read or executed for the client, above `hard` it is disconnected. */
  readonly softOutputBytes: number
  readonly hardOutputBytes: number
  /** A client above the soft limit that reads nothing for this long is disconnected. */
  readonly stalledMs: number
  /** The same while the memory of all clients is nearly used up, for clients that hold more than a little memory. */
  readonly pressedMs: number
  /** How long a closing server waits for outstanding requests. */
  readonly closeGraceMs: number
}

const mebi = 1024 * 1024

export const defaultLimits: Limits = {
  maxClients: 10_000,
  loginMs: 30_000,
  maxUnauthenticated: 2_500,
  maxClientsPerAddress: 5_000,
  maxHandshakes: 1_024,
  reservedClients: 16,
  idleMs: 0,
  memoryBytes: budgetOfMachine(),
  maxEntryBytes: 8 * mebi,
  maxArguments: 131_072,
  maxInlineBytes: 64 * 1024,
  maxNameBytes: 512,
  pipelinedCommands: 4_096,
  pipelinedBytes: 32 * mebi,
  maxReplyBytes: 32 * mebi,
  maxQueued: 16_384,
  maxWatched: 4_096,
  softOutputBytes: 16 * mebi,
  hardOutputBytes: 64 * mebi,
  stalledMs: 60_000,
  pressedMs: 15_000,
  closeGraceMs: 2_000,
}

const kibi = 1024
/**
 * The limits of a client that is not logged in: room for AUTH and HELLO, and for refusing commands that come too early.
 */
export const strangersLimits = (limits: Limits): Limits => ({
  ...limits,
  maxEntryBytes: Math.min(limits.maxEntryBytes, 8 * kibi),
  maxArguments: Math.min(limits.maxArguments, 16),
  maxInlineBytes: Math.min(limits.maxInlineBytes, 8 * kibi),
  hardOutputBytes: Math.min(limits.hardOutputBytes, 16 * kibi),
})
/** The memory that such a client may hold, with its socket; all of them together get an eighth of the memory. */
const strangersBytes = 48 * kibi
export const placesOfStrangers = ({ maxUnauthenticated, memoryBytes }: Limits): number =>
  Math.max(1, Math.min(maxUnauthenticated, Math.floor(memoryBytes / 8 / strangersBytes)))
