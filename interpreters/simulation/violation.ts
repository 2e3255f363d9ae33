/** What checks a world, what it throws, and by which name that is told. */
import type { Recovered } from "../../core/index.ts"
import type { Executed } from "./server/machine.ts"
import type { Action, WorldState, WorldStep } from "./state/types.ts"

/** Sees every step, what each life begins with, what is done and what is executed; throws to tell of a violation. */
export type Checker = ((step: WorldStep) => void) & {
  /** What it checks at every step, by name. */
  readonly invariants?: readonly string[]
  /** `world`: null while it is being made. */
  readonly started?: (node: string, recovered: Recovered, wentBack: boolean, world: WorldState | null) => void
  readonly acted?: (world: WorldState, action: Action) => void
  readonly executed?: (executed: Executed) => void
}

/** An error that says which rule does not hold: an invariant or another property, by its name. */
export interface Violates extends Error {
  readonly violates: string
}
const isViolation = (error: Error): error is Violates => "violates" in error && typeof error.violates === "string"

/** The rule that does not hold; of any other error its own name. */
export const violationName = (error: unknown): string => (error instanceof Error ? (isViolation(error) ? error.violates : error.name) : "Thrown")
