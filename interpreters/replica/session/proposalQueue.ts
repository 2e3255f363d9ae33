/**
 * A queue of commands that go through the log in order until each is answered, by go-back-N.
 *
 * Commands are proposed in order, the oldest first. Proposals get lost (a leader crashes, a connection breaks), so when
 * one is refused, lost or unanswered for too long, the queue goes back and proposes again from the oldest unanswered
 * command. That is harmless, because the state machine executes each number of a session once. It does not flood the
 * leader: at most one window is proposed again at a time, and without progress the pause before the next attempt grows.
 *
 * Every pass over the queue is an epoch. Outcomes of proposals of an earlier epoch are ignored, because the present
 * epoch proposes the same commands again anyway.
 */
import type { Payload, ProposalOutcome, ProposalRefusal, Term } from "../../../core/index.ts"
import type { DriverLeadership } from "../../driver/index.ts"
import type { Alarm, Surroundings } from "../../surroundings.ts"

export interface QueuedCommand {
  /** Encoded when the command is first proposed. */
  payload: Payload | null
  readonly bytes: number
  /** How many of its proposals may have taken effect, or still may. 0: it was certainly not executed. */
  attempts: number
  settled: boolean
}

export interface ProposalQueueTimes extends Pick<Surroundings, "now" | "after"> {
  /** If there is no answer for this long, proposals count as lost. Doubled as long as that does not help. */
  readonly stallMs: number
  /** Pause before proposing again after a refusal or a loss: it doubles from the first value to the last. */
  readonly backoffMs: readonly [number, number]
}
export interface ProposalQueueOptions<T extends QueuedCommand> extends ProposalQueueTimes {
  readonly propose: (payloads: readonly Payload[], done: (outcome: ProposalOutcome) => void) => void
  readonly wake: () => void
  readonly encode: (item: T) => Payload
  /** Whether to propose now: there is a leader, and a session if one is needed. */
  readonly ready: () => boolean
  /** The index of the item was executed, but it has no answer. Settling it here prevents another proposal. */
  readonly passed?: (item: T, index: number, term: Term) => void
  readonly refused?: (reason: ProposalRefusal, items: readonly T[]) => void
}

interface Chunk<T> {
  readonly items: readonly T[]
  readonly epoch: number
  /** How many times everything was renumbered: outcomes of older proposals do not apply to the present items. */
  readonly numbering: number
  /** Set once the proposal is appended. */
  first: number
  term: Term
}

/** The window: the limit of commands and bytes that may be unanswered; it always admits one command. */
const WINDOW_ITEMS = 16_384
const WINDOW_BYTES = 16 << 20
/** The limits of one proposal. */
const CHUNK_ITEMS = 1024
const CHUNK_BYTES = 1 << 20

export class ProposalQueue<T extends QueuedCommand> {
  private readonly options: ProposalQueueOptions<T>
  private items: T[] = []
  /** items[first] is the oldest unanswered; items[next] is proposed next; items[fresh] has never been proposed. */
  private first = 0
  private next = 0
  private fresh = 0
  private inflightBytes = 0
  private epoch = 0
  private numbering = 0
  private appended: Chunk<T>[] = []
  private applied = 0
  /** Something was answered since the last `tick`. */
  private progressed = false
  private progressAt = 0
  private stalls = 0
  private backoff = 0
  private resumeAt = 0
  private timer: Alarm | null = null
  private leader: DriverLeadership | null = null
  /** Proposes one command at a time, to find the one that is refused as too large. */
  private single = false
  bytes = 0
  resends = 0
  lastRefusal: ProposalRefusal | null = null

  constructor(options: ProposalQueueOptions<T>) {
    this.options = options
    this.backoff = options.backoffMs[0]
  }

  get length(): number {
    return this.items.length - this.first
  }
  /** The number of items that have been proposed since the last `renumber`. */
  get sent(): number {
    return this.fresh - this.first
  }
  get oldest(): T | undefined {
    return this.items[this.first]
  }
  /** The n-th oldest item. */
  at(n: number): T | undefined {
    return n < 0 ? undefined : this.items[this.first + n]
  }
  /** Oldest first, including items that are already answered but are behind an unanswered one. */
  list(from = 0, to = this.length): readonly T[] {
    return this.items.slice(this.first + from, this.first + to)
  }

  push(item: T): void {
    this.items.push(item)
    this.bytes += item.bytes
    this.options.wake()
  }

  /** Marks the item as answered. */
  settle(item: T): void {
    if (item.settled) return
    item.settled = true
    this.bytes -= item.bytes
    this.progressed = true
    this.single = false
    this.backoff = this.options.backoffMs[0]
    for (let oldest = this.items[this.first]; oldest?.settled === true; oldest = this.items[this.first]) {
      if (this.first < this.next) this.inflightBytes -= oldest.bytes
      this.first++
    }
    this.next = Math.max(this.next, this.first)
    this.fresh = Math.max(this.fresh, this.first)
    this.compact()
  }

  /** Proposes what is due. Called once per turn. */
  pump(): void {
    if (this.next >= this.items.length || !this.options.ready() || this.options.now() < this.resumeAt) return
    while (this.next < this.items.length) {
      const chunk = this.nextChunk()
      if (chunk.length === 0) return
      this.proposeChunk(chunk)
    }
  }

