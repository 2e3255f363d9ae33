/**
 * The commands of one client, in their order. A command that is not answered at once gets a slot in a queue: `next` is
 * the first slot that is not started, `head` the first that is not answered. Replies leave from the head only. order.ts
 * says when a command starts. All work is done in turns (turns.ts): `work` does what it can until its time is up.
 */
import { err } from "../machine/reply.ts"
import type { Socket } from "node:net"
import type { Reply } from "../types.ts"
import { SMALL, type Account } from "./limits/budget.ts"
import { strangersLimits, type Limits } from "./limits/limits.ts"
import { pipelineHasRoom, isPipelineFull } from "./limits/pipeline.ts"
import type { ClientState } from "./client.ts"
import type { Context, KnownCommand, Words, OrderedWork } from "./contract.ts"
import { noReply } from "./wire/encode.ts"
import { beginCommand, oversizedCommand } from "./intake.ts"
import { Order } from "./order.ts"
import { endGently } from "./wire/output.ts"
import { isLong } from "./wire/pieces.ts"
import { revoked } from "./denied.ts"
import { Queue, type Slot } from "./queue.ts"
import { Reading } from "./reading.ts"
import { Replies } from "./replies.ts"
import { ProtocolError, RequestParser, RequestTooLarge } from "./wire/resp.ts"
import type { Job } from "./limits/turns.ts"
import type { Shared } from "./shared.ts"
import { baseWeight, readAhead, readUnits, unitsPerLook, wordUnits } from "./units.ts"
import { Writing } from "./writing.ts"

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
  private readonly queue = new Queue((slot) => this.shared.host.usage.answered(this.shared.host.table, slot))
  private readonly order: Order
  private readonly reading: Reading
  private readonly writing: Writing
  private readonly replies: Replies
  /** Too much outstanding: no more commands are started. */
  private held = false
  /** Nothing is read from the socket. */
  private paused = false
  private inputEnded = false
  private ended = false
  private working = false
  private until = 0
  private units = 0
  /** The limits for a client that is not logged in, and for one that is. */
  private readonly limits: readonly [nameless: Limits, known: Limits]

  constructor(shared: Shared, client: ClientState, socket: Socket) {
    const { host } = shared
    this.shared = shared
    this.client = client
    this.context = { host, client }
    this.socket = socket
    this.parser = new RequestParser(host.limits)
    this.limits = [strangersLimits(host.limits), host.limits]
    this.reading = new Reading(host, shared.longReads, this)
    this.order = new Order(host, this.resume)
    this.replies = new Replies(host, socket, this.queue, this)
    const { order, queue, reading, replies } = this
    this.writing = new Writing(host, shared.admission, { order, queue, reading, replies }, this)
    client.load = () => ({ input: this.parser.pending, output: this.replies.buffered, total: this.weight })
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
      if (this.replies.halfway) {
        if (!this.replies.encodeOn()) return !this.replies.full()
        if (this.closed) return false
      }
      if (!this.parse()) return true
      const { settling } = this.client
      if (!this.pump()) return true
      if (!this.replies.halfway && this.client.settling === settling) return false
    }
  }

  /** Counts work; returns true if the time is up. */
  spent(units: number): boolean {
    this.units += units
    if (this.units < unitsPerLook) return false
    this.units = 0
    return this.shared.turns.now() >= this.until
  }

  /** Schedules a turn: there may be something to do again. */
  readonly resume = (): void => {
    if (!this.closed && !this.working) this.shared.turns.run(this)
  }

  /** Closes the connection, because the order of its replies can no longer be guaranteed. */
  fail(thrown: unknown): void {
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
    this.parser.clear()
    this.replies.clear()
    this.shared.admission.forget(this.resume)
    this.shared.host.budget.weigh(this, orphaned)
  }

  get nameless(): boolean {
    return this.client.user === null
  }
  /** The limits for its client. */
  get bounds(): Limits {
    return this.limits[this.nameless ? 0 : 1]
  }
  /** Nothing is outstanding, and all replies are read. */
  get idle(): boolean {
    return this.queue.head === null && this.replies.buffered === 0
  }

  /** Called regularly. */
  watchStall(now: number): void {
    this.replies.watchStall(now)
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
    this.replies.flush()
    if (this.held && pipelineHasRoom(this.queue, this.replies.buffered, this.shared.host.limits)) {
      this.held = false
      this.resume()
    }
    if (this.client.leaving && this.queue.head === null && !this.ended && this.replies.unsent === 0) {
      this.ended = true
      endGently(this.socket)
    }
    this.weigh()
  }

  /** After the end of the connection: the service has let go of so much. */
  letGo(bytes: number): void {
    this.shared.host.budget.weigh(this, Math.max(0, this.weight - bytes))
  }
  dirty(): void {
    this.shared.dirty(this)
  }

  private weigh(): void {
    if (this.closed) return
    const { transaction, watching } = this.client
    const held = this.parser.weight + this.queue.bytes + this.replies.bytes + this.reading.reserved
    this.shared.host.budget.weigh(this, baseWeight + held + watching.weight + (transaction?.weight ?? 0))
  }

  /** The socket has accepted all output. */
  drained(): void {
    if (this.closed) return
    this.replies.moved()
    this.flush()
    this.resume()
  }

  /** Starts received commands; returns false if the time is up. */
  private parse(): boolean {
    const { client, parser } = this
    const { limits, stats } = this.shared.host
    while (!client.leaving && !client.settling && !client.proving) {
      if (isPipelineFull(this.queue, this.replies.buffered, limits)) {
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
    const { unsent } = this.replies
    const reply = this.reading.now(known, words)
    if (reply === null) return null
    this.answer(reply, silent)
    return this.unitsSince(unsent, words)
  }

  private unitsSince(unsent: number, words: Words): number {
    const made = this.replies.unsent - unsent
    // The next read, of any connection, must take it into account.
    if (made > SMALL) this.weigh()
    return readUnits(words, made)
  }

  private answer(reply: Reply, silent: boolean): void {
    if (this.queue.head !== null || isLong(reply)) {
      this.add("answered", undefined, [], null, reply, silent)
      this.replies.deliver()
    } else if (!silent) this.replies.emit(reply, this.client.protocol, false)
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
      if (slot === null || this.closed || this.reading.busy || this.replies.halfway) return true
      const units = 1 + wordUnits(slot.words)
      const refusal = revoked(this.context, slot)
      if (refusal !== null) {
        this.queue.refuse(slot, refusal)
        this.replies.deliver()
      } else if (slot.kind === "write") {
        if (!this.writing.admits(slot)) return true
        this.queue.next = slot.next
        this.writing.start(slot)
      } else {
        this.queue.next = slot.next
        if (slot.kind === "read") this.order.pass(slot)
      }
      if (this.spent(units)) return false
    }
  }

  /** Executes the reads at the head as far as allowed; returns false if the time is up. */
  private read(): boolean {
    const { order, queue, reading, replies } = this
    while (!reading.busy && !replies.halfway) {
      const slot = order.due(queue.head)
      if (slot === null || replies.full()) return true
      const { words } = slot
      const { unsent } = replies
      reading.begin(slot, order.writes > 0)
      if (this.closed) return true
      if (this.spent(this.unitsSince(unsent, words))) return false
    }
    return true
  }

  /** Accepts the reply to the read at the head of the queue, or its refusal; delivers it and continues. */
  answered(slot: Slot, reply: Reply): void {
    if (this.closed) return
    try {
      this.order.taken()
      slot.reply = reply
      this.replies.deliver()
    } catch (thrown) {
      this.fail(thrown)
    }
    this.resume()
  }

  /** Disconnects the client, because of its own behaviour or to protect the others. */
  evict(reason: string): void {
    this.shared.host.stats.cutOff++
    this.shared.complain(this.client, `client ${this.client.id} at ${this.client.address} cut off: ${reason}`)
    this.socket.destroy()
    this.close()
  }
}
