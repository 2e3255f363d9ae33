/**
 * A copy of a state, for callers that run the reducer in place and keep the earlier state: the simulation and the
 * explorer. (The public `step` shares structure through immer; this copy takes a twentieth of its time.)
 */
import type { State } from "./types.ts"

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** Logs, bytes and members never change, so they are shared; records and arrays are copied. */
const copyOf = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(copyOf)
  if (!isRecord(value) || "incarnation" in value) return value
  const copy = { ...value }
  for (const key in copy) {
    const part = copy[key]
    if (typeof part === "object" && part !== null) copy[key] = copyOf(part)
  }
  return copy
}

export const copyState = (state: State): State => ({
  ...state,
  role: copyOf(state.role) as State["role"],
  configurations: state.configurations.slice(),
  durability: copyOf(state.durability) as State["durability"],
  clock: { ...state.clock },
  confirmedReads: state.confirmedReads.slice(),
  forwarded: copyOf(state.forwarded) as State["forwarded"],
})
