/** Latencies in buckets that grow with the value (32 to a doubling: within 3 %), so that recording allocates nothing. */
const perDoubling = 32
const doublings = 27 // up to about two minutes in microseconds
const size = perDoubling * doublings

export interface LatencyHistogram {
  readonly record: (micros: number, times: number) => void
  readonly count: () => number
  /** Milliseconds below which `share` (0 … 1) of the values lie. */
  readonly quantile: (share: number) => number
  readonly max: () => number
  readonly mean: () => number
}

const bucketOf = (micros: number): number => {
  const value = Math.max(1, Math.floor(micros))
  const doubling = 31 - Math.clz32(value)
  if (doubling < 5) return value // exact below 32
  return Math.min(size - 1, (doubling - 4) * perDoubling + ((value >> (doubling - 5)) & (perDoubling - 1)))
}
/** The upper edge of a bucket, in microseconds. */
const edgeOf = (bucket: number): number => {
  if (bucket < perDoubling) return bucket
  const doubling = Math.floor(bucket / perDoubling) + 4
  return (perDoubling + (bucket % perDoubling) + 1) * 2 ** (doubling - 5)
}

export const makeLatencyHistogram = (): LatencyHistogram => {
  const counts = new Float64Array(size)
  let total = 0
  let sum = 0
  let most = 0
  return {
    record: (micros, times) => {
      const bucket = bucketOf(micros)
      counts[bucket] = (counts[bucket] ?? 0) + times
      total += times
      sum += micros * times
      if (micros > most) most = micros
    },
    count: () => total,
    quantile: (share) => {
      const wanted = Math.ceil(total * share)
      let seen = 0
      for (let bucket = 0; bucket < size; bucket++) {
        seen += counts[bucket] ?? 0
        if (seen >= wanted && seen > 0) return Math.min(edgeOf(bucket), most) / 1_000
      }
      return most / 1_000
    },
    max: () => most / 1_000,
    mean: () => (total === 0 ? 0 : sum / total / 1_000),
  }
}
