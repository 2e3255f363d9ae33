/**
 * Measures a real cluster, ours or another. Each node is sent a small write every few milliseconds, whether or not
 * earlier ones are answered, so that no client's timeout is part of a measured time.
 */
import { until } from "../cluster.ts"

/** If the machine stood still for longer than this, the trial has measured the machine. */
export const STILL = 500
export interface Watchdog {
  /** The longest time since then in which this process, which only waits, was not scheduled. */
  readonly stoodStill: (since: number) => number
  readonly stop: () => void
}
export const watchMachine = (every = 50): Watchdog => {
  const pauses: { readonly at: number; readonly ms: number }[] = []
  let last = performance.now()
  const timer = setInterval(() => {
    const at = performance.now()
    if (at - last - every > STILL / 5) pauses.push({ at, ms: at - last - every })
    last = at
  }, every)
  return {
    stoodStill: (since) =>
      Math.max(performance.now() - last - every, ...pauses.filter(({ at }) => at >= since).map(({ ms }) => ms), 0),
    stop: () => clearInterval(timer),
  }
}
/** A trial during which the machine stood still is discarded and repeated, at most this many times. */
const AGAIN = 5
export const steadily = async <T>(
  watchdog: Watchdog,
  trial: () => Promise<T>,
  again: (still: number) => void,
): Promise<T> => {
  for (let nth = 0; ; nth++) {
    const since = performance.now()
    const result = await trial().then(
      (value) => ({ value, error: null }),
      (error: unknown) => ({ value: null, error }),
    )
    const still = watchdog.stoodStill(since)
    if (still <= STILL && result.value !== null) return result.value
    // The machine did not stand still, so this is a real failure.
    if (result.error !== null && (still <= STILL || nth >= AGAIN)) throw result.error
    if (nth >= AGAIN)
      throw new Error(`the machine stood still in each of ${nth + 1} trials, for ${Math.round(still)} ms in the last`)
    again(still)
  }
}

/** A connection for writes. Rejects, or returns false, unless the write is acknowledged. */
export interface Door {
  readonly write: (number: number) => Promise<boolean>
  readonly close: () => void
}
export interface Load {
  /** Milliseconds from `since` (performance.now) to the first acknowledgement of a write that was sent after it. */
  readonly next: (since: number) => Promise<number>
  /** The longest time without an acknowledgement since then. */
  readonly gap: (since: number) => number
  readonly stop: () => void
}

const EVERY = 20
/** The most outstanding writes of one connection; while there are that many, none is sent. */
const MOST = 200

/** `open`: null while the node is down. */
export const startLoad = (nodes: readonly string[], open: (node: string) => Promise<Door | null>): Load => {
  const acknowledged: { readonly sent: number; readonly at: number }[] = []
  const stops: (() => void)[] = []
  let number = 0
  nodes.forEach((node, i) => {
    let door: Door | null = null
    let opening = false
    let under = 0
    const send = async (through: Door): Promise<void> => {
      const sent = performance.now()
      under++
      try {
        if (await through.write(number++)) acknowledged.push({ sent, at: performance.now() })
      } catch {
        // Whatever the error was: the node is tried again, over a new connection.
        if (door === through) {
          through.close()
          door = null
        }
      } finally {
        under--
      }
    }
    const reopen = async (): Promise<void> => {
      opening = true
      door = await open(node).catch(() => null)
      opening = false
    }
    const turn = (): void => {
      if (door === null && !opening) void reopen()
      if (door !== null && under < MOST) void send(door)
    }
    let timer: NodeJS.Timeout = setTimeout(
      () => {
        timer = setInterval(turn, EVERY)
      },
      (i * EVERY) / nodes.length,
    )
    stops.push(() => {
      clearInterval(timer)
      door?.close()
      door = null
    })
  })
  return {
    next: async (since) => {
      const first = await until("a write is acknowledged", () => {
        const late = acknowledged.slice(acknowledged.findLastIndex(({ at }) => at < since) + 1)
        return late.find(({ sent }) => sent >= since) ?? null
      })
      return first.at - since
    },
    gap: (since) => {
      const times = [since, ...acknowledged.filter(({ at }) => at >= since).map(({ at }) => at), performance.now()]
      return Math.max(...times.slice(1).map((time, i) => time - (times[i] ?? time)))
    },
    stop: () => stops.forEach((stop) => stop()),
  }
}
