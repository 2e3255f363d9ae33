import { budgetOfMachine } from "./budget.ts"

/** What clients may ask of the server: one of them, unless it says all. All sizes in bytes. */
export interface Limits {
  readonly maxClients: number
  /** Connections beyond that, on which a node that is full can be looked at and helped; half of them for this machine. */
  readonly reservedClients: number
  /** A client that asks nothing, and waits for nothing, for so long is disconnected. 0: never. */
  readonly idleMs: number
  /** All clients together: see budget.ts. */
  readonly memoryBytes: number
  /** The largest log entry; a single argument may not be larger, a whole request not larger than twice that: it is refused by name, up to eight times as much. */
  readonly maxEntryBytes: number
  /** Words of a request. What the log takes is less, and refused by name; more than this ends the connection. */
  readonly maxArguments: number
  readonly maxInlineBytes: number
  /** A client's name, its library's, and that one's version: CLIENT LIST tells them of every client in one reply. */
  readonly maxNameBytes: number
  /** A connection with more than this under way is not read from until half of it is answered. */
  readonly pipelinedCommands: number
  readonly pipelinedBytes: number
  /** Of a read, which is refused by name before it is made if it would be larger. */
  readonly maxReplyBytes: number
  /** Commands that a MULTI may hold, and keys that one client may watch. */
  readonly maxQueued: number
  readonly maxWatched: number
  /** Replies that the client has not taken: above `soft` nothing more is read or executed for it, above `hard` it is cut off. */
  readonly softOutputBytes: number
  readonly hardOutputBytes: number
  /** A client above the soft limit that takes nothing at all for this long is cut off. */
  readonly stalledMs: number
  /** The same while the memory of all clients is nearly used up, for whoever holds more than a little of it. */
  readonly pressedMs: number
  /** How long a closing server waits for what is under way. */
  readonly closeGraceMs: number
}

const mebi = 1024 * 1024

export const defaultLimits: Limits = {
  maxClients: 10_000,
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
