/** What must be true. */
export { invariants, InvariantViolated, makeInvariantChecker, type Invariant, type ObservedStep } from "./invariants.ts"
