/**
 * The order in which the commands of one connection take effect: the order in which they were sent, although reads
 * delay nothing. Writes are started one after the other without waiting, and may overtake reads that cannot be executed
 * yet. A small read is executed at the first of two moments:
 *
 * - when it is the head of the queue (everything before it is answered) and its barrier is open, or
 * - together with the next write: when this node is about to execute that write, the state holds everything before the
 *   read and nothing after it. No barrier is needed then, because the write was started after the read had arrived.
 *
 * So a read sees the writes before it and none after it. If reads cannot be executed with a write (long reads, very
 * many reads, or a write in the client's own session), the write is started only after they were executed. If a write
 * may have taken effect and an earlier read was not executed with it, the read is refused, because any state may now
 * contain that write.
 */
import type { Barrier } from "../../interpreters/replica/index.ts"
import type { Reply } from "../types.ts"
import { writeWeightOf } from "./limits/admission.ts"
import type { Host } from "./contract.ts"
import { type Cost, readMissed, type Slot } from "./queue.ts"
import { costOfTaking } from "./reading.ts"

/** Whether the write is executed in the order of the connection's plain writes. */
const isInOrder = ({ work }: Slot): boolean => work === null || (work.type === "work.write" && work.inOrder)
const refusals: ReadonlySet<string> = new Set(["NOLEADER", "BUSY", "TOOLARGE", "SPACELOW", "MOVED", "LOADING"])
/** True if the service says that a write has had no effect and will have none. */
const isRefusal = (reply: Reply): boolean => reply.type === "error" && refusals.has(reply.code)

export class Order {
  /** The number of writes that were started and have not ended. */
  writes = 0
  private readonly host: Host
  /** Called when the connection may continue. */
  private readonly resume: () => void
  /**
   * Of the started writes: the number of those that have no order relative to the others, and of those that were given
   * up with an earlier one of unknown outcome.
   */
  private apart = 0
  private abandoned = 0
  /** Reads that are not executed yet and that later writes may have overtaken, in their order. */
  private readonly waiting: Slot[] = []
  /** The barrier that was joined last; and whether there are reads that have not joined one. */
  private barrier: Barrier<Reply> | null = null
  private unasked = false
  /** The position of the last started write: reads before it will be executed with it. -1: there is no such write. */
  private begunAt = -1

  constructor(host: Host, resume: () => void) {
    this.host = host
    this.resume = resume
  }

  /**
   * The read has to wait. It joins a barrier early, so that the barrier may be open by the time the read can be
   * executed.
   */
  pass(read: Slot): void {
    this.waiting.push(read)
    if (!read.linearizable) return
    read.askedEarly = this.writes > 0
    this.unasked = true
    this.askForAll()
  }
  /** One barrier at a time: reads that arrive while one is outstanding share the next. */
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

  /** The read at the head, if it may be executed now. */
  due(head: Slot | null): Slot | null {
    this.askForAll()
    const [read] = this.waiting
    // All writes before it are answered, but those that were given up may still be executed.
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
    // The read may still be executed with a later write. A read that was refused while earlier writes were outstanding
    // asks for another barrier.
    if (this.writes > 0) return false
    if (!read.askedEarly) return true
    read.askedEarly = false
    read.barrier = this.ask()
    return false
  }
  /** The read that was due was executed. */
  taken(): void {
    this.waiting.shift()
  }

  /**
   * The cost of the write and of the reads before it that are executed with it; null if that is impossible, so that the
   * reads must be executed first.
   */
  costOf(write: Slot): Cost | null {
    if (this.waiting.length > 0 && (this.apart > 0 || !isInOrder(write))) return null
    const reads = costOfTaking(this.host, this.waiting, this.begunAt)
    return reads === null ? null : { own: writeWeightOf(this.host, write), reads }
  }
  begin(write: Slot): void {
    this.writes++
    write.begun = performance.now()
    if (!isInOrder(write)) this.apart++
    this.begunAt = write.at
  }
  /** The service has finished the write. Returns true if another command may now be started. */
  end(write: Slot): boolean {
    this.writes--
    const apart = !isInOrder(write)
    if (apart) this.apart--
    // A write that already has a reply was given up before (`abandon`).
    if (write.reply !== null) this.abandoned--
    return this.writes === 0 || apart
  }
  abandon(writes: number): void {
    this.abandoned += writes
  }

  /** Whether reads wait before this write, the last one started. */
  takesReads(): boolean {
    return this.waiting.length > 0
  }
  /** The write is about to be executed: returns the reads to be executed now, because later they would see it. */
  leaveBefore(write: Slot): Slot[] {
    const [first] = this.waiting
    if (first === undefined || first.at > write.at) return []
    const behind = this.waiting.findIndex(({ at }) => at > write.at)
    return this.waiting.splice(0, behind < 0 ? this.waiting.length : behind)
  }
  /**
   * The write has ended with this reply; null: its effect is unknown. Reads that were to be executed with it have been
   * executed, or cannot be any more.
   */
  ended(write: Slot, reply: Reply | null): void {
    if (reply !== null && isRefusal(reply)) this.unused()
    else for (const read of this.leaveBefore(write)) read.reply = readMissed
  }
  /** The last write had no effect: the reads before it wait for another one. */
  unused(): void {
    this.begunAt = -1
  }
  clear(): void {
    this.waiting.length = 0
  }
}
