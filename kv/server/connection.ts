/**
 * One client's commands, in their order.
 *
 * Every command that is not answered on the spot takes a slot in a queue. `next` is the first slot not begun, `head`
 * the first not answered. Replies leave from the head only. Writes are begun one after the other without waiting, also
 * past reads that cannot be taken yet: a small read is taken at the first of two moments,
 *
 * - once it is at the head and its barrier has been passed, or
 * - on the way of the next write: as this node is about to execute that, the state has all that stood before the read and
 *   nothing that stands behind it. No barrier is needed there, for the write was begun after the read had come.
 *
 * So a read sees the writes before it and none behind it, and holds up nothing. Where reads cannot be taken on its way
 * (long ones, very many, a write in a session of the client's) a write is begun once they have been read.
 *
 * All of this happens in turns (turns.ts): `work` does what it can until its time is up.
 */
import type { Socket } from "node:net"
import type { ReadHere, Reply } from "../types.ts"
import { type Admission, weightOf } from "./admission.ts"
import type { Barriers, Gate } from "./barriers.ts"
import { SMALL, type Account } from "./budget.ts"
import type { Client } from "./client.ts"
import type { Context, Host, Known, Words, Work } from "./contract.ts"
import { encode, encodeNullArray, err, unsaid } from "./encode.ts"
import { begin, broken, unread } from "./intake.ts"
import type { LongReads } from "./longreads.ts"
import { notTaken, Output } from "./output.ts"
import { isLong, Pieces, replyBytes } from "./pieces.ts"
import { failedWrite, mayReturnMuch, missed, Queue, unknownBehind, type Slot } from "./queue.ts"
import { costOfTaking, Reading } from "./reading.ts"
import { ProtocolError, RequestParser, RequestTooLarge } from "./resp.ts"
import type { Job, Turns } from "./turns.ts"

/** The clock is looked at after so many units of work; a short command is one, of about a microsecond. */
const unitsPerLook = 16
const unitsOfRead = 4
const bytesPerUnit = 4096
const wordsPerUnit = 16
const itemsPerLook = 256

/** What has come and waits for its turn; beyond it, no more is taken from the socket. */
const readAhead = 128 * 1024
/** A connection, its socket and its parser, doing nothing. */
const baseWeight = 4096
const lingerMs = 1_000

/** What the connections of a server share besides the host. */
export interface Shared {
  readonly host: Host
  readonly barriers: Barriers
  readonly admission: Admission
  readonly turns: Turns
  readonly longReads: LongReads
  /** Calls `flush` once the present turn is over. */
  readonly dirty: (connection: Connection) => void
  readonly log: (message: string) => void
}

export class Connection implements Job, Account {
  readonly client: Client
  /** Set while waiting for the end of the turn, by the server. */
  marked = false
  queued = false
  weight = 0
  closed = false
  private readonly shared: Shared
  private readonly context: Context
  private readonly socket: Socket
  private readonly parser: RequestParser
  private readonly output: Output
  private readonly queue = new Queue()
  /** Reads that have been passed by and not been taken, in their order. */
  private readonly waiting: Slot[] = []
  /** The barrier that was joined last. */
  private gate: Gate | null = null
  /** Writes begun and not over. Of these: not in the order of the others; and given up with one of unknown end. */
  private writes = 0
  private apart = 0
  private abandoned = 0
  /** The place of the last write begun: whatever waits before it has a write that takes it. -1: that is not so. */
  private begunAt = -1
  private readonly reading: Reading
  /** The head's reply, of which a part has left. */
  private pieces: Pieces | null = null
  /** Writes under way whose replies may be large, and how large to expect them: as the last ones were. */
  private returning = 0
  private expected: number
  /** Too much under way: no commands are taken up. */
  private held = false
  /** Nothing is taken from the socket. */
  private paused = false
  /** Something could go on if the client took more of its replies. */
  private blocked = false
  private inputEnded = false
  private ended = false
  private working = false
  private until = 0
  private units = 0
  private drains = 0
  private drainsSeen = 0
  private movedAt = performance.now()

