/** The interface for checks of a world, the errors that they throw, and the names of violations. */
import type { Recovered } from "../../core/index.ts"
import type { ExecutedBatch } from "./server/machine.ts"
import type { Action, WorldState, WorldStep } from "./state/types.ts"

/** Called with every step, the recovered state at each start, each action and each execution; throws to report a violation. */
export type Checker = ((step: WorldStep) => void) & {
  /** What it checks at every step, by name. */
  readonly invariants?: readonly string[]
  /** `world`: null while it is being made. */
  readonly started?: (node: string, recovered: Recovered, wentBack: boolean, world: WorldState | null) => void
  readonly acted?: (world: WorldState, action: Action) => void
  readonly executed?: (executed: ExecutedBatch) => void
}

/** An error that names the violated rule: an invariant or another property. */
export interface Violates extends Error {
  readonly violates: string
}
const isViolation = (error: Error): error is Violates => "violates" in error && typeof error.violates === "string"

/** The violated rule; for other errors their own name. */
export const violationName = (error: unknown): string =>
  error instanceof Error ? (isViolation(error) ? error.violates : error.name) : "Thrown"
