/**
 * The source of the replicated clock: wall time made monotonic. It advances with the monotonic clock and leans
 * towards the wall clock by at most a tenth, so it never falls and never leaps: when somebody sets the wall clock
 * (or the machine was suspended, which stops the monotonic clock), keys do not expire all at once. The difference
 * is reported and made up for slowly.
 */
import { performance } from "node:perf_hooks"
import type { Millis, Stamp } from "../core/index.ts"

export interface Clock {
  readonly now: () => Stamp
  /** Wall clock minus this clock, as of the last `now`: what is still to be made up for. */
  readonly offset: () => Millis
}
export interface ClockOptions {
  readonly wall?: () => number
  readonly monotonic?: () => number
  /** Told once for every jump of the wall clock: positive is forward. */
  readonly onJump?: (millis: Millis) => void
}

/** How fast the clock may lean towards the wall clock: a tenth of the time that passes. */
const SLEW = 0.1
/** Below this a difference is drift or the granularity of two clocks, not somebody's hand. */
const JUMP = 1000

export const makeClock = (options: ClockOptions = {}): Clock => {
  const wall = options.wall ?? Date.now
  const monotonic = options.monotonic ?? (() => performance.now())
  let value = wall()
  let seen = monotonic()
  let offset = 0

  return {
    now: () => {
      const at = monotonic()
      const elapsed = Math.max(0, at - seen)
      seen = at
      const ahead = wall() - (value + elapsed)
      if (Math.abs(ahead - offset) >= JUMP) options.onJump?.(Math.round(ahead - offset))
      const most = elapsed * SLEW
      const lean = Math.max(-most, Math.min(most, ahead))
      value += elapsed + lean
      offset = ahead - lean
      return Math.floor(value)
    },
    offset: () => offset,
  }
}
