/** Types that the parts of the service share: commands in the log, replies, and what a node does for its connections. */
import type { Index, Stamp, Term } from "../core/index.ts"
import type { RunningMembers } from "../interpreters/members/index.ts"
import type { PeerStatus, ServerStatus } from "../interpreters/node/index.ts"
import type { Barrier } from "../interpreters/replica/index.ts"

/** A reply in terms of RESP3; a RESP2 connection gets the nearest form that RESP2 has. */
export type Reply =
  | { readonly type: "simple"; readonly text: string }
  /**
   * `code` is the first word on the wire (ERR, WRONGTYPE, UNKNOWN, MOVED, …). Quotes from a request in `text` have one
   * character for each byte.
   */
  | { readonly type: "error"; readonly code: string; readonly text: string }
  | { readonly type: "integer"; readonly value: number | bigint }
  /** `verbatim`: a text for people, which RESP3 distinguishes from a value. */
  | { readonly type: "bulk"; readonly bytes: Uint8Array; readonly verbatim?: true }
  | { readonly type: "null" }
  /**
   * `announced`: the number of items in the array's header, if it is not the number of `items`; null: no header. See
   * CLIENT REPLY inside MULTI.
   */
  | { readonly type: "array"; readonly items: readonly Reply[]; readonly announced?: number | null }
  | { readonly type: "map"; readonly entries: readonly (readonly [Reply, Reply])[] }

/** One Redis command: its name and arguments as received. */
export type Call = readonly Uint8Array[]

/** A key that must not have changed since `Reader.version` returned this version. Version 0: it must not exist. */
export interface Watch {
  readonly key: Uint8Array
  readonly version: number
}

/**
 * What a log entry tells the state machine to do.
 *
 * Execute is exactly-once: within a session the sequence numbers are 1, 2, 3, … without a gap. The next number is
 * executed. A number that was already executed is answered with the kept reply. A number after a gap is not executed
 * and answered OUTOFORDER (an earlier one was lost; propose again from there). Replies below `lowest` have arrived and
 * are forgotten. A command in an unknown or expired session is answered SESSIONEXPIRED and never executed; the same
 * holds for a command with another secret than the session's, and the session is not changed.
 *
 * OpenSession is idempotent by secret: the same opening again is answered with the same session and changes nothing but
 * its activity. Sessions of clients are independent, whatever their owners are called; a client closes the sessions
 * that it no longer uses. A node has one session: opening one with another secret ends the earlier one, so that nothing
 * proposed in the earlier one can take effect once the new session is open.
 */
export type Command =
  | { readonly type: "OpenSession"; readonly owner: string; readonly secret: Uint8Array }
  | { readonly type: "CloseSession"; readonly session: number; readonly secret: Uint8Array }
  | {
      readonly type: "Execute"
      readonly session: number
      /**
       * The secret from the reply to the client's opening. null: the session is a node's own, which only the node's
       * service uses.
       */
      readonly secret: Uint8Array | null
      readonly sequence: number
      readonly lowest: number
      /** exec: MULTI/EXEC, all or nothing, with the replies in one array; a null array if a watched key has changed. */
      readonly exec: boolean
      readonly watches: readonly Watch[]
      readonly calls: readonly Call[]
    }
  /** Carries only its stamp: advances the replicated clock and removes expired keys. */
  | { readonly type: "Tick" }

/** The outcome of one entry of the log. */
export interface Replied {
  readonly type: "replied"
  /** The index and term of this entry. */
  readonly index: Index
  readonly term: Term
  readonly session: number
  readonly secret: Uint8Array | null
  readonly sequence: number
  readonly reply: Reply
  /**
   * True: the reply is the command's result, and holds for every copy of the command. False: this copy was not
   * executed, which says nothing about other copies; it concerns only the proposer of this very entry.
   */
  readonly executed: boolean
}
export interface OpenedSession {
  readonly type: "opened"
  readonly owner: string
  readonly secret: Uint8Array
  readonly session: number
}
export interface ClosedSession {
  readonly type: "closed"
  readonly index: Index
  readonly term: Term
  readonly session: number
  readonly secret: Uint8Array
  /** False: the session no longer existed, or has another secret. */
  readonly ended: boolean
}
export type MachineOutcome = Replied | OpenedSession | ClosedSession

/** A read of the state at one index of the log. `most` as for StateReader. */
export type ReadHere = (call: Call, most?: number) => Reply

/** Called in log order with the outcomes of commands that this state machine executed (or refused) while applying. */
export interface CommandListener {
  /**
   * A command of a node's own session is about to be executed, and all before it have been. A listener that wants to
   * read the state that the command will find returns a function, which is then called once and at once. What it reads
   * is committed, and may be answered before the command's own outcome. After a shortage of disk space it may be called
   * again for the same command.
   */
  readonly executing?: (command: {
    readonly session: number
    readonly sequence: number
  }) => ((read: ReadHere) => void) | undefined
  readonly replied: (told: Replied) => void
  readonly opened: (told: OpenedSession) => void
  readonly closed: (told: ClosedSession) => void
  /** A snapshot replaced the state: replies may have been skipped; ask `replyOf` for the pending ones. */
  readonly restored: () => void
}

