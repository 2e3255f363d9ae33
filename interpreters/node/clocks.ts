/**
 * Reports a wall clock that is far from the cluster's time: once in the log, and in health and status for as long as
 * that is so.
 */
import { replicatedTime, type Millis, type State } from "../../core/index.ts"
import type { Driver } from "../driver/index.ts"
import type { Logger } from "../log.ts"

/**
 * A larger difference, seen in this many checks in a row, is reported; a smaller one may just be a machine whose NTP is
 * still adjusting.
 */
const FAR: Millis = 2000
const LOOKS = 3
const LOOK_MS = 1000

/** This node's wall clock minus the cluster's time; null: one of them is not known. */
export const clockOffset = (state: Readonly<State>): Millis | null =>
  state.clock.settled && state.clock.wall > 0 ? state.clock.wall - replicatedTime(state) : null
/** The same for a peer, from what it last told its leader; null on servers that do not lead. */
export const peerClockOffset = (state: Readonly<State>, name: string): Millis | null => {
  const progress = state.role.type === "leader" ? state.role.progress[name] : undefined
  return !state.clock.settled || progress === undefined || progress.wallOffset === null
    ? null
    : Math.round(progress.wallOffset + state.clock.monotonic - replicatedTime(state))
}

const text = (millis: Millis): string => {
  const seconds = Math.abs(millis) / 1000
  if (seconds < 300) return `${Math.round(seconds)} s`
  if (seconds < 172_800) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 86_400)} days`
}
export const clockText = (name: string, offset: Millis): string =>
  `the clock of ${name} is ${text(offset)} ${offset > 0 ? "ahead of" : "behind"} the cluster's time, which a majority of the clocks determines. Set the clock of the machine of ${name}, and keep it set by NTP`

export interface ClockWatch {
  /** The offset if it has been too large for some time; otherwise null. */
  readonly far: () => Millis | null
  readonly stop: () => void
}
export const watchClock = (driver: Pick<Driver, "state">, name: string, log: Logger): ClockWatch => {
  let seen = 0
  let far: Millis | null = null
  const look = (): void => {
    const offset = clockOffset(driver.state())
    if (offset === null) return
    seen = Math.abs(offset) > FAR ? seen + 1 : 0
    if (seen === 0 && far !== null)
      log("info", `the clock of ${name} is right again: ${offset} ms from the cluster's time`)
    else if (seen >= LOOKS && far === null) log("warn", clockText(name, offset))
    far = seen >= LOOKS || (seen > 0 && far !== null) ? offset : null
  }
  const timer = setInterval(look, LOOK_MS)
  return { far: () => far, stop: () => clearInterval(timer) }
}
