/** What must be true: specifications and checks. */
export * from "./linearizability/index.ts"
export {
  invariants,
  InvariantViolated,
  makeInvariantChecker,
  sweep,
  type Invariant,
  type InvariantChecker,
  type SweptState,
  type ObservedStep,
} from "./invariants/index.ts"
export * from "./scripts/index.ts"
export * from "./machines/index.ts"
export { makeRefinementChecker, RefinementViolated, type RefinementChecker } from "./refine.ts"
export {
  describeSteps,
  explore,
  replay,
  spaces,
  toScenario,
  type Converted,
  type Counterexample,
  type Explored,
  type ExploreOptions,
  type Space,
  type ExploredStep,
} from "./explore/index.ts"
