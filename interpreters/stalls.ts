/** Measures how long the event loop hangs: everything else of the node waits for it. */
import { monitorEventLoopDelay } from "node:perf_hooks"

export interface StallWatch {
  readonly stop: () => void
}

/** The loop is looked at this often; what lies between two looks is its delay, this much included. */
const EVERY = 20
const REPORT = 1000
/** A delay below this is ordinary work. */
const STALL = 50

/** `stalled` is told the longest stall of each second that had one, in milliseconds. */
export const watchStalls = (stalled: (millis: number) => void): StallWatch => {
  const delays = monitorEventLoopDelay({ resolution: EVERY })
  delays.enable()
  const timer = setInterval(() => {
    const longest = delays.max / 1e6 - EVERY
    delays.reset()
    if (longest >= STALL) stalled(longest)
  }, REPORT)
  timer.unref()
  return {
    stop: () => {
      clearInterval(timer)
      delays.disable()
    },
  }
}
