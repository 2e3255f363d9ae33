/**
 * Connects the parts of a service with their driver: every part gets each turn, each change of leadership, each
 * executed batch and each tick.
 */
import type { DriverLeadership } from "../../driver/index.ts"
import type { ReplicaParts } from "./parts.ts"

export interface SessionPart {
  /** A turn begins: propose now. */
  readonly pump?: () => void
  readonly changed?: (now: DriverLeadership) => void
  readonly appliedThrough?: (index: number) => void
  readonly tick?: () => void
  readonly stop?: () => void
}

/** Calls them in the order of `parts`. Returns the function that stops this. */
export const connectParts = (
  { driver, settings, every }: Pick<ReplicaParts<never>, "driver" | "settings" | "every">,
  parts: readonly SessionPart[],
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
