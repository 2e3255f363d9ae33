/**
 * A person may have written or changed the file by hand, so it is checked field by field: a world trusts its options
 * and actions.
 */
import { defaultSettings } from "../../core/index.ts"
import {
  MOST_NODES,
  networks,
  type NetworkProfile,
  type SnapshotProfile,
  type WorldOptions,
} from "../simulation/index.ts"

export class TraceUnreadable extends Error {
  override readonly name = "TraceUnreadable"
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

/** The beginning of a value. Bytes are shown by their length: those that were left out take no room in the file. */
export const abridged = (value: unknown): string =>
  value === undefined
    ? "left out"
    : JSON.stringify(value, (_, part: unknown) => (part instanceof Uint8Array ? `${part.length} bytes` : part)).slice(
        0,
        60,
      )

/** Throws TraceUnreadable, which names the path and what is expected there. */
export type Field = (value: unknown, path: string) => void
/** One row for each field, so that a new field without a row does not compile. */
export type Fields<T> = Readonly<Record<keyof T, Field>>

export const field =
  (what: string, holds: (value: unknown) => boolean): Field =>
  (value, path) => {
    if (!holds(value)) throw new TraceUnreadable(`${path} must be ${what}, not ${abridged(value)}`)
  }
export const optional =
  (inner: Field): Field =>
  (value, path) => {
    if (value !== undefined) inner(value, path)
  }
const object = field("an object", isRecord)
export const record =
  (fields: Readonly<Record<string, Field>>): Field =>
  (value, path) => {
    object(value, path)
    if (!isRecord(value)) return
    for (const key of Object.keys(value))
      if (!Object.hasOwn(fields, key))
        throw new TraceUnreadable(`${path} has no field ${key}; it has ${Object.keys(fields).join(", ")}`)
    for (const [key, inner] of Object.entries(fields)) inner(value[key], `${path}.${key}`)
  }
export const list =
  (inner: Field, least = 0): Field =>
  (value, path) => {
    field(
      least === 0 ? "a list" : "a list that is not empty",
      (items) => Array.isArray(items) && items.length >= least,
    )(value, path)
    if (Array.isArray(value)) value.forEach((item, i) => inner(item, `${path}[${i}]`))
  }
export const either =
  (chosen: (value: unknown) => boolean, one: Field, other: Field): Field =>
  (value, path) =>
    (chosen(value) ? one : other)(value, path)

export const whole = (least: number, most = Number.MAX_SAFE_INTEGER): Field =>
  field(
    most === Number.MAX_SAFE_INTEGER ? `a whole number, ${least} or more` : `a whole number from ${least} to ${most}`,
    (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most,
  )
export const oneOf = (words: readonly string[]): Field =>
  field(`one of ${words.join(", ")}`, (value) => typeof value === "string" && words.includes(value))
export const flag = field("true or false", (value) => typeof value === "boolean")
export const name = field("a name", (value) => typeof value === "string" && /^\S+$/.test(value))

/** More virtual time at once would keep a person waiting too long. */
export const LONGEST_RUN = 3_600_000
export const runLength = whole(0, LONGEST_RUN)
/** 30 years. In the explorer's worlds an action is delayed by this, so it happens only when the explorer chooses it. */
export const NEVER = 1e12
export const delay = whole(0, NEVER)
const permille = whole(0, 1000)

const networkFields: Fields<NetworkProfile> = {
  lossPermille: permille,
  duplicatePermille: permille,
  delayMin: delay,
  delayMax: delay,
  longDelayPermille: permille,
  longDelayMax: delay,
  longReordering: optional(flag),
  longDelays: optional(flag),
}
export const network = either((value) => typeof value === "string", oneOf(Object.keys(networks)), record(networkFields))

const snapshotFields: Fields<SnapshotProfile> = {
  chunksMin: optional(whole(1)),
  chunksMax: optional(whole(1)),
  takeFailPermille: optional(permille),
  openFailPermille: optional(permille),
  rejectPermille: optional(permille),
}
export const snapshots = record(snapshotFields)

// --------------------------------------------------------------------------------------- options of a world

const range = record({ min: delay, max: delay })
const names: Field = (value, path) => {
  list(name, 1)(value, path)
  field(
    `at most ${MOST_NODES} names, each of them once`,
    (items) => Array.isArray(items) && items.length <= MOST_NODES && new Set(items).size === items.length,
  )(value, path)
}
/** With 0 their timers would fire for ever without time advancing. */
const TIMES: readonly string[] = ["heartbeat", "electionMin", "electionMax"]
const settings = record(
  Object.fromEntries(
    Object.entries(defaultSettings).map(([key, value]) => [
      key,
      optional(typeof value === "boolean" ? flag : whole(TIMES.includes(key) ? 1 : 0)),
    ]),
  ),
)

const optionFields: Fields<Omit<WorldOptions, "seed">> = {
  nodes: optional(either(Array.isArray, names, whole(1, MOST_NODES))),
  settings: optional(settings),
  network: optional(network),
  disk: optional(range),
  apply: optional(range),
  snapshots: optional(snapshots),
  connections: optional(flag),
}
export const worldOptions = record(optionFields)
