/** Measures how long the event loop hangs: everything else of the node waits for it. */
import { performance } from "node:perf_hooks"

export interface StallWatch {
  readonly stop: () => void
}

const EVERY = 100
/** Lateness below this is ordinary work. */
const STALL = 100

/** `stalled` is told the length of each stall, in milliseconds. */
export const watchStalls = (stalled: (millis: number) => void): StallWatch => {
  let expected = performance.now() + EVERY
  const timer = setInterval(() => {
    const at = performance.now()
    if (at - expected >= STALL) stalled(at - expected)
    expected = at + EVERY
  }, EVERY)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}
