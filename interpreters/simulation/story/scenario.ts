/**
 * A script as a file that a person can read and change: a header, then one action per line (interpreters/debugger reads
 * it).
 */
import type { Action, Script } from "../state/types.ts"

/** Incremented when earlier files can no longer be read. */
export const TRACE_FORMAT = 1
/** Incremented when the same inputs give another world: then hashes in earlier files prove nothing. */
export const TRACE_CORE = 2

export interface TraceHash {
  /** The number of steps taken so far. */
  readonly i: number
  readonly hash: number
}
export interface TraceViolation {
  readonly name: string
  /** The step at which the violation showed. */
  readonly at: number
  /** The text of the violation. */
  readonly message?: string
  /** The file alone cannot reproduce the violation: that takes a state machine, a check or clients of a program. */
  readonly own?: boolean
  /**
   * The violation showed at the end of the world: the actions from this one on healed all faults, and progress was
   * demanded.
   */
  readonly mended?: number
}
export interface ScenarioEnd {
  readonly hash?: TraceHash
  readonly violation?: TraceViolation | null
}

export const foundersOf = ({ nodes = 3 }: Script["options"]): readonly string[] =>
  typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => `n${i + 1}`) : nodes

/**
 * Bytes, which only `inject` carries, become base64. A Buffer has already replaced itself by something else (toJSON):
 * the original value counts.
 */
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
