/** The two clocks of a node, as the core is told them with every batch (core/clock.ts says what comes of them). */
import type { Millis, Stamp } from "../../core/index.ts"

export interface Readings {
  /** Whole milliseconds since the clock was made; never falls. */
  readonly monotonic: Millis
  /** Since the epoch; 0 if it shows a time that no stamp can. */
  readonly wall: Stamp
}
export interface Clock {
  readonly read: () => Readings
}
export interface ClockOptions {
  readonly wall?: () => number
  readonly monotonic?: () => number
  /** Told once for every jump of the wall clock: positive is forward. */
  readonly onJump?: (millis: Millis) => void
}

/** Below this a difference is drift or the granularity of two clocks, not somebody's hand. */
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
