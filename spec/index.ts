/** What must be true. */
export { functions, makeHistory, type F, type HistoryEvent, type OpenOperation, type Process, type Recorder, type Request, type Synonym, type Value } from "./linearizability/index.ts"
export { invariants, InvariantViolated, makeInvariantChecker, type Invariant, type ObservedStep } from "./invariants.ts"
