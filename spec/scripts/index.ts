/** Random worlds as scripts: made from a seed, checked, shrunk, told. */
export { checkScript, PropertyViolated, sameFailureAs, spelledOut, type ScriptVerdict, type ScriptChecks, type ScriptFailed, type ScriptPassed, type StepChecker } from "./check.ts"
export { generateScript, type GenerateOptions } from "./generate.ts"
export { isProfile, profileNames, type Profile } from "./profiles.ts"
export { shrinkFailure, shrinkScript, sizeOf, type SameFailure, type ShrinkOptions } from "./shrink.ts"
