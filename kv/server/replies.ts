/**
 * The replies to one client, in the order of its commands: they leave from the head of the queue only, a long one in
 * pieces, and no faster than the client reads them.
 */
import type { Socket } from "node:net"
import type { Reply } from "../types.ts"
import type { Host } from "./contract.ts"
import { internalErrorReply } from "./intake.ts"
import type { Limits } from "./limits/limits.ts"
import { Unread } from "./limits/unread.ts"
import type { Queue, Slot } from "./queue.ts"
import { itemsPerLook, unitsPerLook } from "./units.ts"
import { encode, encodeNullArray } from "./wire/encode.ts"
import { Output, unreadRepliesText } from "./wire/output.ts"
import { isLong, Pieces, replyBytes } from "./wire/pieces.ts"

/** The connection. */
interface Owner {
  readonly closed: boolean
  /** The limits for its client, which depend on whether it is logged in. */
  readonly bounds: Limits
  /** Counts work; returns true if the time is up. */
  readonly spent: (units: number) => boolean
  /** Schedules a turn. */
  readonly resume: () => void
  /** Asks for a flush once the present turn is over. */
  readonly dirty: () => void
  /** Disconnects the client. */
  readonly evict: (reason: string) => void
}

export class Replies {
  private readonly host: Host
  private readonly queue: Queue
  private readonly output: Output
  private readonly owner: Owner
  /** The head's reply, of which a part was sent. */
  private pieces: Pieces | null = null
  /** Something could continue if the client read more of its replies. */
  private blocked = false
  private readonly unread = new Unread()

  constructor(host: Host, socket: Socket, queue: Queue, owner: Owner) {
    this.host = host
    this.queue = queue
    this.output = new Output(socket)
    this.owner = owner
  }

  /** A part of the head's reply was sent: nothing is started or read before the rest. */
  get halfway(): boolean {
    return this.pieces !== null
  }
  /** The bytes that the socket has not been given yet, and those that the client has not accepted. */
  get unsent(): number {
    return this.output.unsent
  }
  get buffered(): number {
    return this.output.buffered
  }
  /** The memory that they hold. */
  get bytes(): number {
    return this.output.buffered + (this.pieces?.bytes ?? 0)
  }

  /** The client has too many unread replies: waiting work continues once it has read some. */
  full(): boolean {
    this.blocked = this.output.buffered > this.host.limits.softOutputBytes
    return this.blocked
  }

  /** The slot was answered while others are before it: its reply counts in the memory budget as its request did. */
  keep(slot: Slot, reply: Reply): void {
    this.queue.grow(slot, replyBytes(reply))
    this.owner.dirty()
  }

  /** Sends the replies that nothing is before. */
  deliver(): void {
    if (this.pieces !== null) return
    const first = this.queue.head
    for (let slot = first; slot !== null && slot.reply !== null; slot = this.queue.head) {
      if (!slot.silent) {
        if (isLong(slot.reply)) {
          this.pieces = new Pieces(slot.reply, slot.protocol, this.output)
          break
        }
        this.emit(slot.reply, slot.protocol, slot.work?.type === "work.write" && slot.work.exec)
        if (this.owner.closed) return
      }
      this.queue.leave(slot)
    }
    if (this.pieces !== null) this.owner.resume()
    else if (this.queue.head === first) return
    this.owner.dirty()
  }

  /** Encodes more of a long reply; true once all of it was written. It waits while the client reads nothing. */
  encodeOn(): boolean {
    const { pieces } = this
    const { head } = this.queue
    if (pieces === null || head === null) return true
    while (!pieces.next(itemsPerLook, this.output)) if (this.full() || this.owner.spent(unitsPerLook)) return false
    this.pieces = null
    this.queue.leave(head)
    this.deliver()
    return true
  }

  /** Sends a short reply that nothing is before. `exec`: its null is that of an array. */
  emit(reply: Reply, protocol: Slot["protocol"], exec: boolean): void {
    const { output } = this
    if (output.buffered > this.owner.bounds.hardOutputBytes) return this.owner.evict(unreadRepliesText(output.buffered))
    if (exec && reply.type === "null") return encodeNullArray(protocol, output)
    const { unsent } = output
    try {
      encode(reply, protocol, output)
    } catch (thrown) {
      // After half a reply the client could not find its end, so the connection fails.
      if (output.unsent !== unsent) throw thrown
      encode(internalErrorReply(this.host, [], thrown), protocol, output)
    }
  }

  /** Gives the socket what it accepts. */
  flush(): void {
    this.output.flush()
    if (this.blocked && !this.full()) this.owner.resume()
  }
  /** The client has read everything that its socket was given. */
  moved(): void {
    this.unread.moved()
  }
  /** Called regularly: disconnects a client that has too many unread replies and reads nothing. */
  watchStall(now: number): void {
    const { budget, limits } = this.host
    const { buffered } = this.output
    if (this.unread.isStuck(now, buffered, budget.tight, limits)) this.owner.evict(unreadRepliesText(buffered))
  }

  clear(): void {
    this.pieces = null
    this.output.clear()
  }
}
