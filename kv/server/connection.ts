/**
 * The commands of one client, in their order. A command that is not answered at once gets a slot in a queue: `next` is
 * the first slot that is not started, `head` the first that is not answered. Replies leave from the head only. order.ts
 * says when a command starts. All work is done in turns (turns.ts): `work` does what it can until its time is up.
 */
import { err } from "../machine/reply.ts"
import type { Socket } from "node:net"
import type { ReadHere, Reply } from "../types.ts"
import { SMALL, type Account } from "./limits/budget.ts"
import { strangersLimits, type Limits } from "./limits/limits.ts"
import { pipelineHasRoom, isPipelineFull } from "./limits/pipeline.ts"
import { Returning } from "./limits/returning.ts"
import type { ClientState } from "./client.ts"
import type { Context, KnownCommand, Words, OrderedWork } from "./contract.ts"
import { encode, encodeNullArray, noReply } from "./wire/encode.ts"
import { beginCommand, internalErrorReply, oversizedCommand } from "./intake.ts"
import { Order } from "./order.ts"
import { endGently, unreadRepliesText, Output } from "./wire/output.ts"
import { isLong, Pieces, replyBytes } from "./wire/pieces.ts"
import { revoked } from "./users/index.ts"
import { failedWrite, Queue, unknownBehindOnConnection, type Slot } from "./queue.ts"
import { Reading } from "./reading.ts"
import { ProtocolError, RequestParser, RequestTooLarge } from "./wire/resp.ts"
import type { Job } from "./limits/turns.ts"
import { Unread } from "./limits/unread.ts"
import type { Shared } from "./shared.ts"
import { baseWeight, itemsPerLook, readAhead, readUnits, unitsPerLook, wordUnits } from "./units.ts"

export class RespConnection implements Job, Account {
  readonly client: ClientState
  /** Set by the server while the connection waits for the end of the turn. */
  marked = false
  queued = false
  weight = 0
  closed = false
  private readonly shared: Shared
  private readonly context: Context
  private readonly socket: Socket
  private readonly parser: RequestParser
  private readonly output: Output
  private readonly queue = new Queue((slot) => this.shared.host.usage.answered(this.shared.host.table, slot))
  private readonly order: Order
  private readonly reading: Reading
  /** The head's reply, of which a part was sent. */
  private pieces: Pieces | null = null
  private readonly returning: Returning
  /** Too much outstanding: no more commands are started. */
  private held = false
  /** Nothing is read from the socket. */
  private paused = false
  /** Something could continue if the client read more of its replies. */
  private blocked = false
  private inputEnded = false
  private ended = false
  private working = false
  private until = 0
  private units = 0
  /** The limits for a client that is not logged in, and for one that is. */
  private readonly limits: readonly [nameless: Limits, known: Limits]
  private readonly unread = new Unread()

  constructor(shared: Shared, client: ClientState, socket: Socket) {
    const { host } = shared
    this.shared = shared
    this.client = client
    this.context = { host, client }
    this.socket = socket
    this.parser = new RequestParser(host.limits)
    this.output = new Output(socket)
    this.limits = [strangersLimits(host.limits), host.limits]
    this.returning = new Returning(host.limits.maxEntryBytes)
    this.reading = new Reading(host, shared.longReads, this)
    this.order = new Order(host, this.resume)
    client.load = () => ({ input: this.parser.pending, output: this.output.buffered, total: this.weight })
    host.budget.open(this)
    this.weigh()
  }

  receive(chunk: Buffer): void {
    if (this.client.leaving) return
    this.client.activeAt = Date.now()
    this.parser.push(chunk)
    this.shared.turns.run(this)
    if (this.nameless && !this.client.proving && !this.closed) this.parser.compact()
    if (this.parser.pending < readAhead(this.client) || this.paused || this.closed) return
    this.paused = true
    this.socket.pause()
  }

  /** One turn. An exception ends this connection, and nothing else. */
  work(until: number): boolean {
    if (this.closed) return false
    this.until = until
    this.working = true
    let more = false
    try {
      more = this.proceed()
      if (!more) this.shared.admission.release(this.resume)
      this.shared.dirty(this)
    } catch (thrown) {
      this.fail(thrown)
    }
    this.working = false
    if (this.paused && !more && !this.held && !this.closed && this.parser.pending < readAhead(this.client)) {
      this.paused = false
      this.socket.resume()
    }
    return more && !this.closed
  }

