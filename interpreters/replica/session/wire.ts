/** The parts of a service on their driver: each turn, each change of leadership, each batch executed, each tick reaches all of them. */
import type { Leadership } from "../../driver/index.ts"
import type { ReplicaParts } from "./parts.ts"

export interface Part {
  /** A turn begins: now is the time to propose. */
  readonly pump?: () => void
  readonly changed?: (now: Leadership) => void
  readonly appliedThrough?: (index: number) => void
  readonly tick?: () => void
  readonly stop?: () => void
}

/** In the order of `parts`. Returns how to stop them. */
export const wire = (
  { driver, settings, every }: Pick<ReplicaParts<never>, "driver" | "settings" | "every">,
  parts: readonly Part[],
): (() => void) => {
  driver.beforeTurn(() => {
    for (const part of parts) part.pump?.()
  })
  driver.onChange((now) => {
    for (const part of parts) part.changed?.(now)
  })
  driver.onApplied((index) => {
    for (const part of parts) part.appliedThrough?.(index)
  })
  const timer = every(settings.tickMs, () => {
    for (const part of parts) part.tick?.()
  })
  return () => {
    timer.cancel()
    for (const part of parts) part.stop?.()
  }
}
