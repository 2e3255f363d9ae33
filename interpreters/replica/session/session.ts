/**
 * Exactly-once for callers without a session of their own: they share the server's session.
 *
 * Each command gets the next number of the session when it is first proposed, so the numbers have no gap and follow the
 * order of the calls, and only this server ever proposes a number again. The answer is the one that this server's own
 * state machine reports.
 *
 * If the outcome of a command does not become known in time, the command ends as unknown, and so do all commands that
 * were sent after it, and the session. Opening the next session ends the old one in the log, so nothing of the old one
 * can take effect afterwards, and waiting commands are executed strictly later. Until the new session is open the old
 * numbers stay valid: a late answer still counts.
 */
import type { Payload, ProposalRefusal } from "../../../core/index.ts"
import { ProposalQueue, type QueuedCommand } from "./proposalQueue.ts"
import { SessionOpener } from "./opener.ts"
import { proposalQueueFor, type ReplicaParts, type SessionFormat } from "./parts.ts"

interface Write<Request, Answer> extends QueuedCommand {
  readonly request: Request
  readonly done: (answer: Answer) => void
  readonly at: number
  sequence: number
}

export class ServerSession<Request, Answer> {
  private readonly parts: ReplicaParts<Answer>
  private readonly format: SessionFormat<Request, Answer>
  private readonly queue: ProposalQueue<Write<Request, Answer>>
  private readonly opener: SessionOpener
  private readonly bySequence = new Map<number, Write<Request, Answer>>()
  private session: number | null = null
  /** A new session is being opened; nothing is sent until it is open. */
  private fencing = true
  private nextSequence = 1
  private stopped = false

  constructor(parts: ReplicaParts<Answer>, format: SessionFormat<Request, Answer>) {
    this.parts = parts
    this.format = format
    const { driver } = parts
    this.opener = new SessionOpener(parts, format, (reason) => {
      if (reason === "spaceLow") this.refuseUnexecuted()
    })
    this.queue = new ProposalQueue<Write<Request, Answer>>({
      ...proposalQueueFor(parts),
      ready: () => !this.fencing && driver.leadership().leader !== null,
      encode: (write) => this.encode(write),
      refused: (reason, writes) => {
        if (reason === "spaceLow") this.refuseUnexecuted()
        else if (reason === "tooLarge" && writes.length === 1) this.refuseTooLarge(writes[0])
      },
    })
    this.opener.open()
  }

  get waiting(): number {
    return this.queue.length
  }
  get resends(): number {
    return this.queue.resends
  }

  /**
   * `bytes`: what the command costs to hold and to encode. `done` is called once, never before this call has returned.
   */
  execute(request: Request, bytes: number, done: (answer: Answer) => void): void {
    const { settings, now, soon, refusals, count } = this.parts
    const refuse = (answer: Answer): void => soon(() => done(answer))
    if (this.stopped) return refuse(refusals.stopping)
    if (this.queue.length >= settings.maxWaiting || this.queue.bytes + bytes > settings.maxWaitingBytes) {
      count("service.busy")
      return refuse(refusals.notExecuted("busy"))
    }
    this.queue.push({ payload: null, bytes, attempts: 0, settled: false, request, done, at: now(), sequence: 0 })
  }

  private encode(write: Write<Request, Answer>): Payload {
    write.sequence = this.nextSequence++
    this.bySequence.set(write.sequence, write)
    return this.format.command(
      write.request,
      this.session ?? 0,
      write.sequence,
      this.queue.oldest?.sequence ?? write.sequence,
    )
  }

  pump(): void {
    this.opener.queue.pump()
    this.queue.pump()
  }

  private answer(write: Write<Request, Answer>, answer: Answer): void {
    if (write.settled) return
    if (this.bySequence.get(write.sequence) === write) this.bySequence.delete(write.sequence)
    this.settle(write, answer)
  }
  private settle(write: Write<Request, Answer>, answer: Answer): void {
    this.queue.settle(write)
    write.done(answer)
  }

  // ------------------------------------------------------------------------------ what the machine announces

