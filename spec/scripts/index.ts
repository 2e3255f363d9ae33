/** Random worlds as scripts: made from a seed, checked, shrunk, told. */
export { checkScript, PropertyViolated, sameFailureAs, spelledOut, type Companions, type ScriptVerdict, type ScriptChecks, type ScriptFailed, type ScriptPassed, type StepChecker } from "./check.ts"
export { crashFates, crashPoints, type CrashFate, type CrashPoint, type CrashPoints } from "./crashes.ts"
export { generateScript, type GenerateOptions } from "./generate.ts"
export { isProfile, profileNames, type Profile } from "./profiles.ts"
export { shrinkFailure, shrinkScript, simplerScripts, sizeOf, type SameFailure, type ShrinkOptions } from "./shrink.ts"
export { actionLine, foundersOf, hashLine, headerLine, scenarioText, TRACE_CORE, TRACE_FORMAT, violationLine, type ScenarioEnd, type TraceHash, type TraceViolation } from "./scenario.ts"
export { hexOf } from "./progress.ts"
