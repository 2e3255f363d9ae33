/**
 * Events, effects and states as JSON text, and back. A trace holds inputs only: one header line, then one line per
 * event; effects and states are recomputed, and a state hash now and then shows where a replay diverges.
 *
 * Payload bytes are written as base64, or left out (length and checksum stay) if they are private or large.
 */
import { TIMERS, type Action, type ActionType, type Keep } from "../simulation/index.ts"
import {
  Log,
  type Effect,
  type Entry,
  type Event,
  type EventType,
  type EffectType,
  type LogBase,
  type State,
} from "../../core/index.ts"
import {
  delay,
  either,
  field,
  isRecord,
  list,
  name,
  network,
  NEVER,
  oneOf,
  optional,
  record,
  runLength,
  abridged,
  snapshots,
  TraceUnreadable,
  whole,
  type Fields,
} from "./fields.ts"

export type PayloadMode = "bytes" | "length"

const stringify = (value: Event | Effect | State | Action, payloads: PayloadMode): string =>
  JSON.stringify(value, function (this: unknown, key: string, part: unknown): unknown {
    // A Buffer has already replaced itself by something else (toJSON): look at the original value.
    const raw = isRecord(this) ? this[key] : part
    if (raw instanceof Uint8Array)
      return payloads === "bytes"
        ? { $bytes: Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString("base64") }
        : { $length: raw.length }
    if (raw instanceof Log) return { $log: { base: raw.base, entries: raw.toArray() } }
    return part
  })

const MB = 1024 * 1024
/** Of one payload: no world takes a larger one. */
const MOST_BYTES = 64 * MB

/** Payloads that were left out are read as zeros, all from the same memory: many of them must not take more than one. */
let zero = new Uint8Array(0)
const zeros = (length: number): Uint8Array => {
  if (length > zero.length) zero = new Uint8Array(length)
  return zero.subarray(0, length)
}

const revive = (_: string, part: unknown): unknown => {
  if (!isRecord(part)) return part
  if (typeof part["$bytes"] === "string") return new Uint8Array(Buffer.from(part["$bytes"], "base64"))
  const length = part["$length"]
  if (typeof length === "number") {
    if (!(length >= 0 && length <= MOST_BYTES && Number.isInteger(length)))
      throw new TraceUnreadable(`$length must be a whole number from 0 to ${MOST_BYTES}, not ${length}`)
    return zeros(length)
  }
  const log = part["$log"]
  return isRecord(log) ? Log.of(log["base"] as LogBase, log["entries"] as readonly Entry[]) : part
}

