/** Traces, and stepping through them: the session without any user interface, and the user interface in a terminal. */
export {
  decodeAction,
  decodeEffect,
  decodeEvent,
  decodeState,
  encodeAction,
  encodeEffect,
  encodeEvent,
  encodeState,
  type PayloadMode,
} from "./trace.ts"
export { TraceUnreadable } from "./fields.ts"
export { replayTrace, type ReplayResult } from "./replay.ts"
export {
  openSession,
  type Branch,
  type SessionFrame,
  type LostMessage,
  type Predicate,
  type DebugSession,
  type Happened,
  type DebugSessionOptions,
  type RecordedViolation,
  type Violation,
} from "./session.ts"
export { command, type CommandAnswer } from "./commands.ts"
export { predicateOf } from "./predicates.ts"
export { differencesOf, type WorldDifference } from "./diff.ts"
export { actionText, effectText, eventText, messageText, rulesOf, stepText } from "./words.ts"
export { clusterText, frameText, invariantsText, messagesText, nodeText } from "./view.ts"
export { runLines, runPiped, runTerminal, type Face, type TerminalFace } from "./terminal.ts"
export { readTrace, readTraceFile, stepLines, writeScenario, type Trace, type TraceStep } from "./file.ts"
