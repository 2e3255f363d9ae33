/**
 * Events, effects and states as JSON text, and back. A trace holds inputs only: one header line, then one line per
 * event; effects and states are recomputed, and a state hash now and then shows where a replay diverges.
 *
 * Payload bytes are written as base64, or left out (length and checksum stay) where they are private or large.
 */
import type { Action, ActionType } from "../simulation/index.ts"
import { Log, type Effect, type Entry, type Event, type EventType, type EffectType, type LogBase, type State } from "../../core/index.ts"

export class TraceUnreadable extends Error {
  override readonly name = "TraceUnreadable"
}

export type PayloadMode = "bytes" | "length"

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

const stringify = (value: Event | Effect | State | Action, payloads: PayloadMode): string =>
  JSON.stringify(value, function (this: unknown, key: string, part: unknown): unknown {
    // A Buffer has turned itself into something else already: look at what stood there.
    const raw = isRecord(this) ? this[key] : part
    if (raw instanceof Uint8Array) return payloads === "bytes" ? { $bytes: Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString("base64") } : { $length: raw.length }
    if (raw instanceof Log) return { $log: { base: raw.base, entries: raw.toArray() } }
    return part
  })

const revive = (_: string, part: unknown): unknown => {
  if (!isRecord(part)) return part
  if (typeof part["$bytes"] === "string") return new Uint8Array(Buffer.from(part["$bytes"], "base64"))
  if (typeof part["$length"] === "number") return new Uint8Array(part["$length"])
  const log = part["$log"]
  return isRecord(log) ? Log.of(log["base"] as LogBase, log["entries"] as readonly Entry[]) : part
}

const parse = (text: string, what: string): Record<string, unknown> => {
  let value: unknown
  try {
    value = JSON.parse(text, revive)
  } catch (error) {
    throw new TraceUnreadable(`this is not ${what} but ${text.slice(0, 60)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  if (!isRecord(value)) throw new TraceUnreadable(`${what} is an object, not ${text.slice(0, 60)}`)
  return value
}

const EVENTS: Readonly<Record<EventType, true>> = {
  Started: true, MessageReceived: true, Proposed: true, ReadRequested: true, Persisted: true, Applied: true, TimerExpired: true, ClockAdvanced: true,
  PeerConnected: true, PeerDisconnected: true, SnapshotTaken: true, SnapshotTakeFailed: true, SnapshotOpened: true, SnapshotOpenFailed: true,
  ChunkStored: true, SnapshotRejected: true, SnapshotRestored: true, MachineDamaged: true, SpaceChanged: true, TransferRequested: true, ConfigurationChangeProposed: true,
}
const EFFECTS: Readonly<Record<EffectType, true>> = {
  Send: true, Persist: true, Apply: true, Respond: true, SetTimer: true, CancelTimer: true, TakeSnapshot: true, OpenSnapshot: true,
  CloseSnapshot: true, StoreChunk: true, RestoreSnapshot: true, Note: true,
}

const isEvent = (value: Record<string, unknown>): value is Record<string, unknown> & Event => typeof value["type"] === "string" && value["type"] in EVENTS
const isEffect = (value: Record<string, unknown>): value is Record<string, unknown> & Effect => typeof value["type"] === "string" && value["type"] in EFFECTS
const unknown = (what: string, value: Record<string, unknown>): TraceUnreadable =>
  new TraceUnreadable(`${what} of type ${String(value["type"])} is not known to this version`)

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
  if (!(value["log"] instanceof Log) || !isRecord(value["role"])) throw new TraceUnreadable("a state has a log and a role; this has not")
  return value as unknown as State
}

const ACTIONS: Readonly<Record<ActionType, true>> = {
  run: true, step: true, propose: true, read: true, change: true, admit: true, transfer: true, start: true, crash: true, pause: true, resume: true, skew: true, wipe: true, add: true,
  disk: true, stallDisk: true, resumeDisk: true, failWrite: true, failSync: true, fullDisk: true, freeDisk: true, flipBit: true, damage: true, apply: true, snapshots: true,
  cut: true, join: true, isolate: true, reconnect: true, partition: true, heal: true, network: true, clog: true, reset: true,
  deliver: true, drop: true, duplicate: true, fire: true, persist: true, inject: true,
}
const isAction = (value: Record<string, unknown>): value is Record<string, unknown> & Action => typeof value["type"] === "string" && Object.hasOwn(ACTIONS, value["type"])

export const encodeAction = (action: Action, payloads: PayloadMode = "bytes"): string => stringify(action, payloads)
export const decodeAction = (text: string): Action => {
  const value = parse(text, "an action")
  if (!isAction(value)) throw unknown("an action", value)
  return value
}