  owns(session: number): boolean {
    return session === this.session
  }
  /** The request that waits for this number, if there is one. */
  requestOf(sequence: number): Request | undefined {
    return this.bySequence.get(sequence)?.request
  }
  /** The result of number `sequence` of the session; it holds for every copy of the command. */
  executed(sequence: number, answer: Answer): void {
    const write = this.bySequence.get(sequence)
    if (write === undefined) return
    this.bySequence.delete(sequence)
    if (!write.settled) this.settle(write, answer)
  }
  /**
   * A copy of the command was not executed. If `ended`, the session had ended in the log before it: none of its
   * unanswered commands was executed, nor will be. Otherwise something before this copy was lost: the queue notices when
   * the batch is over, and another copy may have an answer.
   */
  notExecuted(ended: boolean): void {
    if (ended) this.fence()
    else this.parts.count("service.outOfOrder")
  }
  opened(owner: string, secret: string, session: number): void {
    if (owner !== this.format.owner) return
    if (secret !== this.opener.secret) return this.fence()
    if (session === this.session && !this.fencing) return
    // All earlier sessions of this server end at this index: commands without an answer will never get one.
    this.opener.opened()
    this.session = session
    this.fencing = false
    this.nextSequence = 1
    this.bySequence.clear()
    this.parts.count("service.sessionsOpened")
    this.queue.renumber()
  }
  restored(): void {
    if (this.fencing) this.opener.queue.rewind(0)
    const { session } = this
    if (session === null) return
    let lost = false
    // The last one first. The state already holds the effects of all of them, and when an earlier one is answered a read
    // may be served, which must then already know of the later ones.
    for (const write of this.queue.list(0, this.queue.sent).toReversed()) {
      if (write.settled) continue
      const state = this.format.outcomeOf(session, write.sequence)
      if (state.type === "kept") this.answer(write, state.reply)
      // The snapshot already covers the end of the session; whether it ended before or after this command is unknown.
      else if (state.type !== "notExecuted") lost = true
    }
    if (lost) {
      for (const write of this.queue.list(0, this.queue.sent)) this.answer(write, this.parts.refusals.unknownBehind)
      this.fence()
    } else this.queue.rewind(0)
  }

  // -------------------------------------------------------------------------------------------------- time

  /** Opens a new session; nothing is sent before it is open. */
  private fence(): void {
    if (this.fencing) return
    this.fencing = true
    this.opener.open()
  }

  /** The leader has no disk space. Commands that were certainly not executed are answered now instead of being kept waiting. */
  private refuseUnexecuted(): void {
    const sent = this.queue.sent > 0
    // Commands after one that may have been executed may have been executed too, through their own proposals.
    const first = this.queue.oldest?.attempts === 0
    this.queue.list().forEach((write) => {
      if (first || write.attempts === 0) this.answer(write, this.parts.refusals.notExecuted("spaceLow"))
    })
    if (sent) this.fence()
  }
  /** Only this write is refused. Those after it get new numbers, in a new session. */
  private refuseTooLarge(write: Write<Request, Answer> | undefined): void {
    if (write === undefined || write !== this.queue.oldest || write.attempts > 0) return
    this.answer(write, this.parts.refusals.notExecuted("tooLarge"))
    this.fence()
  }

  tick(): void {
    const { settings, now, count } = this.parts
    this.opener.queue.tick()
    this.queue.tick()
    for (
      let oldest = this.queue.oldest;
      oldest !== undefined && now() - oldest.at >= settings.writeTimeout;
      oldest = this.queue.oldest
    ) {
      const sent = this.queue.sent > 0
      if (oldest.attempts > 0) {
        count("service.unknown", this.queue.sent)
        this.answer(oldest, this.parts.refusals.unknown)
        // Commands that were sent after it end in the same way: they are never retried past it.
        for (const write of this.queue.list(0, this.queue.sent)) this.answer(write, this.parts.refusals.unknownBehind)
      } else {
        // None after it can be executed either, because their numbers follow its own in the session.
        count("service.noLeader")
        this.answer(oldest, this.parts.refusals.notExecuted(this.reason()))
      }
      if (sent) this.fence()
    }
  }
  /** Why nothing could be proposed. */
  private reason(): ProposalRefusal | null {
    if (this.parts.driver.leadership().leader === null) return null
    return this.fencing ? this.opener.queue.lastRefusal : this.queue.lastRefusal
  }
  changed(now: Parameters<ProposalQueue<never>["changed"]>[0]): void {
    this.opener.queue.changed(now)
    this.queue.changed(now)
  }
  appliedThrough(index: number): void {
    this.opener.queue.appliedThrough(index)
    this.queue.appliedThrough(index)
  }
  stop(): void {
    this.stopped = true
    this.opener.queue.stop()
    this.queue.stop()
    for (const write of this.queue.list())
      this.answer(write, write.attempts > 0 ? this.parts.refusals.unknownStopping : this.parts.refusals.stopping)
  }
}
