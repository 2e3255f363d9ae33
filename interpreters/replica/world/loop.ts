/**
 * The event loops of simulated processes, in the virtual time of one world: what they will run later, and in which
 * order. A sleeping process runs what was meant for it when it wakes up; what was meant for a process that has ended is
 * dropped.
 */
import { makeRandom, mix } from "../../simulation/index.ts"
import type { Alarm, Surroundings } from "../../surroundings.ts"

/** The owner of a loop: a node from one start to its end, or a client. */
export interface LoopProcess {
  readonly ended: () => boolean
  readonly asleep: () => boolean
}
/** Clients live as long as the world. */
export const client: LoopProcess = { ended: () => false, asleep: () => false }

interface Due {
  readonly at: number
  readonly process: LoopProcess
  readonly run: () => void
  cancelled: boolean
}

const HEX = "0123456789abcdef"

export class Loop {
  private readonly time: () => number
  /** What is due, latest first; at the same moment, what was planned first runs first. */
  private readonly later: Due[] = []
  private soon: Due[] = []
  /** What is due for processes that sleep. */
  private held: Due[] = []

  constructor(time: () => number) {
    this.time = time
  }

  get now(): number {
    return this.time()
  }
  /** The time when something is due next, or Infinity. */
  get next(): number {
    return this.later.at(-1)?.at ?? Number.POSITIVE_INFINITY
  }
  /** True if something can run before time advances. */
  get busy(): boolean {
    return (
      this.soon.length > 0 ||
      this.next <= this.time() ||
      (this.held.length > 0 && this.held.some(({ process }) => !process.asleep()))
    )
  }

  /** Runs it after at least this many milliseconds, rounded up. */
  after(process: LoopProcess, millis: number, run: () => void): Alarm {
    const at = this.time() + Math.max(0, Math.ceil(millis))
    const due: Due = { at, process, run, cancelled: false }
    const { later } = this
    let low = 0
    let high = later.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((later[middle]?.at ?? 0) > at) low = middle + 1
      else high = middle
    }
    if (low === later.length) later.push(due)
    else later.splice(low, 0, due)
    return this.alarm(due)
  }
  /** Runs it before time advances, after everything that is already waiting. */
  turn(process: LoopProcess, run: () => void): void {
    this.soon.push({ at: 0, process, run, cancelled: false })
  }
  private alarm(due: Due): Alarm {
    return {
      cancel: () => {
        due.cancelled = true
      },
    }
  }

  /** Runs everything that is due by now, and everything that this causes. */
  run(): void {
    if (this.held.length > 0) {
      const { held } = this
      this.held = []
      for (const due of held) this.call(due)
    }
    this.runSoon()
    for (const now = this.time(); this.next <= now; this.runSoon()) {
      const due = this.later.pop()
      if (due !== undefined) this.call(due)
    }
  }
  private runSoon(): void {
    while (this.soon.length > 0) {
      const { soon } = this
      this.soon = []
      for (const due of soon) this.call(due)
    }
  }
  private call(due: Due): void {
    const { process } = due
    if (due.cancelled || process.ended()) return
    if (process.asleep()) this.held.push(due)
    else due.run()
  }

  /** The surroundings of a process, for code that was written for a real one. */
  surroundings(process: LoopProcess, seed: number): Surroundings {
    const random = makeRandom(mix(seed, 0x10c5))
    return {
      now: this.time,
      after: (millis, run) => this.after(process, millis, run),
      every: (millis, run) => {
        let stopped = false
        const again = (): Alarm =>
          this.after(process, millis, () => {
            if (stopped) return
            alarm = again()
            run()
          })
        let alarm = again()
        return {
          cancel: () => {
            stopped = true
            alarm.cancel()
          },
        }
      },
      soon: (run) => this.turn(process, run),
      random: () => random.below(0x40000000) / 0x40000000,
      secret: (bytes) => Array.from({ length: 2 * bytes }, () => HEX[random.below(16)]).join(""),
    }
  }
}
