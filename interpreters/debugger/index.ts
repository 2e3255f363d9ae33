/** Traces: what a node was fed, as text that replays. */
export { decodeEffect, decodeEvent, decodeState, encodeEffect, encodeEvent, encodeState, TraceUnreadable, type PayloadMode } from "./trace.ts"
