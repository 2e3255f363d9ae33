/** Reads that take several turns (KEYS, a long MGET) run a few at a time: each takes a slice of every turn, and memory. */
const atOnce = 2

export class LongReads {
  private running = 0
  private readonly waiting: (() => void)[] = []

  /** Calls `begin` now, or when it is its turn. It must call `end` once. */
  enter(begin: () => void): void {
    if (this.running >= atOnce) {
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
    return this.running >= atOnce
  }
  end(): void {
    this.running--
    const next = this.full ? undefined : this.waiting.shift()
    if (next === undefined) return
    this.running++
    next()
  }
}
