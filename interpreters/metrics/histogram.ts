/** Counts durations in buckets: fixed memory, and a few comparisons for each observation. */

/**
 * From half a millisecond to eight seconds, each twice the one before: enough to see both a fast disk and a hanging
 * one.
 */
export const SECONDS: readonly number[] = Array.from({ length: 15 }, (_, n) => 0.0005 * 2 ** n)

export class Histogram {
  readonly bounds: readonly number[] = SECONDS
  /** The count of each single bucket; the last one has no upper bound. */
  readonly counts: number[] = Array.from({ length: SECONDS.length + 1 }, () => 0)
  sum = 0
  count = 0

  observe(seconds: number): void {
    let at = 0
    while (at < this.bounds.length && seconds > (this.bounds[at] ?? Infinity)) at++
    this.counts[at] = (this.counts[at] ?? 0) + 1
    this.sum += seconds
    this.count++
  }
}
