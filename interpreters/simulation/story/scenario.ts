/** A script as a file that a person can read and change: a header, then one action a line (interpreters/debugger reads it). */
import type { Action, Script } from "../state/types.ts"

/** Grows when files of before cannot be read any more. */
export const TRACE_FORMAT = 1
/** Grows when a world made of the same inputs comes out otherwise: then hashes of before say nothing. */
export const TRACE_CORE = 2

export interface TraceHash {
  /** Steps taken so far. */
  readonly i: number
  readonly hash: number
}
export interface TraceViolation {
  readonly name: string
  /** The step at which it showed. */
  readonly at: number
  /** What was told of it. */
  readonly message?: string
  /** The file does not hold all that it takes to see it: a state machine, a check or clients of a program. */
  readonly own?: boolean
  /** It showed at the end of the world: the actions from this one on mended it, and asked for progress. */
  readonly mended?: number
}
export interface ScenarioEnd {
  readonly hash?: TraceHash
  readonly violation?: TraceViolation | null
}

export const foundersOf = ({ nodes = 3 }: Script["options"]): readonly string[] =>
  typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => `n${i + 1}`) : nodes

/** Bytes, which only `inject` carries, as base64. A Buffer has turned itself into something else already: what counts is what stood there. */
function bytesAsText(this: Readonly<Record<string, unknown>>, key: string, part: unknown): unknown {
  const raw = this[key]
  return raw instanceof Uint8Array
    ? { $bytes: btoa(Array.from(raw, (byte) => String.fromCharCode(byte)).join("")) }
    : part
}

export const headerLine = ({ seed, options }: Pick<Script, "seed" | "options">): string =>
  JSON.stringify({ v: TRACE_FORMAT, seed, core: TRACE_CORE, config: options, nodes: foundersOf(options) })
export const actionLine = (action: Action): string => JSON.stringify({ action }, bytesAsText)
export const hashLine = ({ i, hash }: TraceHash): string => JSON.stringify({ i, hash })
export const violationLine = ({ name, ...rest }: TraceViolation): string => JSON.stringify({ violates: name, ...rest })

export const scenarioText = (script: Script, { hash, violation }: ScenarioEnd = {}): string =>
  [
    headerLine(script),
    ...script.actions.map(actionLine),
    ...(hash === undefined ? [] : [hashLine(hash)]),
    ...(violation === undefined || violation === null ? [] : [violationLine(violation)]),
    "",
  ].join("\n")
