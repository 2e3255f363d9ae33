/**
 * The session table: exactly-once execution, as part of the replicated state. Every decision here depends on the log
 * alone: the idle limit runs on the replicated clock, and must be the same on every node of a cluster.
 *
 * A command in a session must carry the session's secret, and in a node's own session it must be a command of nodes. So
 * only the client or node that opened a session can use it (SessionEnteredByOpener).
 */
import { sameSecret } from "../sessionKey.ts"
import { err, replySize } from "./reply.ts"
import type { Reply } from "../types.ts"

export const DEFAULT_IDLE = 3_600_000
/**
 * The most that a client's session may keep; commands beyond it are refused. Decided by the log, like replySize:
 * changing either changes the format. A node limits the window of its own session itself (see the service's queue), and
 * cannot wait in the middle of it.
 */
export const MAX_KEPT_REPLIES = 4096
export const MAX_KEPT_REPLY_BYTES = 16 << 20
/**
 * The limit for all sessions together, those of nodes included. Beyond it the sessions that keep most forget their
 * oldest replies, until all together keep at most KEPT_AFTER: a session that keeps less than an equal share loses
 * nothing, and the others keep that share.
 */
export const MAX_KEPT_IN_ALL = 32 << 20
const KEPT_AFTER = 24 << 20
/**
 * A reply larger than this is not kept: written to every disk and carried in every snapshot, it would cost far more
 * than its command. A client that repeats the command learns only that it was executed.
 */
export const MAX_KEPT_REPLY = 2 << 20
const tooLargeToKeep = err(
  `executed before; its reply was larger than ${MAX_KEPT_REPLY >> 20} MB and is not kept`,
  "FORGOTTEN",
)
/** Open sessions. An opening beyond it ends the client's session that has been idle for longest. */
export const MAX_SESSIONS = 10_000
/** The most bytes of an owner's name. */
export const MAX_OWNER = 256
/** The prefix of the owner of a node's session. No client may open such a session. */
export const NODE_OWNER = "node:"
export interface Session {
  readonly id: number
  readonly owner: string
  /** From the command that opened the session: the same command again opens nothing. */
  readonly secret: Uint8Array
  /** The last sequence number that was executed. */
  last: number
  /** Replies to lower numbers have arrived. */
  lowest: number
  /** When the replicated clock last saw a command in the session. */
  active: number
  /** Kept replies from `lowest` on, in order. */
  readonly replies: Map<number, Reply>
}

/** The outcome of a command, for the caller that waits for it. */
export type ReplyState =
  | { readonly type: "kept"; readonly reply: Reply }
  /** Executed, but the client has reported that the reply had arrived. */
  | { readonly type: "forgotten" }
  /** Not executed so far: proposing it again is safe. */
  | { readonly type: "notExecuted" }
  /**
   * The session is unknown, closed or expired: nothing more will be executed in it, and what was executed is unknown.
   */
  | { readonly type: "expired" }

/** An owner that can have only one session: a node, or one opening of a client. */
const holderOf = (owner: string, secret: Uint8Array): string =>
  owner.startsWith(NODE_OWNER) ? owner : `#${Buffer.from(secret).toString("latin1")}`

export class Sessions {
  readonly idle: number
  /** The least recently active first. */
  private readonly byId = new Map<number, Session>()
  /** The session of the last command: most commands are in the same session as the one before. */
  private newest: Session | null = null
  private readonly byHolder = new Map<string, number>()
  private keptCount = 0
  private keptSize = 0
  /** The bytes that each session keeps. */
  private readonly sizes = new Map<number, number>()
  /** The first sequence of each session that was executed and not shown yet. */
  private unseen = new Map<number, number>()
  /** Since the last `written`: the first executed sequence of each session, and the sessions that ended. */
  private touched = new Map<number, number>()
  private ended = new Set<number>()
  constructor(idle: number) {
    this.idle = idle
  }

  /** Least recently active first: the order of expiry. */
  all(): IterableIterator<Session> {
    return this.byId.values()
  }
  stats(): { readonly open: number; readonly keptReplies: number; readonly keptBytes: number } {
    return { open: this.byId.size, keptReplies: this.keptCount, keptBytes: this.keptSize }
  }
  alive(session: Session, now: number): boolean {
    return session.active + this.idle > now
  }
  private find(id: number, now: number): Session | undefined {
    const session = this.byId.get(id)
    return session !== undefined && this.alive(session, now) ? session : undefined
  }
  /** The session, if this command may use it. `secret` null: the command is a node's own. */
  enter(id: number, secret: Uint8Array | null, now: number): Session | undefined {
    const session = this.find(id, now)
    if (session === undefined || session.owner.startsWith(NODE_OWNER) !== (secret === null)) return undefined
    return secret === null || sameSecret(session.secret, secret) ? session : undefined
  }

  /** Adds a session from disk or from a snapshot. Call in order of activity. */
  load(session: Session): void {
    this.byId.set(session.id, session)
    this.newest = session
    this.byHolder.set(holderOf(session.owner, session.secret), session.id)
    for (const reply of session.replies.values()) this.keep(session.id, 1, replySize(reply))
  }

