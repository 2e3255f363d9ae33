/** Random worlds as scripts: made from a seed, checked, shrunk, and saved. */
export {
  withMending,
  checkScript,
  hasOwnChecks,
  sameFailureAs,
  withMendingSpelledOut,
  type WorldClients,
  type MendedScript,
  type ScriptVerdict,
  type ScriptChecks,
  type ScriptFailed,
  type SameFailure,
  type ScriptPassed,
  type StepChecker,
} from "./check.ts"
export { crashFates, crashPoints, type CrashFate, type CrashPoint, type CrashPoints } from "./crashes.ts"
export { generateScript, type GenerateOptions } from "./generate/generate.ts"
export { isProfile, profileNames, type Profile } from "./generate/profiles.ts"
export { shrinkFailure, shrinkScript, simplerScripts, sizeOf, type ShrinkOptions } from "./shrink/shrink.ts"
export {
  debugCommandLine,
  saveFailure,
  saveStory,
  tellStory,
  type OwnModules,
  type SavedFailure,
  type SaveOptions,
} from "./save.ts"
export { checkerOf } from "./checker.ts"
export { PropertyViolated, watchWorld, type WatchOptions, type WorldWatch } from "./watch.ts"