  /** Returns true if the time is up and there is more to do. */
  private proceed(): boolean {
    for (;;) {
      if (this.pieces !== null) {
        if (!this.encodeOn()) return !this.full()
        if (this.closed) return false
      }
      if (!this.parse()) return true
      const { settling } = this.client
      if (!this.pump()) return true
      if (this.pieces === null && this.client.settling === settling) return false
    }
  }

  /** The client has too many unread replies: waiting work continues once it has read some. */
  private full(): boolean {
    this.blocked = this.output.buffered > this.shared.host.limits.softOutputBytes
    return this.blocked
  }

  /** Counts work; returns true if the time is up. */
  private spent(units: number): boolean {
    this.units += units
    if (this.units < unitsPerLook) return false
    this.units = 0
    return this.shared.turns.now() >= this.until
  }

  /** Schedules a turn: there may be something to do again. */
  private readonly resume = (): void => {
    if (!this.closed && !this.working) this.shared.turns.run(this)
  }

  /** Closes the connection, because the order of its replies can no longer be guaranteed. */
  private fail(thrown: unknown): void {
    this.shared.host.faults.report(`client ${this.client.id} at ${this.client.address}`, thrown)
    this.socket.destroy()
    this.close()
  }

  /** The client has sent its last byte. What is in the parser is handled first. */
  finished(): void {
    this.inputEnded = true
    this.resume()
  }

  /** Reads nothing more from the client: answers what is outstanding, then closes. */
  leave(): void {
    this.client.leaving = true
    this.shared.dirty(this)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.client.leaving = true
    // The service still holds the requests that are not answered yet.
    const orphaned = this.queue.clear()
    this.order.clear()
    this.pieces = null
    this.parser.clear()
    this.output.clear()
    this.shared.admission.forget(this.resume)
    this.shared.host.budget.weigh(this, orphaned)
  }

  get nameless(): boolean {
    return this.client.user === null
  }
  private get bounds(): Limits {
    return this.limits[this.nameless ? 0 : 1]
  }
  /** Nothing is outstanding, and all replies are read. */
  get idle(): boolean {
    return this.queue.head === null && this.output.buffered === 0
  }

  /** Called regularly: disconnects a client that has too many unread replies and reads nothing. */
  watchStall(now: number): void {
    const { budget, limits } = this.shared.host
    if (this.unread.isStuck(now, this.output.buffered, budget.tight, limits))
      this.evict(unreadRepliesText(this.output.buffered))
  }

  /** The end of a turn: writes the output, starts what was held back, closes the connection if everything is done. */
  flush(): void {
    if (this.closed) return
    try {
      this.flushed()
    } catch (thrown) {
      this.fail(thrown)
    }
  }

  private flushed(): void {
    this.output.flush()
    if (this.blocked && !this.full()) this.resume()
    if (this.held && pipelineHasRoom(this.queue, this.output.buffered, this.shared.host.limits)) {
      this.held = false
      this.resume()
    }
    if (this.client.leaving && this.queue.head === null && !this.ended && this.output.unsent === 0) {
      this.ended = true
      endGently(this.socket)
    }
    this.weigh()
  }

  private weigh(): void {
    if (this.closed) return
    const { transaction, watching } = this.client
    const held =
      this.parser.weight + this.queue.bytes + this.output.buffered + this.reading.reserved + (this.pieces?.bytes ?? 0)
    this.shared.host.budget.weigh(this, baseWeight + held + watching.weight + (transaction?.weight ?? 0))
  }

  /** The socket has accepted all output. */
  drained(): void {
    if (this.closed) return
    this.unread.moved()
    this.flush()
    this.resume()
  }

  /** Starts received commands; returns false if the time is up. */
  private parse(): boolean {
    const { client, parser } = this
    const { limits, stats } = this.shared.host
    while (!client.leaving && !client.settling && !client.proving) {
      if (isPipelineFull(this.queue, this.output.buffered, limits)) {
        this.held = true
        if (!this.paused) this.socket.pause()
        this.paused = true
        return true
      }
      parser.limits = this.bounds
      const words = parser.next()
      if (words === null) {
        if (this.inputEnded) client.leaving = true
        return true
      }
      if (words instanceof ProtocolError) {
        stats.protocolErrors++
        this.answer(err(`Protocol error: ${words.text}${this.nameless ? " (before AUTH little is taken)" : ""}`), false)
        client.leaving = true
        return true
      }
      stats.commands++
      if (this.spent(this.accept(words))) return false
    }
    return true
  }

