/** Measures how long the event loop stalls: everything else in the node waits for it. */
import { inBackground } from "../turns.ts"

export interface StallWatch {
  readonly stop: () => void
}

/** How often the loop is polled; the delay of a poll is how late it comes. */
const EVERY = 20
const REPORT = 1000
/** A shorter delay is ordinary work. */
const STALL = 50

/** `stalled` is called with the longest stall of each second that had one, in milliseconds. */
export const watchStalls = (stalled: (millis: number) => void): StallWatch => {
  let last = performance.now()
  let longest = 0
  let told = last
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last - EVERY)
    last = now
    if (now - told < REPORT) return
    told = now
    if (longest >= STALL) stalled(longest)
    longest = 0
  }, EVERY)
  inBackground(timer)
  return { stop: () => clearInterval(timer) }
}
