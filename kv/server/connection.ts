/**
 * One client's commands, in their order.
 *
 * Every command that is not answered on the spot takes a slot in a queue. `next` is the first slot not begun, `head`
 * the first not answered. Writes are begun one after the other without waiting; a read is begun once the writes
 * before it have ended, and is over before anything behind it is begun. Replies leave from the head only.
 */
import type { Socket } from "node:net"
import { unknownCommand, wrongArity } from "../machine/index.ts"
import type { Reply } from "../types.ts"
import type { Barriers, Gate } from "./barriers.ts"
import type { Client } from "./client.ts"
import { enqueue } from "./commands/transaction.ts"
import type { Context, Handler, Host, Known, Words, Work } from "./contract.ts"
import { encode, encodeNullArray, err, errorReply, type Protocol } from "./encode.ts"
import { Output } from "./output.ts"
import { moved } from "./redirect.ts"
import { isAdministrative, tooManyClients } from "./reserve.ts"
import { ProtocolError, RequestParser } from "./resp.ts"
import { arityFits, keysOf } from "./words.ts"

/** Reads executed in one go before the event loop gets its turn. */
const sliceMs = 5
const readsPerLook = 16

const lingerMs = 1_000

const unknownBehind = errorReply("UNKNOWN", "a write sent before this one on the connection ended unknown; it may or may not have been executed")
const failed = err("internal error")
const failedWrite = err("internal error; whether the command was executed is not known")

interface Slot {
  /** answered: only waits for those before it. */
  readonly kind: "write" | "read" | "answered"
  readonly words: Words
  readonly work: Work | null
  readonly protocol: Protocol
  readonly silent: boolean
  readonly bytes: number
  /** Whether the read wants a barrier, and the one it got. */
  readonly gated: boolean
  gate: Gate | null
  reply: Reply | null
  /** A write whose service is done with it. */
  over: boolean
  next: Slot | null
}

/** What the connections of a server share besides the host. */
export interface Shared {
  readonly host: Host
  readonly barriers: Barriers
  /** Calls `flush` once the present turn is over. */
  readonly dirty: (connection: Connection) => void
  readonly log: (message: string) => void
}

export class Connection {
  readonly client: Client
  /** Set while waiting for the end of the turn, by the server. */
  marked = false
  private readonly shared: Shared
  private readonly context: Context
  private readonly socket: Socket
  private readonly parser: RequestParser
  private readonly output: Output
  private head: Slot | null = null
  private tail: Slot | null = null
  private next: Slot | null = null
  private slots = 0
  private slotBytes = 0
  private writes = 0
  /** A read is answering later. */
  private reading = false
  /** Too much under way: nothing is taken from the socket. */
  private held = false
  private inputEnded = false
  private ended = false
  private closed = false
  private drains = 0
  private drainsSeen = 0
  private movedAt = performance.now()

  constructor(shared: Shared, client: Client, socket: Socket) {
    this.shared = shared
    this.client = client
    this.context = { host: shared.host, client }
    this.socket = socket
    this.parser = new RequestParser(shared.host.limits)
    this.output = new Output(socket)
  }

  receive(chunk: Buffer): void {
    if (this.client.leaving) return
    this.client.activeAt = Date.now()
    this.parser.push(chunk)
    this.guarded(this.parse)
  }

  /** Every way in from outside goes through here: what is thrown ends this connection, and nothing else. */
  private guarded(task: () => void): void {
    try {
      task()
    } catch (thrown) {
      this.fail(thrown)
    }
  }

  /** The order of its replies cannot be trusted any more. */
  private fail(thrown: unknown): void {
    this.shared.host.faults.report(`client ${this.client.id} at ${this.client.address}`, thrown)
    this.socket.destroy()
    this.close()
  }

  /** The client has sent its last byte. It may come while the connection is held: what lies in the parser comes first. */
  finished(): void {
    this.inputEnded = true
    if (!this.held) this.leave()
  }

  /** Nothing more is taken from the client: answer what is under way, then end. */
  leave(): void {
    this.client.leaving = true
    this.shared.dirty(this)
  }

  close(): void {
    this.closed = true
    this.client.leaving = true
    this.head = this.tail = this.next = null
  }

  /** Nothing is under way for it, and it has taken all that it was given. */
  get idle(): boolean {
    return this.head === null && this.output.buffered === 0
  }

  /** Looked at now and then: cuts off a client that has too much to take and takes nothing. */
  watchStall(now: number): void {
    const { softOutputBytes, stalledMs } = this.shared.host.limits
    if (this.output.buffered <= softOutputBytes || this.drains !== this.drainsSeen) {
      this.drainsSeen = this.drains
      this.movedAt = now
    } else if (now - this.movedAt > stalledMs) this.cutOff()
  }

