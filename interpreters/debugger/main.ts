/**
 * `import … from "stepraft/interpreters/debugger"`: stepping through a world, and the texts that a user interface shows
 * (Node).
 */
export {
  openSession,
  type Branch,
  type SessionFrame,
  type Predicate,
  type DebugSession,
  type DebugSessionOptions,
  type Violation,
} from "./session.ts"
export { command, type CommandAnswer } from "./commands.ts"
export { predicateOf } from "./predicates.ts"
export { clusterText, frameText, invariantsText, messagesText, nodeText } from "./view.ts"
export { stepText } from "./words.ts"
export { runLines, runPiped, runTerminal, type Face, type TerminalFace } from "./terminal.ts"
// Traces as files.
export { readTrace, readTraceFile, writeScenario, type Trace, type TraceStep } from "./file.ts"
export { replayTrace, type ReplayResult } from "./replay.ts"
export { TraceUnreadable } from "./fields.ts"
