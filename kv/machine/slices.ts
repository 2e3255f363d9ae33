/** Long work gives way to other work of the event loop every few milliseconds, and some tasks run one at a time. */

/** Well below the 10 ms that a client may notice, because the work between two readings of the clock comes on top. */
const SLICE_MS = 4
const LOOK_EVERY = 16

/** `due` is cheap enough to be called between any two records. */
export class Slices {
  private started = performance.now()
  private steps = 0
  private readonly rest: number
  /** `rest`: milliseconds of pause after each slice, for work that is not urgent. */
  constructor(rest = 0) {
    this.rest = rest
  }
  due(): boolean {
    return ++this.steps % LOOK_EVERY === 0 && performance.now() - this.started > SLICE_MS
  }
  /** Checks the clock at once: for steps that take long themselves. */
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

/** Runs one task at a time, in order; a failed one does not block the next. */
export class SerialTasks {
  private tail: Promise<unknown> = Promise.resolve()
  run<A>(task: () => A | Promise<A>): Promise<A> {
    const done = this.tail.then(task)
    this.tail = done.catch(() => undefined)
    return done
  }
}
