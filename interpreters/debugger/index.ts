/** Traces, and stepping through them: a session apart from its faces, and the face for a terminal. */
export { decodeAction, decodeEffect, decodeEvent, decodeState, encodeAction, encodeEffect, encodeEvent, encodeState, TraceUnreadable, type PayloadMode } from "./trace.ts"
export { openSession, type Branch, type Frame, type Lost, type Predicate, type Session, type SessionOptions, type Violation } from "./session.ts"
export { command, predicateOf, type Answer } from "./commands.ts"
export { changes, type Change } from "./diff.ts"
export { actionText, effectText, eventText, messageText, rulesOf, stepText } from "./words.ts"
export { clusterText, frameText, invariantsText, messagesText, nodeText } from "./view.ts"
export { runLines, runPiped, runTerminal, type Face } from "./terminal.ts"
export { actionLine, hashLine, headerLine, readTrace, readTraceFile, scenarioText, stepLines, violationLine, writeScenario, type Trace, type TraceHash, type TraceStep, type TraceViolation } from "./file.ts"