  /** Proposes everything unanswered again, after `delay`. */
  rewind(delay: number): void {
    this.epoch++
    this.next = this.first
    this.inflightBytes = 0
    this.progressAt = this.options.now()
    this.resumeAt = this.progressAt + delay
    if (this.sent > 0) this.resends++
    this.wakeAfter(delay)
  }

  /** Nothing that was proposed can take effect any more: treat all items as if they had just arrived. */
  renumber(): void {
    for (let i = this.first; i < this.fresh; i++) {
      const item = this.items[i]
      if (item === undefined) continue
      item.payload = null
      item.attempts = 0
    }
    this.fresh = this.first
    this.numbering++
    this.appended = []
    this.rewind(0)
  }

  /** There is another leader, or a new term of the same one: uncommitted entries may be lost. */
  changed(now: DriverLeadership): void {
    if (now.leader === null) return
    const before = this.leader
    this.leader = now
    if (before !== null && before.term === now.term && before.leader?.name === now.leader.name) return
    this.backoff = this.options.backoffMs[0]
    if (this.next > this.first || this.resumeAt > this.options.now()) this.rewind(0)
    else if (this.length > 0) this.options.wake()
  }

  /** Every result through `index` was delivered: an unanswered item that was appended before it was lost. */
  appliedThrough(index: number): void {
    this.applied = index
    if (this.appended.length === 0) return
    const through = this.appended.filter((chunk) => chunk.first + chunk.items.length - 1 <= index)
    if (through.length === 0) return
    this.appended = this.appended.filter((chunk) => chunk.first + chunk.items.length - 1 > index)
    for (const chunk of through) this.afterApply(chunk)
  }

  /** Called regularly, to check timeouts. */
  tick(): void {
    if (this.progressed) {
      this.progressed = false
      this.progressAt = this.options.now()
      this.stalls = 0
    }
    if (
      this.next === this.first ||
      this.options.now() - this.progressAt < this.options.stallMs * 2 ** Math.min(this.stalls, 3)
    )
      return
    this.stalls++
    this.rewind(0)
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = null
    this.resumeAt = Number.POSITIVE_INFINITY
  }

  private nextChunk(): T[] {
    const chunk: T[] = []
    let bytes = 0
    const most = this.single ? 1 : CHUNK_ITEMS
    while (this.next < this.items.length && chunk.length < most) {
      const item = this.items[this.next]
      if (item === undefined) break
      const windowFull = this.next - this.first >= WINDOW_ITEMS || this.inflightBytes + item.bytes > WINDOW_BYTES
      if (windowFull && this.next > this.first) break
      if (bytes + item.bytes > CHUNK_BYTES && chunk.length > 0) break
      this.next++
      this.inflightBytes += item.bytes
      if (item.settled) continue
      bytes += item.bytes
      chunk.push(item)
    }
    return chunk
  }

  private proposeChunk(items: readonly T[]): void {
    const chunk: Chunk<T> = { items, epoch: this.epoch, numbering: this.numbering, first: 0, term: 0 }
    if (this.fresh === this.first) this.progressAt = this.options.now()
    this.fresh = Math.max(this.fresh, this.next)
    const payloads: Payload[] = []
    for (const item of items) {
      item.attempts++
      item.payload ??= this.options.encode(item)
      payloads.push(item.payload)
    }
    this.options.propose(payloads, (outcome) => this.told(chunk, outcome))
  }

  private told(chunk: Chunk<T>, outcome: ProposalOutcome): void {
    if (chunk.numbering !== this.numbering) return
    switch (outcome.type) {
      case "ProposalAppended":
        chunk.first = outcome.first
        chunk.term = outcome.term
        this.lastRefusal = null
        if (chunk.first + chunk.items.length - 1 <= this.applied) this.afterApply(chunk)
        else this.appended.push(chunk)
        return
      case "ProposalRefused":
        for (const item of chunk.items) item.attempts--
        if (chunk.epoch !== this.epoch) return
        this.lastRefusal = outcome.reason
        if (outcome.reason === "tooLarge") this.single = true
        this.options.refused?.(outcome.reason, chunk.items)
        if (chunk.epoch === this.epoch) this.rewindLater()
        return
      case "ProposalUnknown":
        if (chunk.epoch === this.epoch) this.rewindLater()
    }
  }

  private afterApply(chunk: Chunk<T>): void {
    let lost = false
    chunk.items.forEach((item, i) => {
      if (!item.settled) this.options.passed?.(item, chunk.first + i, chunk.term)
      lost ||= !item.settled
    })
    if (lost && chunk.epoch === this.epoch) this.rewindLater()
  }

  private rewindLater(): void {
    const [, longest] = this.options.backoffMs
    const delay = this.backoff
    this.backoff = Math.min(longest, this.backoff * 2)
    this.rewind(delay)
  }
  private wakeAfter(delay: number): void {
    this.timer?.cancel()
    this.timer = null
    if (delay <= 0) this.options.wake()
    else
      this.timer = this.options.after(delay + 1, () => {
        this.timer = null
        this.options.wake()
      })
  }
  /** Answered items at the front are dropped in batches, not one by one. */
  private compact(): void {
    if (this.first < 1024 || this.first * 2 < this.items.length) return
    this.items.splice(0, this.first)
    this.next -= this.first
    this.fresh -= this.first
    this.first = 0
  }
}
