/**
 * Structural sharing for the immutable interface: the reducer runs in place on a copy (copyState), and parts that come out
 * equal are taken from the state before, so that the worlds of a long history share nearly everything.
 */
import type { State } from "../../../core/index.ts"

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** `after`, with every part that equals its counterpart in `before` replaced by that. Changes neither. */
const shared = (before: unknown, after: unknown): unknown => {
  if (before === after || typeof after !== "object" || after === null) return after
  if (Array.isArray(after)) {
    if (!Array.isArray(before)) return after
    let same = before.length === after.length
    let out: unknown[] = after
    for (let i = 0; i < after.length; i++) {
      const old: unknown = before[i]
      const part = shared(old, after[i])
      if (part !== old) same = false
      if (part === after[i]) continue
      if (out === after) out = after.slice()
      out[i] = part
    }
    return same ? before : out
  }
  if (!isRecord(after) || !isRecord(before)) return after
  let same = true
  let out = after
  for (const key in after) {
    const old = before[key]
    const part = shared(old, after[key])
    if (part !== old) same = false
    if (part === after[key]) continue
    if (out === after) out = { ...after }
    out[key] = part
  }
  return same && Object.keys(before).length === Object.keys(after).length ? before : out
}

export const shareCore = (before: State, after: State): State => shared(before, after) as State
