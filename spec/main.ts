/** `import … from "stepraft/spec"`: what must be true, as checks of a step, of a world, of a history, of all interleavings. */
// Each step.
export { invariants, InvariantViolated, makeInvariantChecker, type Invariant, type InvariantChecker, type ObservedStep } from "./invariants/index.ts"
export { makeRefinementChecker, RefinementViolated, type RefinementChecker } from "./refine.ts"
// Random worlds as scripts: made, checked, shrunk, saved.
export {
  asLived, checkerOf, checkScript, crashPoints, generateScript, isProfile, profileNames, PropertyViolated, saveFailure, saveStory, shrinkScript, tellStory,
  type CrashPoint, type CrashPoints, type GenerateOptions, type Lived, type Profile, type Saved, type SaveOptions, type ScriptChecks, type ScriptFailed, type ScriptPassed, type ScriptVerdict, type ShrinkOptions,
} from "./scripts/index.ts"
// What clients saw.
export {
  BadHistory, checkHistory, describeRequest, detectFormat, drawHtml, drawSvg, explainInWords, formats, impossible, kv, makeHistory, operationsOf, readHistory, register, startingAt, verdictInWords, writeHistory,
  type CheckOptions, type Explanation, type Format, type HistoryEvent, type Linearization, type Model, type OpenOperation, type Operation, type OperationOptions, type Process, type Recorder, type RequestModel, type Verdict,
} from "./linearizability/index.ts"
// Every interleaving within bounds.
export { describeSteps, explore, replay, spaces, toScenario, type Converted, type Counterexample, type Explored, type ExploreOptions, type Space } from "./explore/index.ts"
// Your own state machine under all of it.
export { machineChecks, MachineNotDeterministic, machineSpace, type ExecutedStep, type MachineSpaceOptions, type MachineUnderTest, type StateInvariant } from "./machines/index.ts"
