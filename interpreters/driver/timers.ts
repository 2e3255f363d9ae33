/**
 * The timers of one node on the monotonic clock. A timer is a lower bound: it can fire late, never early.
 *
 * A follower restarts its election timer with every heartbeat, so setting one is cheap: only its deadline is stored.
 * There is one real timeout. It stays as it is when a deadline is postponed; if it then fires too soon, it is set again for the
 * next deadline.
 */
import type { Timer } from "../../core/index.ts"
import type { Timers } from "../contract.ts"

export interface TimerOptions {
  /** Monotonic milliseconds. */
  readonly now?: () => number
  /** A number in [0, 1): the position of a deadline within [min, max]. */
  readonly random?: () => number
}

export const makeTimers = (options: TimerOptions = {}): Timers => {
  const now = options.now ?? (() => performance.now())
  const random = options.random ?? Math.random
  const deadlines = new Map<Timer, number>()
  let expired: (timer: Timer) => void = () => {}
  let real: ReturnType<typeof setTimeout> | null = null
  let realAt = Number.POSITIVE_INFINITY

  const arm = (deadline: number, at: number): void => {
    if (real !== null) clearTimeout(real)
    realAt = deadline
    real = setTimeout(fire, Math.max(1, Math.ceil(deadline - at)))
  }
  const fire = (): void => {
    real = null
    realAt = Number.POSITIVE_INFINITY
    const at = now()
    // `expired` may set timers, so it is called for a list that no longer changes.
    const due: Timer[] = []
    for (const [timer, deadline] of deadlines) if (deadline <= at) due.push(timer)
    for (const timer of due) deadlines.delete(timer)
    for (const timer of due) expired(timer)
    let earliest = Number.POSITIVE_INFINITY
    for (const deadline of deadlines.values()) if (deadline < earliest) earliest = deadline
    if (earliest < realAt) arm(earliest, at)
  }

  return {
    attach: (handler) => {
      expired = handler
    },
    set: (timer, min, max) => {
      const at = now()
      const deadline = at + min + random() * (max - min)
      deadlines.set(timer, deadline)
      if (deadline < realAt) arm(deadline, at)
    },
    cancel: (timer) => {
      deadlines.delete(timer)
      // The last timer was cancelled: a remaining timeout would only keep the process alive.
      if (deadlines.size === 0 && real !== null) {
        clearTimeout(real)
        real = null
        realAt = Number.POSITIVE_INFINITY
      }
    },
  }
}
