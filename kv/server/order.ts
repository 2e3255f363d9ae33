/**
 * In which order the commands of one connection take effect: as they were sent, although reads hold up nothing. Writes are
 * begun one after the other without waiting, also past reads that cannot be taken yet. A small read is taken at the first of
 * two moments,
 *
 * - once it is at the head, all before it being answered, and its barrier has been passed, or
 * - on the way of the next write: as this node is about to execute that, the state has all that stood before the read and
 *   nothing that stands behind it. No barrier is needed there, for the write was begun after the read had come.
 *
 * So a read sees the writes before it and none behind it. Where reads cannot be taken on its way (long ones, very many, a
 * write in a session of the client's) a write is begun once they have been read. A read that was not taken on the way of a
 * write that may have an effect is refused: any state there is may hold that.
 */
import type { Barrier } from "../../interpreters/replica/index.ts"
import type { Reply } from "../types.ts"
import { weightOf } from "./limits/admission.ts"
import type { Host } from "./contract.ts"
import { type Cost, missed, type Slot } from "./queue.ts"
import { costOfTaking } from "./reading.ts"

/** Executed in the order of the connection's plain writes: one of them, or like them. */
const isInOrder = ({ work }: Slot): boolean => work === null || (work.type === "work.write" && work.inOrder)
const refusals: ReadonlySet<string> = new Set(["NOLEADER", "BUSY", "TOOLARGE", "SPACELOW", "MOVED", "LOADING"])
/** The service's word that a write has had no effect and will have none. */
const isRefusal = (reply: Reply): boolean => reply.type === "error" && refusals.has(reply.code)

export class Order {
  /** Writes begun and not over. */
  writes = 0
  private readonly host: Host
  /** The connection may go on. */
  private readonly resume: () => void
  /** Of the writes under way: not in the order of the others; and given up with one of unknown end. */
  private apart = 0
  private abandoned = 0
  /** Reads that have been passed by and not been taken, in their order. */
  private readonly waiting: Slot[] = []
  /** The barrier that was joined last; and whether reads wait that have none. */
  private barrier: Barrier<Reply> | null = null
  private unasked = false
  /** The place of the last write begun: whatever waits before it has a write that takes it. -1: that is not so. */
  private begunAt = -1

  constructor(host: Host, resume: () => void) {
    this.host = host
    this.resume = resume
  }

  /** The read waits to be taken. A barrier that begins after it has come may have been passed by the time that it can be. */
  pass(read: Slot): void {
    this.waiting.push(read)
    if (!read.linearizable) return
    read.askedEarly = this.writes > 0
    this.unasked = true
    this.askForAll()
  }
  /** One barrier at a time: what comes while one is under way shares the next. */
  private askForAll(): void {
    if (!this.unasked || (this.barrier !== null && this.barrier.begun && !this.barrier.open)) return
    this.unasked = false
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const read = this.waiting[i]
      if (read === undefined || read.barrier !== null) return
      if (read.linearizable) read.barrier = this.ask()
    }
  }
  private ask(): Barrier<Reply> {
    if (this.barrier === null || this.barrier.begun) this.barrier = this.host.service.barrier(this.resume)
    return this.barrier
  }

  /** The read at the head, if it may be taken there and now. */
  due(head: Slot | null): Slot | null {
    this.askForAll()
    const [read] = this.waiting
    // All writes before it have been answered, but those given up may be under way still.
    if (read === undefined || read !== head || this.abandoned > 0) return null
    return (read.large && this.writes > 0) || !this.passes(read) ? null : read
  }
  isWaiting(slot: Slot | null): boolean {
    return slot !== null && slot === this.waiting[0]
  }
  private passes(read: Slot): boolean {
    const { barrier } = read
    if (barrier === null) return !read.linearizable
    if (!barrier.open) return false
    if (barrier.refusal === null) return true
    // A write behind it may yet take it along. And what was refused while writes before it were under way is asked again.
    if (this.writes > 0) return false
    if (!read.askedEarly) return true
    read.askedEarly = false
    read.barrier = this.ask()
    return false
  }
  /** The one that was due has been taken. */
  taken(): void {
    this.waiting.shift()
  }

  /** With the reads before it, which it takes along; null if it cannot, and must wait until they have been taken. */
  costOf(write: Slot): Cost | null {
    if (this.waiting.length > 0 && (this.apart > 0 || !isInOrder(write))) return null
    const reads = costOfTaking(this.host, this.waiting, this.begunAt)
    return reads === null ? null : { own: weightOf(this.host, write), reads }
  }
  begin(write: Slot): void {
    this.writes++
    if (!isInOrder(write)) this.apart++
    this.begunAt = write.at
  }
  /** The service is done with it. True if that may let something begin. */
  end(write: Slot): boolean {
    this.writes--
    const apart = !isInOrder(write)
    if (apart) this.apart--
    // A write that has its reply already was given up before (`abandon`).
    if (write.reply !== null) this.abandoned--
    return this.writes === 0 || apart
  }
  abandon(writes: number): void {
    this.abandoned += writes
  }

  /** Reads wait before this write, which is the last one begun. */
  takesReads(): boolean {
    return this.waiting.length > 0
  }
  /** The write is about to be executed: these reads are taken now, or would see it. */
  leaveBefore(write: Slot): Slot[] {
    const [first] = this.waiting
    if (first === undefined || first.at > write.at) return []
    const behind = this.waiting.findIndex(({ at }) => at > write.at)
    return this.waiting.splice(0, behind < 0 ? this.waiting.length : behind)
  }
  /** How the write has ended; null: whether it has an effect is not known. What was to be taken on its way has been, or cannot be any more. */
  ended(write: Slot, reply: Reply | null): void {
    if (reply !== null && isRefusal(reply)) this.unused()
    else for (const read of this.leaveBefore(write)) read.reply = missed
  }
  /** The last write had no effect: the reads before it wait for another one. */
  unused(): void {
    this.begunAt = -1
  }
  clear(): void {
    this.waiting.length = 0
  }
}
