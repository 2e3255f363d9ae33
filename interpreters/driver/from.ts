/** The driver of a server, made from what its start finds: the stored log and the position of the state machine. */
import { initialState, inPlace, type LogBase, type Member, type Settings } from "../../core/index.ts"
import type { Storage } from "../contract.ts"
import { makeClock, type Clock } from "./clock.ts"
import { makeDriver, type Driver, type DriverOptions } from "./driver.ts"
import { makeTimers } from "./timers.ts"

export interface StartOptions extends Omit<DriverOptions, "runner" | "storage" | "timers" | "clock"> {
  readonly self: Member
  readonly settings: Settings
  readonly storage: Storage
  /** The position of the state machine; null: it must be rebuilt from a peer. */
  readonly position: LogBase | null
  readonly random: () => number
  readonly timers?: DriverOptions["timers"]
  readonly clock?: Clock
}

export const driverFrom = ({ self, settings, position, random, ...options }: StartOptions): Driver => {
  const { hardState, base, entries } = options.storage.stored
  return makeDriver({
    ...options,
    runner: inPlace(
      initialState(settings, { self, bootId: Math.floor(random() * 2 ** 32), hardState, base, entries, position }),
    ),
    timers: options.timers ?? makeTimers({ random }),
    clock:
      options.clock ??
      makeClock({
        onJump: (millis) =>
          options.report?.(
            `the wall clock was moved ${millis > 0 ? "forward" : "back"} by ${Math.abs(millis)} ms (or the machine slept): the cluster's time is not affected`,
          ),
      }),
  })
}

/**
 * The founding configuration is not an entry, so a state machine that has executed no configuration entry does not know
 * it.
 */
export const positionOf = (position: LogBase | null, base: LogBase): LogBase | null =>
  position === null || position.configuration.voters.length > 0
    ? position
    : { ...position, configuration: base.configuration }