  /** Answers a command; returns its cost in units. */
  private accept(request: Words | RequestTooLarge): number {
    const { client } = this
    const words = request instanceof RequestTooLarge ? [] : request
    const known = this.shared.host.table.find(words[0])
    const answer =
      request instanceof RequestTooLarge
        ? oversizedCommand(this.context, request)
        : beginCommand(this.context, known, words, this.parser)
    const silent = !client.settling && (answer === noReply || client.replies === "off" || client.skip === "this")
    client.skip = client.skip === "next" ? "this" : "none"
    if (client.transaction !== null && !client.transaction.aborted)
      client.transaction.weight += this.parser.requestWeight
    const units = answer === "read" && known !== undefined ? this.readNow(known, words, silent) : null
    if (units !== null) return units
    if (answer === "write" || answer === "read") this.add(answer, known, words, null, null, silent)
    else if (answer.type === "work.write") this.add("write", known, words, answer, null, silent)
    else if (answer.type === "work.read") this.add("read", known, words, answer, null, silent)
    else this.answer(answer, silent)
    const short = known === undefined || typeof known.does === "string" || known.flags.includes("fast")
    return (short ? 1 : unitsPerLook) + wordUnits(words)
  }

  /** Executes a read that waits for nothing, without a slot; returns its units. null: it has to wait, or to take turns. */
  private readNow(known: KnownCommand, words: Words, silent: boolean): number | null {
    // Writes that were given up may still be executed, and come before it.
    if (this.queue.head !== null || this.order.writes > 0 || this.client.consistency === "linearizable") return null
    const { unsent } = this.output
    const reply = this.reading.now(known, words)
    if (reply === null) return null
    this.answer(reply, silent)
    return this.unitsSince(unsent, words)
  }

  private unitsSince(unsent: number, words: Words): number {
    const made = this.output.unsent - unsent
    // The next read, of any connection, must take it into account.
    if (made > SMALL) this.weigh()
    return readUnits(words, made)
  }

  private answer(reply: Reply, silent: boolean): void {
    if (this.queue.head !== null || isLong(reply)) {
      this.add("answered", undefined, [], null, reply, silent)
      this.deliver()
    } else if (!silent) this.emit(reply, this.client.protocol, false)
  }

  private add(
    kind: Slot["kind"],
    known: KnownCommand | undefined,
    words: Words,
    work: OrderedWork | null,
    reply: Reply | null,
    silent: boolean,
  ): void {
    this.queue.add(this.client, kind, known, words, work, reply, silent, this.parser.requestWeight)
  }

  /** Starts whatever may start; returns false if the time is up. */
  private pump(): boolean {
    for (;;) {
      if (!this.read()) return false
      const slot = this.queue.next
      if (slot === null || this.closed || this.reading.busy || this.pieces !== null) return true
      const units = 1 + wordUnits(slot.words)
      const refusal = revoked(this.context, slot)
      if (refusal !== null) {
        this.queue.refuse(slot, refusal)
        this.deliver()
      } else if (slot.kind === "write") {
        if ((slot.returns && !this.mayReturn()) || !this.admitted(slot)) return true
        this.queue.next = slot.next
        this.write(slot)
      } else {
        this.queue.next = slot.next
        if (slot.kind === "read") this.order.pass(slot)
      }
      if (this.spent(units)) return false
    }
  }

  /** Executes the reads at the head as far as allowed; returns false if the time is up. */
  private read(): boolean {
    const { order, output, queue, reading } = this
    while (!reading.busy && this.pieces === null) {
      const slot = order.due(queue.head)
      if (slot === null || this.full()) return true
      const { words } = slot
      const { unsent } = output
      reading.begin(slot, order.writes > 0)
      if (this.closed) return true
      if (this.spent(this.unitsSince(unsent, words))) return false
    }
    return true
  }

  private mayReturn(): boolean {
    return !this.full() && this.returning.mayBegin(this.output.buffered, this.shared.host.limits.softOutputBytes)
  }

  /** Admits a write together with the reads that are executed with it. */
  private admitted(slot: Slot): boolean {
    slot.cost ??= this.order.costOf(slot)
    return slot.cost !== null && this.shared.admission.enter(slot.cost, this.resume)
  }

  /** Accepts the reply to the read at the head of the queue, or its refusal; delivers it and continues. */
  answered(slot: Slot, reply: Reply): void {
    if (this.closed) return
    try {
      this.order.taken()
      slot.reply = reply
      this.deliver()
    } catch (thrown) {
      this.fail(thrown)
    }
    this.resume()
  }