  /**
   * Returns the id of the session. An opening may be proposed again if its outcome is unknown; a second copy is
   * recognised by its secret, and only counts as activity.
   */
  open(id: number, owner: string, secret: Uint8Array, now: number): number {
    const earlier = this.byHolder.get(holderOf(owner, secret))
    if (earlier !== undefined) {
      const session = this.find(earlier, now)
      if (session !== undefined && sameSecret(session.secret, secret)) {
        this.touch(session, session.lowest, now)
        return earlier
      }
      this.end(earlier)
    }
    // A copy, so that the entry that holds the secret need not stay in memory.
    this.load({ id, owner, secret: Buffer.from(secret), last: 0, lowest: 1, active: now, replies: new Map() })
    this.touched.set(id, 1)
    if (this.byId.size > MAX_SESSIONS) this.makeRoom(id)
    return id
  }
  /** Among sessions last active at the same time, the order differs between nodes: the lowest id is removed. */
  private makeRoom(except: number): void {
    let oldest: Session | undefined
    for (const session of this.byId.values()) {
      if (oldest !== undefined && session.active > oldest.active) break
      if (session.id === except || session.owner.startsWith(NODE_OWNER)) continue
      if (oldest === undefined || session.id < oldest.id) oldest = session
    }
    if (oldest !== undefined) this.end(oldest.id)
  }
  end(id: number): void {
    const session = this.byId.get(id)
    if (session === undefined) return
    this.byId.delete(id)
    if (session === this.newest) this.newest = null
    const holder = holderOf(session.owner, session.secret)
    if (this.byHolder.get(holder) === id) this.byHolder.delete(holder)
    this.forget(session, session.last + 1)
    this.touched.delete(id)
    this.ended.add(id)
  }
  /** A command in the session was applied, whatever its outcome. */
  touch(session: Session, lowest: number, now: number): void {
    session.active = now
    if (session !== this.newest) {
      this.byId.delete(session.id)
      this.byId.set(session.id, session)
      this.newest = session
    }
    if (!this.unseen.has(session.id)) {
      this.unseen.set(session.id, session.last + 1)
      if (!this.touched.has(session.id)) this.touched.set(session.id, session.last + 1)
    }
    this.forget(session, Math.min(lowest, session.last + 1))
  }
  executed(session: Session, reply: Reply): void {
    session.last++
    const kept = replySize(reply) > MAX_KEPT_REPLY ? tooLargeToKeep : reply
    session.replies.set(session.last, kept)
    const size = replySize(kept)
    this.keep(session.id, 1, size)
    if (this.keptSize > MAX_KEPT_IN_ALL) this.share(session.id, size)
  }
  /** `newest`: the bytes that session `last` has just added, which are kept. */
  private share(last: number, newest: number): void {
    const older = (id: number): number => (this.sizes.get(id) ?? 0) - (id === last ? newest : 0)
    const sizes = Array.from(this.sizes.keys(), older).sort((a, b) => a - b)
    // The share: sessions below it keep everything, and leave more to the others.
    let room = KEPT_AFTER - newest
    let share = 0
    for (const [i, size] of sizes.entries()) {
      share = Math.floor(room / (sizes.length - i))
      if (size > share) break
      room -= size
    }
    for (const id of Array.from(this.sizes.keys())) {
      const session = this.byId.get(id)
      if (session === undefined || older(id) <= share) continue
      if (!this.touched.has(id)) this.touched.set(id, session.last + 1)
      while (older(id) > share) this.forget(session, session.lowest + 1)
    }
  }
  private keep(id: number, count: number, size: number): void {
    this.keptCount += count
    this.keptSize += size
    const total = (this.sizes.get(id) ?? 0) + size
    if (total > 0) this.sizes.set(id, total)
    else this.sizes.delete(id)
  }
  /**
   * The session keeps so much that nothing more may be executed until the client reports that some replies have
   * arrived.
   */
  full(session: Session): boolean {
    if (session.owner.startsWith(NODE_OWNER)) return false
    return session.replies.size >= MAX_KEPT_REPLIES || (this.sizes.get(session.id) ?? 0) >= MAX_KEPT_REPLY_BYTES
  }
  private forget(session: Session, lowest: number): void {
    for (; session.lowest < lowest; session.lowest++) {
      const reply = session.replies.get(session.lowest)
      if (reply === undefined) continue
      session.replies.delete(session.lowest)
      this.keep(session.id, -1, -replySize(reply))
    }
  }
  /** Removes all expired sessions: the number of sessions and what they keep must be the same on every node. */
  sweep(now: number): void {
    for (const session of this.byId.values()) {
      if (this.alive(session, now)) return
      this.end(session.id)
    }
  }

  /** What a waiting caller may be told: nothing that other readers do not see yet. */
  replyOf(id: number, secret: Uint8Array | null, sequence: number, now: number): ReplyState {
    const session = this.enter(id, secret, now)
    if (session === undefined) return { type: "expired" }
    const unseen = this.unseen.get(id)
    if (sequence > session.last || (unseen !== undefined && sequence >= unseen)) return { type: "notExecuted" }
    const reply = session.replies.get(sequence)
    return reply === undefined ? { type: "forgotten" } : { type: "kept", reply }
  }

  /** From here on everybody sees what was executed. */
  shown(): void {
    this.unseen.clear()
  }
  /** What changed since the last `written`, which is called once it is on disk. */
  changes(): { readonly touched: ReadonlyMap<number, number>; readonly ended: ReadonlySet<number> } {
    return { touched: this.touched, ended: this.ended }
  }
  byIdentity(id: number): Session | undefined {
    return this.byId.get(id)
  }
  written(): void {
    if (this.touched.size > 0) this.touched = new Map()
    if (this.ended.size > 0) this.ended = new Set()
  }

  clone(): Sessions {
    const copy = new Sessions(this.idle)
    for (const session of this.byId.values()) copy.load({ ...session, replies: new Map(session.replies) })
    return copy
  }
}
