/**
 * Copies of core states, for the immutable face: the reducer runs in place on a copy, and what came out equal is taken
 * from the state before, so that worlds of a long history share nearly all they hold. (Under immer the same step took
 * some twenty times as long.)
 */
import type { State } from "../../core/index.ts"

/** What is neither record nor list (a log, bytes) is a value: it is shared. */
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const copyPlain = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(copyPlain)
  if (!isRecord(value)) return value
  const copy = { ...value }
  for (const key in copy) {
    const part = copy[key]
    if (typeof part === "object" && part !== null) copy[key] = copyPlain(part)
  }
  return copy
}

/** Settings, names and configurations never change: they are shared at once. */
export const copyCore = (core: State): State => ({
  ...core,
  role: copyPlain(core.role) as State["role"],
  configurations: core.configurations.slice(),
  durability: copyPlain(core.durability) as State["durability"],
  clock: { ...core.clock },
  confirmedReads: core.confirmedReads.slice(),
  forwarded: copyPlain(core.forwarded) as State["forwarded"],
})

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
