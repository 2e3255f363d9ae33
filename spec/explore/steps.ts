/** A history that the explorer examined, and one that breaks a rule. */
import type { ExploredViolation, ServerAction } from "./server.ts"

/** One step of a history: what happened to which server. */
export interface ExploredStep {
  readonly server: string
  readonly action: ServerAction
}
export interface Counterexample extends ExploredViolation {
  readonly steps: readonly ExploredStep[]
}