/**
 * A FLUSHALL does not touch keys that do not exist. `fits`: whether the watched key is absent and the watch still
 * holds; then `version` is the version that the watch may use from now on.
 */
export type FlushListener = (fits: (watch: Watch) => boolean, version: number) => void

export interface Keyspace {
  readonly keys: number
  /** The number of keys with a deadline, and how long those last on average, in milliseconds. */
  readonly expires: number
  readonly averageTtl: number
}

/** The read side of the state machine of this node. */
export interface StateReader {
  /**
   * Small reads are answered at once; large ones (KEYS, SCAN, DBSIZE, long MGET) later, in slices. A reply with more
   * than `most` bytes of keys and values (32 MB if it is not given) is refused as TOOLARGE before any value that does
   * not fit is read.
   */
  readonly read: (call: Call, most?: number) => Reply | Promise<Reply>
  /**
   * For WATCH: the log index of the last write of the key; for a key that does not exist, 2^47 plus the index after
   * which it did not.
   */
  readonly version: (key: Uint8Array) => number
  /**
   * Calls the listener for each FLUSHALL that is executed, before it takes effect, so that it can adjust the watches
   * that it keeps.
   */
  readonly onFlush?: (listener: FlushListener) => void
  /** An estimate of the bytes of the value, now or a moment ago, without reading it. */
  readonly lengthOf?: (key: Uint8Array) => number
  /** Counts all keys. null: not possible now. */
  readonly keyspace: () => Promise<Keyspace | null>
  /** The replicated clock as of the last applied entry. */
  readonly now: () => Stamp
}

export type { PeerStatus }
export interface NodeStatus extends ServerStatus {
  /** The address for clients. */
  readonly client: string
  /** Whom it lets in there; null: a simulated node. Absent: an older version. */
  readonly access?: ClientAccess | null
}
export interface ClientAccess {
  /** Its port for clients speaks TLS. */
  readonly tls: boolean
  /** Whether clients are asked for a certificate. */
  readonly certificates: "no" | "optional" | "yes"
  /** The users in force, and a digest by which nodes can be compared; null: whoever comes in is an administrator. */
  readonly users: { readonly count: number; readonly digest: string } | null
}

/** Identifies a client's session: its index in the log, and the secret that its opening returned. */
export interface SessionKey {
  readonly id: number
  readonly secret: Uint8Array
}

/**
 * Images of this node's data, for backups. Each function returns the reply to the STEPRAFT SNAPSHOT command of its
 * name, including refusals.
 */
export interface Backups {
  readonly open: () => Promise<Reply>
  readonly read: (id: string, offset: number) => Promise<Reply>
  readonly close: (id: string) => Promise<Reply>
}

/** What a node does for its connections. Callbacks are called once, never before the call has returned. */
export interface Service {
  /**
   * Executes the calls exactly once, in the order of the calls to `write`, in the node's own session. The reply is the
   * command's; or UNKNOWN if the node cannot learn the outcome in time; or a refusal that says that nothing was
   * executed (NOLEADER, BUSY, TOOLARGE, SPACELOW, MOVED with `redirect`).
   *
   * `before` is called when this node is about to execute the write: what it reads is what the write finds. That is
   * linearizable for every read that came before the call to `write`, because everything acknowledged by then comes
   * before the write in the log. It is not called for a write that was not executed, nor for one whose effect came with
   * a snapshot.
   */
  readonly write: (
    calls: readonly Call[],
    exec: boolean,
    watches: readonly Watch[],
    done: (reply: Reply) => void,
    before?: (read: ReadHere) => void,
  ) => void
  /** The same within a session that the client opened itself. */
  readonly writeInSession: (
    session: SessionKey,
    sequence: number,
    lowest: number,
    calls: readonly Call[],
    exec: boolean,
    watches: readonly Watch[],
    done: (reply: Reply) => void,
  ) => void
  /** The reply is the text of the session's key (kv/sessionKey.ts): a bulk string. */
  readonly openSession: (owner: string, done: (reply: Reply) => void) => void
  readonly closeSession: (session: SessionKey, done: (reply: Reply) => void) => void
  /**
   * `opened` is called with null once the local state holds every write acknowledged anywhere before this call; otherwise with
   * a refusal. Until the barrier has begun, later reads may share it.
   */
  readonly barrier: (opened: (refusal: Reply | null) => void) => Barrier<Reply>
  readonly reader: StateReader
  readonly status: () => NodeStatus
  /** The verbs for members and leadership. null while this node belongs to no cluster. */
  readonly members?: () => Pick<RunningMembers, "list" | "pursue"> | null
  /** null while this node belongs to no cluster. */
  readonly backups?: () => Backups | null
  /** The address at which the leader serves clients, if it is known: for redirects. */
  readonly leader: () => { readonly id: string; readonly host: string; readonly port: number } | null
}