  /** End of the turn: write what has gathered, take up what was held, leave if that was all. */
  flush(): void {
    if (!this.closed) this.guarded(this.flushed)
  }

  private readonly flushed = (): void => {
    this.output.flush()
    if (this.held && this.slots <= this.shared.host.limits.pipelinedCommands / 2 && this.roomy()) {
      this.held = false
      this.parse()
      if (!this.held) this.socket.resume()
    }
    if (this.client.leaving && this.head === null && !this.ended && this.output.unsent === 0) {
      this.ended = true
      this.socket.end()
      // A client that still sends must not lose its last reply to a reset: what it sends is taken and dropped for a while.
      this.socket.resume()
      setTimeout(() => this.socket.destroy(), lingerMs).unref()
    }
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
    return this.slotBytes <= limits.pipelinedBytes / 2 && this.output.buffered <= limits.softOutputBytes
  }

  private readonly parse = (): void => {
    const { client, parser } = this
    const { limits, stats } = this.shared.host
    while (!client.leaving) {
      if (this.slots >= limits.pipelinedCommands || this.slotBytes >= limits.pipelinedBytes || this.output.buffered > limits.softOutputBytes) {
        this.held = true
        this.socket.pause()
        break
      }
      const words = parser.next()
      if (words === null) {
        if (this.inputEnded) client.leaving = true
        break
      }
      if (words instanceof ProtocolError) {
        stats.protocolErrors++
        this.answer(err(`Protocol error: ${words.text}`), false)
        client.leaving = true
        break
      }
      stats.commands++
      this.accept(words)
    }
    this.pump()
    this.shared.dirty(this)
  }

  private accept(words: Words): void {
    const { client } = this
    const skipping = client.replies === "skipping"
    if (skipping) client.replies = "on"
    const answer = this.begin(words)
    const silent = skipping || client.replies === "off" || client.replies === "skip"
    if (client.replies === "skip") client.replies = "skipping"
    if (answer === "write" || answer === "read") this.add(answer, words, null, null, silent)
    else if (answer.type === "work.write") this.add("write", words, answer, null, silent)
    else if (answer.type === "work.read") this.add("read", words, answer, null, silent)
    else this.answer(answer, silent)
  }

  /** What is to be done about a command: its answer, or its kind if it takes its turn in the queue. */
  private begin(words: Words): Reply | Work | "write" | "read" {
    const { client, context } = this
    const { transaction } = client
    const known = this.shared.host.table.find(words[0])
    if (client.reserved && !isAdministrative(known, words)) {
      client.leaving = true
      return tooManyClients(this.shared.host.limits.maxClients)
    }
    const refusal = known === undefined ? unknownCommand(words) : this.refuse(known, words)
    if (known === undefined || refusal !== null) {
      if (transaction !== null) transaction.aborted = true
      // The transaction that counts on this watch must not run.
      if (known?.name === "watch") client.watching.failed = true
      return refusal ?? failed
    }
    client.lastCommand = known.name
    if (transaction !== null && known.underMulti !== "now") return enqueue(context, transaction, known, words, this.parser.requestBytes)
    return typeof known.does === "string" ? known.does : this.run(known.does, words)
  }

  private refuse(known: Known, words: Words): Reply | null {
    if (!arityFits(known, words)) return wrongArity(known.name)
    return known.firstKey > 0 && this.shared.host.redirect ? moved(this.context, keysOf(known, words)[0]) : null
  }

  /** The handler's answer, or what an exception leaves of it. */
  private run(handler: Handler, words: Words): Reply | Work {
    try {
      return handler(this.context, words)
    } catch (thrown) {
      return this.broken(words, thrown)
    }
  }

  private broken(words: Words, thrown: unknown): Reply {
    this.shared.host.faults.report(`${words[0]?.toString("latin1", 0, 32).toUpperCase() ?? "a command"} of a client`, thrown)
    return failed
  }

  private answer(reply: Reply, silent: boolean): void {
    if (this.head === null) this.emit(reply, this.client.protocol, silent, false)
    else this.add("answered", [], null, reply, silent)
  }

  private add(kind: Slot["kind"], words: Words, work: Work | null, reply: Reply | null, silent: boolean): void {
    const { client } = this
    const bytes = this.parser.requestBytes
    const gated = work === null ? client.consistency === "linearizable" : work.type === "work.read" && work.barrier
    const slot: Slot = { kind, words, work, protocol: client.protocol, silent, bytes, gated, gate: null, reply, over: false, next: null }
    if (this.tail === null) this.head = slot
    else this.tail.next = slot
    this.tail = slot
    this.next ??= slot
    this.slots++
    this.slotBytes += bytes
  }

