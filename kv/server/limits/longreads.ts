/**
 * Reads that take long: KEYS, a long MGET, a value of megabytes. They run a few at a time, and one begins each time the
 * loop goes round, whoever asks: each takes milliseconds, and memory, and small reads do not stand in line with them.
 */
const atOnce = 2

export class LongReads {
  private readonly later: (begin: () => void) => void
  private running = 0
  /** One has, since the loop went round. */
  private begun = false
  private readonly waiting: (() => void)[] = []

  /** `later` calls once the event loop has gone round. */
  constructor(later: (begin: () => void) => void = setImmediate) {
    this.later = later
  }

  /** Calls `begin` now, or when it is its turn. `end` is due once for each. */
  enter(begin: () => void): void {
    if (this.full) this.waiting.push(begin)
    else this.begin(begin)
  }
  /** A read that turns out to be long has begun already. */
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
