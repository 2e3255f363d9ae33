/** Where linearizable reads wait. All barriers of one turn share one read of the core; a refused read is tried again. */
import type { ReadRefusal, ReplicaParts } from "./parts.ts"
import type { Alarm } from "../../surroundings.ts"

interface Barrier<Answer> {
  readonly done: (refusal: Answer | null) => void
  readonly at: number
  settled: boolean
}

export class Barriers<Answer> {
  private readonly parts: ReplicaParts<Answer>
  /** Not asked yet, oldest first; and asked, by turn. */
  private waiting: Barrier<Answer>[] = []
  private readonly asked = new Set<readonly Barrier<Answer>[]>()
  private lastRefusal: ReadRefusal | null = null
  private resumeAt = 0
  private backoff: number
  private timer: Alarm | null = null
  private stopped = false
  private outstanding = 0

  constructor(parts: ReplicaParts<Answer>) {
    this.parts = parts
    this.backoff = parts.settings.backoffMs[0]
  }

  add(done: (refusal: Answer | null) => void): void {
    const { settings, driver, now, soon, refusals } = this.parts
    const refuse = (answer: Answer): void => soon(() => done(answer))
    if (this.stopped) return refuse(refusals.stopping)
    if (this.outstanding >= settings.maxWaiting) return refuse(refusals.notRead("busy"))
    this.outstanding++
    this.waiting.push({ done, at: now(), settled: false })
    driver.wake()
  }

  private answer(barrier: Barrier<Answer>, refusal: Answer | null): void {
    if (barrier.settled) return
    barrier.settled = true
    this.outstanding--
    barrier.done(refusal)
  }

  pump(): void {
    if (this.waiting.length === 0) return
    const { driver, settings, now } = this.parts
    if (driver.leadership().leader === null || now() < this.resumeAt) return
    const group = this.waiting
    this.waiting = []
    this.asked.add(group)
    driver.read((outcome) => {
      if (!this.asked.delete(group)) return
      if (outcome.type === "ReadReady") {
        this.backoff = settings.backoffMs[0]
        this.lastRefusal = null
        for (const barrier of group) this.answer(barrier, null)
      } else this.refused(group, outcome.reason)
    })
  }

  private refused(group: readonly Barrier<Answer>[], reason: ReadRefusal): void {
    const { settings, now, after, driver, count } = this.parts
    if (this.stopped) return
    count("service.readsRetried")
    this.lastRefusal = reason
    this.waiting = [...group.filter((barrier) => !barrier.settled), ...this.waiting]
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
    const late = (barrier: Barrier<Answer>): boolean => barrier.at <= since
    const refusal = (): Answer => refusals.notRead(driver.leadership().leader === null ? null : this.lastRefusal)
    const first = this.waiting[0]
    if (first !== undefined && late(first)) {
      for (const barrier of this.waiting) if (late(barrier)) this.answer(barrier, refusal())
      this.waiting = this.waiting.filter((barrier) => !barrier.settled)
    }
    for (const group of this.asked) {
      for (const barrier of group) if (late(barrier)) this.answer(barrier, refusal())
      if (group.every((barrier) => barrier.settled)) this.asked.delete(group)
    }
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    for (const barrier of [...this.waiting, ...Array.from(this.asked).flat()])
      this.answer(barrier, this.parts.refusals.stopping)
    this.waiting = []
    this.asked.clear()
  }
}
