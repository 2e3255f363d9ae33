/** Reads that take several turns (KEYS, a long MGET) run a few at a time: each takes a slice of every turn, and memory. */
const atOnce = 2

export class LongReads {
  private readonly later: (begin: () => void) => void
  private running = 0
  private readonly waiting: (() => void)[] = []

  /** `later` calls once the event loop has gone round. */
  constructor(later: (begin: () => void) => void = setImmediate) {
    this.later = later
  }

  /** Calls `begin` now, or when it is its turn. `end` is due once for each. */
  enter(begin: () => void): void {
    if (this.full) {
      this.waiting.push(begin)
      return
    }
    this.running++
    begin()
  }
  /** A read that turns out to be long has begun already. */
  join(): void {
    this.running++
  }
  get full(): boolean {
    return this.running >= atOnce || this.waiting.length > 0
  }
  end(): void {
    this.running--
    // Not at once: short ones of many clients would run on one behind the other, and nobody else would.
    if (this.waiting.length > 0) this.later(this.admit)
  }

  private readonly admit = (): void => {
    if (this.running >= atOnce) return
    const next = this.waiting.shift()
    if (next === undefined) return
    this.running++
    next()
  }
}