  constructor(shared: Shared, client: Client, socket: Socket) {
    const { host } = shared
    this.shared = shared
    this.client = client
    this.context = { host, client }
    this.socket = socket
    this.parser = new RequestParser(host.limits)
    this.output = new Output(socket)
    this.expected = host.limits.maxEntryBytes
    this.reading = new Reading(host, shared.longReads, this)
    host.budget.open(this)
    this.weigh()
  }

  receive(chunk: Buffer): void {
    if (this.client.leaving) return
    this.client.activeAt = Date.now()
    this.parser.push(chunk)
    this.shared.turns.run(this)
    if (this.parser.pending < readAhead || this.paused || this.closed) return
    this.paused = true
    this.socket.pause()
  }

  /** One turn. What is thrown ends this connection, and nothing else. */
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
    if (this.paused && !more && !this.held && !this.closed && this.parser.pending < readAhead) {
      this.paused = false
      this.socket.resume()
    }
    return more && !this.closed
  }

  /** True if the time is up and there is more to do. */
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

  /** The client has too much to take: what waits for that goes on once it has taken some. */
  private full(): boolean {
    this.blocked = this.output.buffered > this.shared.host.limits.softOutputBytes
    return this.blocked
  }

  /** Counts work done; true if the time is up. */
  private spent(units: number): boolean {
    this.units += units
    if (this.units < unitsPerLook) return false
    this.units = 0
    return this.shared.turns.now() >= this.until
  }

  /** There may be something to do again. */
  private readonly resume = (): void => {
    if (!this.closed && !this.working) this.shared.turns.run(this)
  }

  /** The order of its replies cannot be trusted any more. */
  private fail(thrown: unknown): void {
    this.shared.host.faults.report(`client ${this.client.id} at ${this.client.address}`, thrown)
    this.socket.destroy()
    this.close()
  }

  /** The client has sent its last byte. What lies in the parser comes first. */
  finished(): void {
    this.inputEnded = true
    this.resume()
  }

  /** Nothing more is taken from the client: answer what is under way, then end. */
  leave(): void {
    this.client.leaving = true
    this.shared.dirty(this)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.client.leaving = true
    // The service holds on to what it has not answered yet.
    const orphaned = this.queue.clear()
    this.waiting.length = 0
    this.pieces = null
    this.parser.clear()
    this.output.clear()
    this.shared.admission.forget(this.resume)
    this.shared.host.budget.weigh(this, orphaned)
  }

  /** Nothing is under way for it, and it has taken all that it was given. */
  get idle(): boolean {
    return this.queue.head === null && this.output.buffered === 0
  }

  /** Looked at now and then: cuts off a client that has too much to take and takes nothing. */
  watchStall(now: number): void {
    const { budget, limits } = this.shared.host
    const pressed = budget.tight
    if (this.output.buffered <= (pressed ? SMALL : limits.softOutputBytes) || this.drains !== this.drainsSeen) {
      this.drainsSeen = this.drains
      this.movedAt = now
    } else if (now - this.movedAt > (pressed ? limits.pressedMs : limits.stalledMs)) this.cutOff(notTaken(this.output.buffered))
  }

  /** End of the turn: write what has gathered, take up what was held, leave if that was all. */
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
    if (this.held && this.queue.length <= this.shared.host.limits.pipelinedCommands / 2 && this.roomy()) {
      this.held = false
      this.resume()
    }
    if (this.client.leaving && this.queue.head === null && !this.ended && this.output.unsent === 0) {
      this.ended = true
      this.socket.end()
      // A client that still sends must not lose its last reply to a reset: what it sends is taken and dropped for a while.
      this.socket.resume()
      setTimeout(() => this.socket.destroy(), lingerMs).unref()
    }
    this.weigh()
  }

  private weigh(): void {
    if (this.closed) return
    const { transaction, watching } = this.client
    const held = this.parser.weight + this.queue.bytes + this.output.buffered + this.reading.reserved + (this.pieces?.bytes ?? 0)
    this.shared.host.budget.weigh(this, baseWeight + held + watching.weight + (transaction?.weight ?? 0))
  }

  /** The socket has taken all that it was given. */
  drained(): void {
    if (this.closed) return
    this.drains++
    this.flush()
    this.resume()
  }

  private roomy(): boolean {
    const { limits } = this.shared.host
    return this.queue.bytes <= limits.pipelinedBytes / 2 && this.output.buffered <= limits.softOutputBytes
  }

  /** Takes up what has come; false if the time is up. */
  private parse(): boolean {
    const { client, parser } = this
    const { limits, stats } = this.shared.host
    while (!client.leaving && !client.settling) {
      if (this.queue.length >= limits.pipelinedCommands || this.queue.bytes >= limits.pipelinedBytes || this.output.buffered > limits.softOutputBytes) {
        this.held = true
        if (!this.paused) this.socket.pause()
        this.paused = true
        return true
      }
      const words = parser.next()
      if (words === null) {
        if (this.inputEnded) client.leaving = true
        return true
      }
      if (words instanceof ProtocolError) {
        stats.protocolErrors++
        this.answer(err(`Protocol error: ${words.text}`), false)
        client.leaving = true
        return true
      }
      stats.commands++
      if (this.spent(this.accept(words))) return false
    }
    return true
  }

  /** Answers what it took, in units. */
  private accept(request: Words | RequestTooLarge): number {
    const { client } = this
    const words = request instanceof RequestTooLarge ? [] : request
    const known = this.shared.host.table.find(words[0])
    const answer = request instanceof RequestTooLarge ? unread(this.context, request) : begin(this.context, known, words, this.parser)
    const silent = !client.settling && (answer === unsaid || client.replies === "off" || client.skip === "this")
    client.skip = client.skip === "next" ? "this" : "none"
    if (client.transaction !== null && !client.transaction.aborted) client.transaction.weight += this.parser.requestWeight
    if (answer === "write" || answer === "read") this.add(answer, known, words, null, null, silent)
    else if (answer.type === "work.write") this.add("write", known, words, answer, null, silent)
    else if (answer.type === "work.read") this.add("read", known, words, answer, null, silent)
    else this.answer(answer, silent)
    const units = known === undefined || typeof known.does === "string" || known.flags.includes("fast") ? 1 : unitsPerLook
    return words.length < wordsPerUnit ? units : units + Math.floor(words.length / wordsPerUnit)
  }

  private answer(reply: Reply, silent: boolean): void {
    if (this.queue.head !== null || isLong(reply)) {
      this.add("answered", undefined, [], null, reply, silent)
      this.deliver()
    } else if (!silent) this.emit(reply, this.client.protocol, false)
  }

  private add(kind: Slot["kind"], known: Known | undefined, words: Words, work: Work | null, reply: Reply | null, silent: boolean): void {
    const { client } = this
    const bytes = this.parser.requestWeight + (work?.type === "work.write" ? (work.weight ?? 0) : 0)
    const gated = work === null ? client.consistency === "linearizable" : work.type === "work.read" && work.barrier
    const returns = kind === "write" && mayReturnMuch(known, words)
    const { protocol } = client
    this.queue.add({
      at: this.queue.place(), kind, known, words, work, protocol, silent, bytes, gated, returns,
      cost: null, gate: null, askedEarly: false, large: false, reply, over: false, next: null,
    })
  }

  /** Begins whatever may begin; false if the time is up. */
  private pump(): boolean {
    for (;;) {
      if (!this.read()) return false
      const slot = this.queue.next
      if (slot === null || this.closed || this.reading.busy || this.pieces !== null) return true
      if (slot.kind === "write") {
        if ((slot.returns && !this.mayReturn()) || !this.admitted(slot)) return true
        this.queue.next = slot.next
        this.write(slot)
      } else {
        this.queue.next = slot.next
        if (slot.kind === "read") this.pass(slot)
      }
      if (this.spent(1 + Math.floor(slot.words.length / wordsPerUnit))) return false
    }
  }

  /** The read waits to be taken. A barrier that begins after it has come may have been passed by the time that it can be. */
  private pass(slot: Slot): void {
    this.waiting.push(slot)
    if (!slot.gated) return
    slot.askedEarly = this.writes > 0
    slot.gate = this.ask()
  }
  private ask(): Gate {
    if (this.gate === null || this.gate.begun) this.gate = this.shared.barriers.join(this.resume)
    return this.gate
  }

  /** Takes the reads at the head, as far as they may be taken; false if the time is up. */
  private read(): boolean {
    for (let slot = this.waiting[0]; slot !== undefined && this.mayRead(slot); slot = this.waiting[0]) {
      const { unsent } = this.output
      this.reading.begin(slot, this.writes > 0)
      if (this.closed) return true
      const made = this.output.unsent - unsent
      // The next read, of whichever connection, must know of it.
      if (made > SMALL) this.weigh()
      if (this.spent(unitsOfRead + Math.floor(slot.words.length / wordsPerUnit) + Math.floor(made / bytesPerUnit))) return false
    }
    return true
  }
  private mayRead(slot: Slot): boolean {
    // At the head, all writes before it have been answered; those given up may be under way still.
    if (slot !== this.queue.head || this.abandoned > 0 || this.reading.busy || this.pieces !== null) return false
    if (slot.large && this.writes > 0) return false
    return this.passes(slot) && !this.full()
  }
  private passes(slot: Slot): boolean {
    const { gate } = slot
    if (gate === null) return true
    if (!gate.open) return false
    if (gate.refusal === null) return true
    // A write behind it may yet take it along. And what was refused while writes before it were under way is asked again.
    if (this.writes > 0) return false
    if (!slot.askedEarly) return true
    slot.askedEarly = false
    slot.gate = this.ask()
    return false
  }

  /** Replies of writes cannot be refused any more once they are there: no more are begun than the client may have to take. */
  private mayReturn(): boolean {
    if (this.full()) return false
    // The next of their answers looks again.
    return this.returning === 0 || this.output.buffered + (this.returning + 1) * this.expected <= this.shared.host.limits.softOutputBytes
  }

  /** With the reads that it takes along. */
  private admitted(slot: Slot): boolean {
    const { admission, host } = this.shared
    if (slot.cost === null) {
      if (this.waiting.length > 0 && (this.apart > 0 || !inOrder(slot))) return false
      const reads = costOfTaking(host, this.waiting, this.begunAt)
      if (reads === null) return false
      slot.cost = { own: weightOf(host, slot), reads }
    }
    return admission.enter(slot.cost, this.resume)
  }

  private end(slot: Slot): void {
    slot.over = true
    this.writes--
    if (!inOrder(slot)) this.apart--
    // Given up before.
    if (slot.reply !== null) this.abandoned--
    if (slot.cost !== null) this.shared.admission.leave(slot.cost)
  }

  /** The answer of the read that was begun. */
  answered(slot: Slot, reply: Reply): void {
    if (this.closed) return
    try {
      this.finish(slot, reply)
    } catch (thrown) {
      this.fail(thrown)
    }
    this.resume()
  }

  private finish(slot: Slot, reply: Reply): void {
    this.waiting.shift()
    slot.reply = reply
    this.deliver()
  }

  /** The write is about to be executed here: the reads before it are taken, or they would see it. */
  private takeBefore(write: Slot, read: ReadHere): void {
    if (this.closed) return
    const slots = this.leaveBefore(write)
    this.reading.take(slots, read)
    for (const slot of slots) if (slot.reply !== null) this.keep(slot, slot.reply)
  }
  /** The write has ended, or may have an effect at any time, and the reads before it were not taken. */
  private miss(write: Slot): void {
    for (const slot of this.leaveBefore(write)) slot.reply = missed
  }
  /** The reads before that write do not wait any longer. */
  private leaveBefore(write: Slot): Slot[] {
    const [first] = this.waiting
    if (first === undefined || first.at > write.at) return []
    const behind = this.waiting.findIndex(({ at }) => at > write.at)
    return this.waiting.splice(0, behind < 0 ? this.waiting.length : behind)
  }

  private write(slot: Slot): void {
    this.writes++
    this.begunAt = slot.at
    if (!inOrder(slot)) this.apart++
    if (slot.returns) this.returning++
    const done = (reply: Reply): void => {
      if (slot.over) return
      this.end(slot)
      if (this.closed) {
        this.shared.host.budget.weigh(this, Math.max(0, this.weight - slot.bytes))
        return
      }
      try {
        this.written(slot, reply)
      } catch (thrown) {
        this.fail(thrown)
      }
    }
    const before = (read: ReadHere): void => this.takeBefore(slot, read)
    let reply: Reply | undefined
    try {
      if (slot.work?.type === "work.write") reply = slot.work.start(done, before)
      else this.shared.host.service.write([slot.words], false, [], done, before)
    } catch (thrown) {
      broken(this.shared.host, slot.words, thrown)
      reply = failedWrite
      this.miss(slot)
    }
    if (reply === undefined || slot.over) return
    this.begunAt = -1
    this.end(slot)
    if (slot.returns) this.returning--
    slot.reply = reply
    this.deliver()
  }

  private written(slot: Slot, reply: Reply): void {
    if (slot.returns) {
      this.returning--
      this.expected = Math.max(replyBytes(reply), this.expected / 2)
    }
    if (isNotExecuted(reply)) this.begunAt = -1
    else this.miss(slot)
    // Null if it was not already given up with one before it.
    if (slot.reply === null) {
      slot.reply = reply
      if (reply.type === "error" && reply.code === "UNKNOWN") this.abandoned += this.queue.abandonBehind(slot, unknownBehind)
      if (slot !== this.queue.head) this.keep(slot, reply)
    }
    this.deliver()
    const mayGoOn = slot.returns || (this.queue.next !== null && (this.writes === 0 || !inOrder(slot)))
    if (mayGoOn || (this.waiting.length > 0 && this.waiting[0] === this.queue.head)) this.resume()
  }

  /** The reply waits behind others: it counts as the request did. */
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

  /** Encodes more of a long reply; true once all of it is out. It waits while the client takes nothing. */
  private encodeOn(): boolean {
    const { pieces, queue: { head } } = this
    if (pieces === null || head === null) return true
    while (!pieces.next(itemsPerLook, this.output)) if (this.full() || this.spent(unitsPerLook)) return false
    this.pieces = null
    this.queue.leave(head)
    this.deliver()
    return true
  }

  private emit(reply: Reply, protocol: Slot["protocol"], exec: boolean): void {
    if (this.output.buffered > this.shared.host.limits.hardOutputBytes) {
      this.cutOff(notTaken(this.output.buffered))
      return
    }
    if (exec && reply.type === "null") {
      encodeNullArray(protocol, this.output)
      return
    }
    const { unsent } = this.output
    try {
      encode(reply, protocol, this.output)
    } catch (thrown) {
      // Half a reply has no end that a client could find.
      if (this.output.unsent !== unsent) throw thrown
      encode(broken(this.shared.host, [], thrown), protocol, this.output)
    }
  }

  /** For the sake of all. */
  evict(reason: string): void {
    this.cutOff(reason)
  }

  private cutOff(reason: string): void {
    this.shared.host.stats.cutOff++
    this.shared.log(`client ${this.client.id} at ${this.client.address} cut off: ${reason}`)
    this.socket.destroy()
    this.close()
  }
}

/** Executed in the order of the connection's plain writes, of which it is one or like one. */
const inOrder = ({ work }: Slot): boolean => work === null || (work.type === "work.write" && work.inOrder)
const refusals: ReadonlySet<string> = new Set(["NOLEADER", "BUSY", "TOOLARGE", "SPACELOW", "MOVED", "LOADING"])
/** The service's word that a write has had no effect and will have none. */
const isNotExecuted = (reply: Reply): boolean => reply.type === "error" && refusals.has(reply.code)
