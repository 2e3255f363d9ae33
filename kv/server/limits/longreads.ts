/**
 * Reads that take long: KEYS, a long MGET, a value of megabytes. They run a few at a time for all clients together, and one
 * starts each time the event loop turns: each takes milliseconds and memory. Small reads do not wait behind them.
 */
const atOnce = 2

export class LongReads {
  private readonly later: (begin: () => void) => void
  private running = 0
  /** A long read has started since the event loop last turned. */
  private begun = false
  private readonly waiting: (() => void)[] = []

  /** `later` calls back once the event loop has turned. */
  constructor(later: (begin: () => void) => void = setImmediate) {
    this.later = later
  }

  /** Calls `begin` now or when its turn has come. `end` must be called once for each. */
  enter(begin: () => void): void {
    if (this.full) this.waiting.push(begin)
    else this.begin(begin)
  }
  /** Registers a read that turned out to be long after it had started. */
  join(): void {
    this.running++
  }
  get full(): boolean {
    return this.begun || this.running >= atOnce || this.waiting.length > 0
  }
  end(): void {
    this.running--
    this.next()
  }

  private begin(begin: () => void): void {
    this.running++
    this.begun = true
    this.later(this.round)
    begin()
  }
  private readonly round = (): void => {
    this.begun = false
    this.next()
  }
  private next(): void {
    if (this.begun || this.running >= atOnce) return
    const next = this.waiting.shift()
    if (next !== undefined) this.begin(next)
  }
}
