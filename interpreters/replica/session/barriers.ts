/**
 * Where linearizable reads wait. All reads that come before the next turn of the event loop share one barrier: the turn
 * begins after the sockets have been polled, so after all of those reads have arrived. A barrier opens when the core
 * has answered a ReadRequested for it; one ReadRequested serves all barriers that wait for it. A read that the core
 * refuses is tried again.
 */
import type { ReadRefusal, ReplicaParts } from "./parts.ts"
import type { Alarm } from "../../surroundings.ts"

export interface Barrier<Answer> {
  /** Reads that come from now on need another barrier. */
  readonly begun: boolean
  readonly open: boolean
  /** Set once the barrier is open: why the read cannot be served here. */
  readonly refusal: Answer | null
}
type Opened<Answer> = (refusal: Answer | null) => void

interface Waiting<Answer> extends Barrier<Answer> {
  /** In the order in which they came. */
  readonly number: number
  begun: boolean
  open: boolean
  refusal: Answer | null
  readonly at: number
  readonly opened: Opened<Answer>[]
}

const inOrder = <A>(barriers: readonly Waiting<A>[]): Waiting<A>[] =>
  barriers.toSorted((one, other) => one.number - other.number)

/** A barrier that opens `soon`, with a refusal. */
export const refusedBarrier = <Answer>(
  refusal: Answer,
  soon: (run: () => void) => void,
  opened: Opened<Answer>,
): Barrier<Answer> => {
  const barrier = { begun: true, open: false, refusal }
  soon(() => {
    barrier.open = true
    opened(refusal)
  })
  return barrier
}

export class Barriers<Answer> {
  private readonly parts: ReplicaParts<Answer>
  /** Barriers for which the core has not been asked yet, oldest first. Only the last one may still be joined. */
  private waiting: Waiting<Answer>[] = []
  /** The barriers that each outstanding ReadRequested serves. */
  private readonly asked = new Set<readonly Waiting<Answer>[]>()
  private lastRefusal: ReadRefusal | null = null
  private resumeAt = 0
  private backoff: number
  private timer: Alarm | null = null
  private stopped = false
  private nextNumber = 1
  /** The number of reads that wait. */
  private outstanding = 0

  constructor(parts: ReplicaParts<Answer>) {
    this.parts = parts
    this.backoff = parts.settings.backoffMs[0]
  }

  /** The barrier of this turn. `opened` is called once it is open, never before this call has returned. */
  join(opened: Opened<Answer>): Barrier<Answer> {
    const { settings, driver, now, soon, refusals } = this.parts
    if (this.stopped) return refusedBarrier(refusals.stopping, soon, opened)
    if (this.outstanding >= settings.maxWaiting) return refusedBarrier(refusals.notRead("busy"), soon, opened)
    let barrier = this.waiting.at(-1)
    if (barrier === undefined || barrier.begun) {
      barrier = { number: this.nextNumber++, begun: false, open: false, refusal: null, at: now(), opened: [] }
      this.waiting.push(barrier)
      driver.wake()
    }
    this.outstanding++
    barrier.opened.push(opened)
    return barrier
  }

  private openWith(barrier: Waiting<Answer>, refusal: Answer | null): void {
    if (barrier.open) return
    barrier.begun = true
    barrier.open = true
    barrier.refusal = refusal
    this.outstanding -= barrier.opened.length
    for (const opened of barrier.opened) opened(refusal)
  }

  pump(): void {
    const { waiting } = this
    const last = waiting.at(-1)
    if (last === undefined) return
    last.begun = true
    const { driver, settings, now } = this.parts
    if (driver.leadership().leader === null || now() < this.resumeAt) return
    this.waiting = []
    this.asked.add(waiting)
    driver.read((outcome) => {
      if (!this.asked.has(waiting)) return
      if (outcome.type === "ReadReady") {
        this.backoff = settings.backoffMs[0]
        this.lastRefusal = null
        this.openThrough(last.number)
      } else this.refused(waiting, outcome.reason)
      this.asked.delete(waiting)
    })
  }

  /** What the core confirmed for one barrier holds for all that came before it, also for those that were refused once. */
  private openThrough(number: number): void {
    const all = [...this.asked].flat().concat(this.waiting)
    this.waiting = this.waiting.filter((barrier) => barrier.number > number)
    for (const barrier of inOrder(all)) if (barrier.number <= number) this.openWith(barrier, null)
  }

  private refused(group: readonly Waiting<Answer>[], reason: ReadRefusal): void {
    const { settings, now, after, driver, count } = this.parts
    if (this.stopped) return
    count("service.readsRetried")
    this.lastRefusal = reason
    // Of two groups that are refused, the earlier one may hear of it later.
    this.waiting = inOrder([...group.filter(({ open }) => !open), ...this.waiting])
    this.resumeAt = now() + this.backoff
    this.timer?.cancel()
    this.timer = after(this.backoff + 1, driver.wake)
    this.backoff = Math.min(settings.backoffMs[1], this.backoff * 2)
  }

  changed(): void {
    this.resumeAt = 0
    this.backoff = this.parts.settings.backoffMs[0]
    if (this.waiting.length > 0) this.parts.driver.wake()
  }

  tick(): void {
    const { settings, now, driver, refusals } = this.parts
    const since = now() - settings.readTimeout
    const late = ({ at }: Waiting<Answer>): boolean => at <= since
    const refusal = (): Answer => refusals.notRead(driver.leadership().leader === null ? null : this.lastRefusal)
    const first = this.waiting[0]
    if (first !== undefined && late(first)) {
      const over = this.waiting.filter(late)
      this.waiting = this.waiting.filter((barrier) => !late(barrier))
      for (const barrier of over) this.openWith(barrier, refusal())
    }
    for (const group of this.asked) {
      for (const barrier of group) if (late(barrier)) this.openWith(barrier, refusal())
      if (group.every(({ open }) => open)) this.asked.delete(group)
    }
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    const all = [...this.waiting, ...Array.from(this.asked).flat()]
    this.waiting = []
    this.asked.clear()
    for (const barrier of all) this.openWith(barrier, this.parts.refusals.stopping)
  }
}
