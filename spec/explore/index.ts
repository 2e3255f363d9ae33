/** Exhaustive search of the shipped reducer within stated bounds. */
export { explore, type Explored, type ExploreOptions, type SearchProgress } from "./search/search.ts"
export type { Counterexample, ExploredStep } from "./steps.ts"
export { toScenario, toScript, type Converted } from "./scenario.ts"
export { spaces, type Bounds, type Space, type SpaceMachine } from "./space.ts"
export { type ServerAction, type ServerState, type ExploredViolation } from "./server.ts"
export { describeSteps, replay, type ReplayFrame, type ReplayedSteps } from "./replay.ts"