const parse = (text: string, what: string): Record<string, unknown> => {
  let value: unknown
  try {
    value = JSON.parse(text, revive)
  } catch (error) {
    throw new TraceUnreadable(
      `this is not ${what} but ${JSON.stringify(text.slice(0, 60))}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
  if (!isRecord(value)) throw new TraceUnreadable(`${what} is an object, not ${text.slice(0, 60)}`)
  return value
}

const EVENTS: Readonly<Record<EventType, true>> = {
  Started: true,
  MessageReceived: true,
  Proposed: true,
  ReadRequested: true,
  Persisted: true,
  Applied: true,
  TimerExpired: true,
  ClockAdvanced: true,
  PeerConnected: true,
  PeerDisconnected: true,
  SnapshotTaken: true,
  SnapshotTakeFailed: true,
  SnapshotOpened: true,
  SnapshotOpenFailed: true,
  ChunkStored: true,
  SnapshotRejected: true,
  SnapshotRestored: true,
  MachineDamaged: true,
  SpaceChanged: true,
  TransferRequested: true,
  ConfigurationChangeProposed: true,
}
const EFFECTS: Readonly<Record<EffectType, true>> = {
  Send: true,
  Persist: true,
  Apply: true,
  Respond: true,
  SetTimer: true,
  CancelTimer: true,
  TakeSnapshot: true,
  OpenSnapshot: true,
  CloseSnapshot: true,
  StoreChunk: true,
  RestoreSnapshot: true,
  Halt: true,
  Note: true,
}

const isEvent = (value: Record<string, unknown>): value is Record<string, unknown> & Event =>
  typeof value["type"] === "string" && Object.hasOwn(EVENTS, value["type"])
const isEffect = (value: Record<string, unknown>): value is Record<string, unknown> & Effect =>
  typeof value["type"] === "string" && Object.hasOwn(EFFECTS, value["type"])
const unknown = (what: string, value: Record<string, unknown>): TraceUnreadable =>
  new TraceUnreadable(`${what} of type ${abridged(value["type"])} is not known to this version`)

export const encodeEvent = (event: Event, payloads: PayloadMode = "bytes"): string => stringify(event, payloads)
export const decodeEvent = (text: string): Event => {
  const value = parse(text, "an event")
  if (!isEvent(value)) throw unknown("an event", value)
  return value
}
export const encodeEffect = (effect: Effect, payloads: PayloadMode = "bytes"): string => stringify(effect, payloads)
export const decodeEffect = (text: string): Effect => {
  const value = parse(text, "an effect")
  if (!isEffect(value)) throw unknown("an effect", value)
  return value
}

export const encodeState = (state: State, payloads: PayloadMode = "bytes"): string => stringify(state, payloads)
export const decodeState = (text: string): State => {
  const value = parse(text, "a state")
  if (!(value["log"] instanceof Log) || !isRecord(value["role"]))
    throw new TraceUnreadable("a state has a log and a role; this one has not")
  return value as unknown as State
}

export const KEEPS: readonly Keep[] = ["random", "all", "none", "torn", "corrupt"]

const node = { node: name }
const link = { from: name, to: name }
const message = { message: name }
const speed = { node: name, min: delay, max: delay }
const payload = record({
  hex: field("bytes in hex", (value) => typeof value === "string" && /^(?:[0-9a-f]{2})*$/i.test(value)),
  checksum: whole(0),
})

type ActionFields = { readonly [Type in ActionType]: Fields<Omit<Extract<Action, { type: Type }>, "type">> }
const ACTIONS: ActionFields = {
  run: { ms: runLength },
  step: { count: whole(0, 1_000_000) },
  propose: {
    node: name,
    id: whole(0),
    bytes: optional(whole(0, MOST_BYTES)),
    count: optional(whole(1, 100_000)),
    payloads: optional(list(payload)),
  },
  read: node,
  change: { node: name, voters: list(name), learners: list(name) },
  addLearners: { node: name, names: list(name) },
  transfer: {
    node: name,
    to: either(
      (value) => value === null,
      () => {},
      name,
    ),
  },
  start: node,
  crash: { node: name, keep: optional(oneOf(KEEPS)) },
  pause: node,
  resume: node,
  skew: {
    node: name,
    offset: whole(-NEVER, NEVER),
    driftPermille: whole(-NEVER, NEVER),
    wallDriftPermille: optional(whole(-NEVER, NEVER)),
  },
  wipe: node,
  add: { name },
  copyDirectory: node,
  swapDirectory: node,
  cutLog: { node: name, entries: whole(1) },
  disk: speed,
  stallDisk: node,
  resumeDisk: node,
  failWrite: node,
  failSync: node,
  fullDisk: node,
  freeDisk: node,
  corruptDisk: node,
  damage: node,
  apply: speed,
  snapshots: { profile: snapshots },
  cut: link,
  join: link,
  isolate: node,
  reconnect: node,
  partition: { side: list(name) },
  heal: {},
  network: { profile: network },
  clog: { ...link, ms: delay },
  reset: { a: name, b: name },
  deliver: message,
  drop: message,
  duplicate: message,
  fire: { node: name, timer: oneOf(TIMERS) },
  persist: node,
  inject: { node: name, event: field("an event", (value) => isRecord(value) && isEvent(value)) },
}
const isActionType = (type: unknown): type is ActionType => typeof type === "string" && Object.hasOwn(ACTIONS, type)
const isAction = (value: Record<string, unknown>): value is Record<string, unknown> & Action => {
  const { type, ...rest } = value
  if (!isActionType(type)) return false
  record(ACTIONS[type])(rest, type)
  return true
}

export const encodeAction = (action: Action, payloads: PayloadMode = "bytes"): string => stringify(action, payloads)
/** Throws TraceUnreadable if a field is missing, unknown or of the wrong kind. */
export const decodeAction = (text: string): Action => {
  const value = parse(text, "an action")
  if (!isAction(value)) throw unknown("an action", value)
  return value
}
