/** What must be true. */
export * from "./linearizability/index.ts"
export { invariants, InvariantViolated, makeInvariantChecker, type Invariant, type ObservedStep } from "./invariants.ts"
