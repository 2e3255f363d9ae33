/** Turns: long work gives way to the event loop every few milliseconds, and some work goes one at a time. */

/** Well below the 10 ms that a client may feel, for what runs between two looks at the clock comes on top. */
const SLICE_MS = 4
const LOOK_EVERY = 16

/** `due` is cheap enough to ask between any two records. */
export class Slices {
  private started = performance.now()
  private steps = 0
  private readonly rest: number
  /** `rest`: milliseconds to do nothing after each slice, for what has all the time in the world. */
  constructor(rest = 0) {
    this.rest = rest
  }
  due(): boolean {
    return ++this.steps % LOOK_EVERY === 0 && performance.now() - this.started > SLICE_MS
  }
  /** For steps that take long themselves. */
  overdue(): boolean {
    return performance.now() - this.started > SLICE_MS
  }
  async giveWay(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.rest > 0) setTimeout(resolve, this.rest)
      else setImmediate(resolve)
    })
    this.started = performance.now()
  }
}

/** One task at a time, in order; a failed one does not hold up the next. */
export class Lane {
  private tail: Promise<unknown> = Promise.resolve()
  run<A>(task: () => A | Promise<A>): Promise<A> {
    const done = this.tail.then(task)
    this.tail = done.catch(() => undefined)
    return done
  }
}
