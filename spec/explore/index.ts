/** Exhaustive search of the shipped reducer within stated bounds. */
export {
  explore,
  type Counterexample,
  type Explored,
  type ExploreOptions,
  type SearchProgress,
  type ExploredStep,
} from "./search/search.ts"
export { toScenario, toScript, type Converted } from "./scenario.ts"
export { spaces, type Bounds, type Space, type SpaceMachine } from "./space.ts"
export { type ServerAction, type ServerState, type ExploredViolation } from "./server.ts"
export { describeSteps, replay, type ReplayFrame, type ReplayedSteps } from "./replay.ts"
