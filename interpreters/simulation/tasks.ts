/** Clients in virtual time: generators that yield how long they sleep (ms), or what they wait for. */

/** Milliseconds; or until something holds, looked at whenever anything happened, at most `limit` milliseconds. */
export type Wait = number | { readonly until: () => boolean; readonly limit: number }
export type Work<T> = Generator<Wait, T, void>

export interface Task<T> {
  readonly done: boolean
  /** Throws what the work threw; only once done. */
  readonly result: () => T
}

class Running<T> implements Task<T> {
  done = false
  wakeAt: number
  until: (() => boolean) | null = null
  private outcome: { readonly value: T } | { readonly error: unknown } | null = null
  private readonly work: Work<T>
  constructor(work: Work<T>, now: number) {
    this.work = work
    this.wakeAt = now
  }
  ready(now: number): boolean {
    return this.wakeAt <= now || this.until?.() === true
  }
  advance(now: number): void {
    try {
      const next = this.work.next()
      if (next.done === true) this.finish({ value: next.value })
      else {
        const wait = next.value
        this.until = typeof wait === "number" ? null : wait.until
        this.wakeAt = now + (typeof wait === "number" ? wait : wait.limit)
      }
    } catch (error) {
      this.finish({ error })
    }
  }
  private finish(outcome: { readonly value: T } | { readonly error: unknown }): void {
    this.outcome = outcome
    this.done = true
  }
  result(): T {
    if (this.outcome === null) throw new Error("the task is not done")
    if ("error" in this.outcome) throw this.outcome.error
    return this.outcome.value
  }
}

export class Tasks {
  private running: Running<unknown>[] = []

  add<T>(work: Work<T>, now: number): Task<T> {
    const task = new Running(work, now)
    this.running.push(task)
    return task
  }
  /** Everybody whose time has come goes on, in the order of their starting, until all wait. */
  advance(now: number): void {
    for (let busy = true; busy; ) {
      busy = false
      for (const task of this.running) {
        if (task.done || !task.ready(now)) continue
        task.advance(now)
        busy = true
      }
      this.running = this.running.filter(({ done }) => !done)
    }
  }
  /** When somebody wakes at the latest; what they wait for can come true before. */
  wakes(): number {
    return this.running.reduce((next, { wakeAt }) => Math.min(next, wakeAt), Number.POSITIVE_INFINITY)
  }
  /** Somebody waits for something to hold. */
  watches(): boolean {
    return this.running.some(({ until }) => until !== null)
  }
}