  /** Begins whatever may begin. */
  readonly resume = (): void => {
    if (!this.closed) this.guarded(this.pump)
  }

  private readonly pump = (): void => {
    const { limits } = this.shared.host
    const until = performance.now() + sliceMs
    let reads = 0
    while (this.next !== null && !this.reading) {
      const slot = this.next
      if (slot.kind === "write") {
        this.next = slot.next
        this.write(slot)
      } else if (slot.kind === "read") {
        if (this.writes > 0 || !this.passes(slot) || this.output.buffered > limits.softOutputBytes) return
        if (++reads % readsPerLook === 0 && performance.now() > until) {
          setImmediate(this.resume)
          return
        }
        this.read(slot)
      } else this.next = slot.next
    }
  }

  /** Whether the read may run now. The first of a run takes the rest of it along to the same barrier. */
  private passes(slot: Slot): boolean {
    if (!slot.gated) return true
    if (slot.gate !== null) return slot.gate.open
    const gate = this.shared.barriers.join(this.resume)
    for (let at: Slot | null = slot; at !== null && at.kind !== "write"; at = at.next) if (at.gated) at.gate ??= gate
    return false
  }

  private read(slot: Slot): void {
    const refusal = slot.gate?.refusal ?? null
    if (refusal !== null) {
      if (slot.work?.type === "work.read") slot.work.refused?.()
      this.finish(slot, refusal)
      return
    }
    let reply: Reply | Promise<Reply>
    try {
      reply = slot.work?.type === "work.read" ? slot.work.run() : this.shared.host.service.reader.read(slot.words)
    } catch (thrown) {
      reply = this.unread(slot, thrown)
    }
    if (!(reply instanceof Promise)) {
      this.finish(slot, reply)
      return
    }
    this.reading = true
    const settle = (settled: Reply): void => {
      this.reading = false
      if (this.closed) return
      this.guarded(() => {
        this.finish(slot, settled)
        this.pump()
      })
    }
    reply.then(settle, (thrown: unknown) => settle(this.unread(slot, thrown)))
  }

  private unread(slot: Slot, thrown: unknown): Reply {
    if (slot.work?.type === "work.read") slot.work.refused?.()
    return this.broken(slot.words, thrown)
  }

  private finish(slot: Slot, reply: Reply): void {
    this.next = slot.next
    slot.reply = reply
    this.deliver()
  }

  private write(slot: Slot): void {
    this.writes++
    const done = (reply: Reply): void => {
      if (slot.over) return
      slot.over = true
      this.writes--
      if (this.closed) return
      try {
        this.written(slot, reply)
      } catch (thrown) {
        this.fail(thrown)
      }
    }
    let reply: Reply | undefined
    try {
      if (slot.work?.type === "work.write") reply = slot.work.start(done)
      else this.shared.host.service.write([slot.words], false, [], done)
    } catch (thrown) {
      this.broken(slot.words, thrown)
      reply = failedWrite
    }
    if (reply === undefined || slot.over) return
    slot.over = true
    this.writes--
    slot.reply = reply
    this.deliver()
  }

  private written(slot: Slot, reply: Reply): void {
    // Null if it was not already given up with one before it.
    if (slot.reply === null) {
      slot.reply = reply
      if (reply.type === "error" && reply.code === "UNKNOWN") this.abandonBehind(slot)
      this.deliver()
    }
    if (this.writes === 0) this.pump()
  }

  /** Whether the writes behind were executed hangs on the one whose end is unknown: theirs is unknown too. */
  private abandonBehind(slot: Slot): void {
    for (let at = slot.next; at !== null && at !== this.next; at = at.next) if (at.kind === "write") at.reply ??= unknownBehind
  }

  private deliver(): void {
    let slot = this.head
    while (slot !== null && slot.reply !== null) {
      this.emit(slot.reply, slot.protocol, slot.silent, slot.work?.type === "work.write" && slot.work.exec)
      if (this.closed) return
      this.slots--
      this.slotBytes -= slot.bytes
      slot = slot.next
    }
    if (slot === this.head) return
    this.head = slot
    if (slot === null) this.tail = null
    this.shared.dirty(this)
  }

  private emit(reply: Reply, protocol: Protocol, silent: boolean, exec: boolean): void {
    if (silent) return
    if (this.output.buffered > this.shared.host.limits.hardOutputBytes) {
      this.cutOff()
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
      encode(this.broken([], thrown), protocol, this.output)
    }
  }

  /** The client does not take its replies. */
  cutOff(): void {
    this.shared.host.stats.cutOff++
    this.shared.log(`client ${this.client.id} at ${this.client.address} cut off: ${this.output.buffered} bytes of replies not taken`)
    this.socket.destroy()
    this.close()
  }
}
