/** What the server knows about one client, as set by HELLO, CLIENT, MULTI, WATCH and so on. Plain state without behaviour. */
import type { Call, FlushListener, Reply, Watch } from "../types.ts"
import type { Grant } from "./users/index.ts"
import type { Protocol } from "./wire/encode.ts"

export interface QueuedTransaction {
  /** Calls for the log, in order; `local` holds, by position, the commands that the connection answers itself. */
  readonly calls: Call[]
  readonly local: Map<number, () => Reply>
  bytes: number
  /** Its size in memory. */
  weight: number
  /** A command was refused while it was queued: EXEC will discard the whole transaction. */
  aborted: boolean
  /** The queue holds commands that change or report the connection's state, above all CLIENT REPLY. */
  silencing: boolean
}

/** Watched keys. Filled as each WATCH is executed, which is before its EXEC in the connection's order. */
export interface Watching {
  /** By the bytes of the key, as Latin-1. If a key is watched several times, the first watch counts. */
  readonly watches: Map<string, Watch>
  /** Their size in memory. */
  weight: number
  /** A WATCH could not be served: the transaction that depends on it must not run. */
  failed: boolean
}

export interface ClientState {
  readonly id: number
  readonly address: string
  readonly localAddress: string
  readonly connectedAt: number
  /**
   * Not null: connected when all ordinary places were taken. Only administrative commands are allowed (reserve.ts); this
   * is the answer to all others.
   */
  readonly reserved: Reply | null
  activeAt: number
  name: string
  library: string
  libraryVersion: string
  lastCommand: string
  protocol: Protocol
  /** Set by CLIENT REPLY. */
  replies: "on" | "off"
  /** Set by CLIENT REPLY SKIP: whether the present command, or the next, gets no reply. */
  skip: "none" | "this" | "next"
  /** local: what this node has applied, perhaps stale; no barrier, no redirect. */
  consistency: "linearizable" | "local"
  transaction: QueuedTransaction | null
  watching: Watching
  /** An outstanding EXEC decides which later commands are answered: no later command is started before it has ended. */
  settling: boolean
  /** An AUTH is being checked: later commands wait. */
  proving: boolean
  /** The user and its permissions; null: not logged in. */
  user: Grant | null
  /** The permissions with which it connected. */
  readonly arrived: Grant | null
  /** The name in its certificate, if it showed one that counts and there are users. */
  readonly certified: string | null
  /** By the server's clock, since when the client has not been logged in; null while it is logged in. */
  namelessSince: number | null
  /** Bytes of pending requests, of replies not sent, and of everything held for it, as known by its connection. */
  load: () => { readonly input: number; readonly output: number; readonly total: number }
  /** Nothing more is read; the connection closes once all earlier commands are answered. */
  leaving: boolean
}

/** An address without its port. */
export const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":"))

export const noWatches = (): Watching => ({ watches: new Map(), weight: 0, failed: false })

/** Every client's grant if there are no users. */
const everybody: Grant = { name: "default", role: "admin", by: null }

export const newClient = (
  id: number,
  address: string,
  localAddress: string,
  now: number,
  reserved: Reply | null = null,
  arrived: Grant | null = everybody,
  certified: string | null = null,
): ClientState => ({
  id,
  address,
  localAddress,
  connectedAt: now,
  reserved,
  activeAt: now,
  name: "",
  library: "",
  libraryVersion: "",
  lastCommand: "",
  protocol: 2,
  replies: "on",
  skip: "none",
  consistency: "linearizable",
  transaction: null,
  watching: noWatches(),
  settling: false,
  proving: false,
  user: arrived,
  arrived,
  certified,
  namelessSince: null,
  load: () => ({ input: 0, output: 0, total: 0 }),
  leaving: false,
})

/** RESET: the state as it was when the client connected. */
export const resetClient = (client: ClientState): void => {
  client.name = ""
  client.user = client.arrived
  client.protocol = 2
  client.replies = "on"
  client.skip = "none"
  client.consistency = "linearizable"
  client.transaction = null
  client.watching = noWatches()
}

/**
 * How many watches of all clients one FLUSHALL checks, at some microseconds each: beyond that, watches may fail without
 * need.
 */
const mostKept = 4096

/** A FLUSHALL does not touch keys that do not exist: watches of those stay valid. */
export const keepWatchesOfAbsentKeys = (
  clients: Iterable<ClientState>,
  ...[fits, version]: Parameters<FlushListener>
): void => {
  let left = mostKept
  for (const { watching } of clients)
    for (const [name, watch] of watching.watches) {
      if (left-- === 0) return
      if (fits(watch)) watching.watches.set(name, { ...watch, version })
    }
}
