/** The two clocks of a node, reported to the core with every batch (core/clock.ts uses them). */
import type { Millis, Stamp } from "../../core/index.ts"

export interface Readings {
  /** Whole milliseconds since this clock was made; never decreases. */
  readonly monotonic: Millis
  /** Milliseconds since the epoch; 0 if the time is outside the range of stamps. */
  readonly wall: Stamp
}
export interface Clock {
  readonly read: () => Readings
}
export interface ClockOptions {
  readonly wall?: () => number
  readonly monotonic?: () => number
  /** Called once for every jump of the wall clock; positive is forward. */
  readonly onJump?: (millis: Millis) => void
}

/** A smaller difference is drift or clock granularity, not a clock that was set. */
const JUMP = 1000
const MOST = 2 ** 48 - 1

export const makeClock = (options: ClockOptions = {}): Clock => {
  const now = options.monotonic ?? (() => performance.now())
  const wallNow = options.wall ?? Date.now
  const start = now()
  let monotonic = 0
  let offset = wallNow() - start
  return {
    read: () => {
      const at = now()
      const shown = wallNow()
      monotonic = Math.max(monotonic, Math.floor(at - start))
      const jump = shown - at - offset
      offset = shown - at
      if (Math.abs(jump) >= JUMP) options.onJump?.(Math.round(jump))
      return { monotonic, wall: shown > 0 && shown <= MOST ? Math.floor(shown) : 0 }
    },
  }
}
