/**
 * How a write is executed: it is started as soon as the log admits it, without waiting for those before it, and is
 * answered once the service knows how it ended. The reads before it are executed with it (order.ts).
 */
import type { ReadHere, Reply } from "../types.ts"
import type { Admission } from "./limits/admission.ts"
import { Returning } from "./limits/returning.ts"
import type { Host } from "./contract.ts"
import { internalErrorReply } from "./intake.ts"
import type { Order } from "./order.ts"
import { failedWrite, type Queue, type Slot, unknownBehindOnConnection } from "./queue.ts"
import type { Reading } from "./reading.ts"
import type { Replies } from "./replies.ts"

/** The connection. */
interface Owner {
  readonly closed: boolean
  /** Schedules a turn. */
  readonly resume: () => void
  /** It is closed: the service no longer holds so many bytes for it. */
  readonly letGo: (bytes: number) => void
  /** Closes it: the order of its replies can no longer be guaranteed. */
  readonly fail: (thrown: unknown) => void
}
interface Parts {
  readonly queue: Queue
  readonly order: Order
  readonly reading: Reading
  readonly replies: Replies
}

export class Writing {
  private readonly host: Host
  private readonly admission: Admission
  private readonly parts: Parts
  private readonly owner: Owner
  private readonly returning: Returning

  constructor(host: Host, admission: Admission, parts: Parts, owner: Owner) {
    this.host = host
    this.admission = admission
    this.parts = parts
    this.owner = owner
    this.returning = new Returning(host.limits.maxEntryBytes)
  }

  /** Admits a write together with the reads that are executed with it; if it has to wait, the connection is told when not. */
  admits(slot: Slot): boolean {
    if (slot.returns && !this.mayReturn()) return false
    slot.cost ??= this.parts.order.costOf(slot)
    return slot.cost !== null && this.admission.enter(slot.cost, this.owner.resume)
  }
  private mayReturn(): boolean {
    const { replies } = this.parts
    return !replies.full() && this.returning.mayBegin(replies.buffered, this.host.limits.softOutputBytes)
  }

  start(slot: Slot): void {
    const { host, owner } = this
    const { order, replies } = this.parts
    order.begin(slot)
    if (slot.returns) this.returning.begin()
    const done = (reply: Reply): void => {
      if (slot.over) return
      const more = this.end(slot)
      if (owner.closed) return owner.letGo(slot.bytes)
      try {
        this.ended(slot, reply, more)
      } catch (thrown) {
        owner.fail(thrown)
      }
    }
    const before = order.takesReads() ? (read: ReadHere): void => this.readBefore(slot, read) : undefined
    let reply: Reply | undefined
    try {
      if (slot.work?.type === "work.write") reply = slot.work.start(done, before)
      else host.service.write([slot.words], false, [], done, before)
    } catch (thrown) {
      internalErrorReply(host, slot.words, thrown)
      reply = failedWrite
      order.ended(slot, null)
    }
    if (reply === undefined || slot.over) return
    order.unused()
    this.end(slot)
    if (slot.returns) this.returning.end(null)
    slot.reply = reply
    replies.deliver()
  }

  /** The service has finished with it. Returns true if another command may now be started. */
  private end(slot: Slot): boolean {
    slot.over = true
    if (slot.cost !== null) this.admission.leave(slot.cost, performance.now() - slot.begun)
    return this.parts.order.end(slot)
  }

  /** The write is about to be executed. */
  private readBefore(slot: Slot, read: ReadHere): void {
    const { order, reading, replies } = this.parts
    const reads = order.leaveBefore(slot)
    reading.take(reads, read)
    for (const at of reads) if (at.reply !== null) replies.keep(at, at.reply)
  }

  private ended(slot: Slot, reply: Reply, more: boolean): void {
    const { order, queue, replies } = this.parts
    if (slot.returns) this.returning.end(reply)
    order.ended(slot, reply)
    // The reply is null unless the write was already given up together with an earlier one.
    if (slot.reply === null) {
      slot.reply = reply
      if (reply.type === "error" && reply.code === "UNKNOWN")
        order.abandon(queue.abandonBehind(slot, unknownBehindOnConnection))
      if (slot !== queue.head) replies.keep(slot, reply)
    }
    const proves = slot.work?.type === "work.write" && slot.work.proves === true
    replies.deliver()
    if (proves) this.owner.resume()
    else if (slot.returns || (more && queue.next !== null) || order.isWaiting(queue.head)) this.owner.resume()
  }
}