  private takeBefore(slot: Slot, read: ReadHere): void {
    const reads = this.order.leaveBefore(slot)
    this.reading.take(reads, read)
    for (const at of reads) if (at.reply !== null) this.keep(at, at.reply)
  }
  private write(slot: Slot): void {
    const { host, admission } = this.shared
    this.order.begin(slot)
    if (slot.returns) this.returning.begin()
    const end = (): boolean => {
      slot.over = true
      if (slot.cost !== null) admission.leave(slot.cost, performance.now() - slot.begun)
      return this.order.end(slot)
    }
    const done = (reply: Reply): void => {
      if (slot.over) return
      const more = end()
      if (this.closed) return host.budget.weigh(this, Math.max(0, this.weight - slot.bytes))
      try {
        this.written(slot, reply, more)
      } catch (thrown) {
        this.fail(thrown)
      }
    }
    const before = this.order.takesReads() ? (read: ReadHere): void => this.takeBefore(slot, read) : undefined
    let reply: Reply | undefined
    try {
      if (slot.work?.type === "work.write") reply = slot.work.start(done, before)
      else host.service.write([slot.words], false, [], done, before)
    } catch (thrown) {
      internalErrorReply(host, slot.words, thrown)
      reply = failedWrite
      this.order.ended(slot, null)
    }
    if (reply === undefined || slot.over) return
    this.order.unused()
    end()
    if (slot.returns) this.returning.end(null)
    slot.reply = reply
    this.deliver()
  }

  private written(slot: Slot, reply: Reply, more: boolean): void {
    if (slot.returns) this.returning.end(reply)
    this.order.ended(slot, reply)
    // The reply is null unless the write was already given up together with an earlier one.
    if (slot.reply === null) {
      slot.reply = reply
      if (reply.type === "error" && reply.code === "UNKNOWN")
        this.order.abandon(this.queue.abandonBehind(slot, unknownBehindOnConnection))
      if (slot !== this.queue.head) this.keep(slot, reply)
    }
    const proves = slot.work?.type === "work.write" && slot.work.proves === true
    this.deliver()
    if (proves) this.resume()
    else if (slot.returns || (more && this.queue.next !== null) || this.order.isWaiting(this.queue.head)) this.resume()
  }

  /** The reply waits behind others: it counts in the memory budget as its request did. */
  private keep(slot: Slot, reply: Reply): void {
    this.queue.grow(slot, replyBytes(reply))
    this.shared.dirty(this)
  }

  private deliver(): void {
    if (this.pieces !== null) return
    const first = this.queue.head
    for (let slot = first; slot !== null && slot.reply !== null; slot = this.queue.head) {
      if (!slot.silent) {
        if (isLong(slot.reply)) {
          this.pieces = new Pieces(slot.reply, slot.protocol, this.output)
          break
        }
        this.emit(slot.reply, slot.protocol, slot.work?.type === "work.write" && slot.work.exec)
        if (this.closed) return
      }
      this.queue.leave(slot)
    }
    if (this.pieces !== null) this.resume()
    else if (this.queue.head === first) return
    this.shared.dirty(this)
  }

  /** Encodes more of a long reply; true once all of it was written. It waits while the client reads nothing. */
  private encodeOn(): boolean {
    const { pieces } = this
    const { head } = this.queue
    if (pieces === null || head === null) return true
    while (!pieces.next(itemsPerLook, this.output)) if (this.full() || this.spent(unitsPerLook)) return false
    this.pieces = null
    this.queue.leave(head)
    this.deliver()
    return true
  }

  private emit(reply: Reply, protocol: Slot["protocol"], exec: boolean): void {
    if (this.output.buffered > this.bounds.hardOutputBytes) return this.evict(unreadRepliesText(this.output.buffered))
    if (exec && reply.type === "null") return encodeNullArray(protocol, this.output)
    const { unsent } = this.output
    try {
      encode(reply, protocol, this.output)
    } catch (thrown) {
      // After half a reply the client could not find its end, so the connection fails.
      if (this.output.unsent !== unsent) throw thrown
      encode(internalErrorReply(this.shared.host, [], thrown), protocol, this.output)
    }
  }

  /** Disconnects the client, because of its own behaviour or to protect the others. */
  evict(reason: string): void {
    this.shared.host.stats.cutOff++
    this.shared.complain(this.client, `client ${this.client.id} at ${this.client.address} cut off: ${reason}`)
    this.socket.destroy()
    this.close()
  }
}
