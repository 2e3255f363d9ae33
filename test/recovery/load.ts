/**
 * What measures a real cluster, ours or another: each node is sent a small write every few milliseconds, whether those
 * before it are answered or not, so that a client's patience is no part of any time.
 */
import { until } from "../cluster.ts"

/** A machine that stood still for longer has measured itself. */
export const STILL = 500
export interface Watchdog {
  /** The longest time since then that this process, which only waits, was not let run. */
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
/** A trial while the machine stood still is thrown away and made again, so many times. */
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
    // What failed on a machine that ran has failed.
    if (result.error !== null && (still <= STILL || nth >= AGAIN)) throw result.error
    if (nth >= AGAIN)
      throw new Error(`the machine stood still in each of ${nth + 1} trials, for ${Math.round(still)} ms in the last`)
    again(still)
  }
}

/** A place to write to. Rejects, or answers false, unless the write is acknowledged. */
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
/** Writes of one door that are under way at once; while there are more, none is sent. */
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
        // Whatever it was: the node is asked again, by way of a new door.
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
