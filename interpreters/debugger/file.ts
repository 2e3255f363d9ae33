/**
 * Traces and scenarios as files: ndjson, inputs only, enough to run a world again.
 *
 *   {"v":1,"seed":7,"core":1,"config":{…options of the world…},"nodes":["n1","n2","n3"]}
 *   {"action":{"type":"run","ms":300}}                          what was done to the world
 *   {"i":4,"at":512,"node":"n2","event":{…},"cause":1}           what a node stepped on; lines of one i are one step
 *   {"i":256,"hash":305419896}                                  the world after 256 steps, following the action above
 *   {"violates":"ElectionSafety","at":301,"message":"…"}        and at which step it showed; "own":true if the file alone cannot reproduce it
 *
 * A scenario is a header and actions, with the hash and the violation at its end, if there is one.
 */
import { readFileSync, writeFileSync } from "node:fs"
import type { Event } from "../../core/index.ts"
import {
  foundersOf,
  scenarioText,
  TRACE_CORE,
  TRACE_FORMAT,
  type Action,
  type ScenarioEnd,
  type Script,
  type TraceHash,
  type TraceViolation,
  type WorldStep,
} from "../simulation/index.ts"
import { isRecord, TraceUnreadable, worldOptions } from "./fields.ts"
import { decodeAction, decodeEvent, encodeEvent, type PayloadMode } from "./trace.ts"

export interface TraceStep {
  readonly i: number
  readonly at: number
  readonly node: string
  readonly events: readonly Event[]
  readonly cause: number
}
export interface Trace {
  readonly script: Script
  readonly nodes: readonly string[]
  /** The trace was written by this version of the core, so hashes must agree. */
  readonly current: boolean
  /** Empty for a scenario. */
  readonly steps: readonly TraceStep[]
  /** Hashes of the world; `after`: the number of actions before the hash. */
  readonly hashes: readonly (TraceHash & { readonly after: number })[]
  readonly violation: TraceViolation | null
}

// ------------------------------------------------------------------------------------------------- writing

/** One line for each event of the step. */
export const stepLines = (
  { i, at, node, events, cause }: Omit<TraceStep, "events"> & Pick<WorldStep, "events">,
  payloads: PayloadMode = "bytes",
): readonly string[] =>
  events.map(
    (event) =>
      `{"i":${i},"at":${at},"node":${JSON.stringify(node)},"event":${encodeEvent(event, payloads)},"cause":${cause}}`,
  )
export const writeScenario = (path: string, script: Script, end: ScenarioEnd = {}): void =>
  writeFileSync(path, scenarioText(script, end))

// ------------------------------------------------------------------------------------------------- reading

type Json = Record<string, unknown>

const headerOf = (
  value: Json,
): Pick<Trace, "current" | "nodes"> & { readonly seed: number; readonly options: Script["options"] } => {
  const { v, seed, core, config, nodes } = value
  if (v !== TRACE_FORMAT)
    throw new TraceUnreadable(
      v === undefined
        ? 'the first line is no header: it begins with {"v":1,"seed":…'
        : `it has format ${JSON.stringify(v)}, and this version reads format ${TRACE_FORMAT}`,
    )
  if (typeof seed !== "number" || !Number.isInteger(seed))
    throw new TraceUnreadable("its header has no seed, a whole number")
  if (!isRecord(config)) throw new TraceUnreadable("its header has no config, the options of the world")
  worldOptions(config, "config")
  const options = config as Script["options"]
  const named = foundersOf(options)
  if (nodes !== undefined && JSON.stringify(nodes) !== JSON.stringify(named))
    throw new TraceUnreadable(
      `its header names the nodes ${JSON.stringify(nodes)}, but config names ${named.join(", ")}: change config.nodes, and leave nodes out`,
    )
  return { seed: seed + 0, options, nodes: named, current: core === TRACE_CORE }
}

interface Reading {
  readonly actions: Action[]
  readonly steps: (Omit<TraceStep, "events"> & { readonly events: Event[] })[]
  readonly hashes: (TraceHash & { readonly after: number })[]
  violation: TraceViolation | null
}
const take = (reading: Reading, value: Json): void => {
  const { i, at, node, event, cause, hash, action, violates, message, own, mended } = value
  if (isRecord(action)) reading.actions.push(decodeAction(JSON.stringify(action)))
  else if (typeof violates === "string")
    reading.violation = {
      name: violates,
      at: typeof at === "number" && Number.isSafeInteger(at) ? at + 0 : 0,
      ...(typeof message === "string" ? { message } : {}),
      ...(own === true ? { own } : {}),
      ...(typeof mended === "number" && Number.isSafeInteger(mended) ? { mended: mended + 0 } : {}),
    }
  else if (typeof i === "number" && typeof hash === "number")
    reading.hashes.push({ i, hash, after: reading.actions.length })
  else if (typeof i === "number" && typeof at === "number" && typeof node === "string" && isRecord(event)) {
    const last = reading.steps.at(-1)
    const told = decodeEvent(JSON.stringify(event))
    if (last?.i === i) last.events.push(told)
    else reading.steps.push({ i, at, node, events: [told], cause: typeof cause === "number" ? cause : -1 })
  } else
    throw new TraceUnreadable(`it is not an action, event, hash or violation: ${JSON.stringify(value).slice(0, 80)}`)
}

/** Throws TraceUnreadable, which names the line. Empty lines and lines that begin with # are skipped. */
export const readTrace = (text: string): Trace => {
  let header: ReturnType<typeof headerOf> | null = null
  const reading: Reading = { actions: [], steps: [], hashes: [], violation: null }
  text.split("\n").forEach((line, at) => {
    if (line.trim() === "" || line.startsWith("#")) return
    try {
      const value: unknown = JSON.parse(line)
      if (!isRecord(value)) throw new TraceUnreadable("it is no object")
      if (header === null) header = headerOf(value)
      else take(reading, value)
    } catch (error) {
      throw new TraceUnreadable(
        `line ${at + 1} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      )
    }
  })
  const known = header as ReturnType<typeof headerOf> | null
  if (known === null) throw new TraceUnreadable('it is empty: a trace begins with a line {"v":1,"seed":…')
  const { seed, options, nodes, current } = known
  const { actions, steps, hashes, violation } = reading
  return { script: { seed, options, actions }, nodes, current, steps, hashes, violation }
}

/** Throws TraceUnreadable, or the system's error for the file. */
export const readTraceFile = (path: string): Trace => readTrace(readFileSync(path, "utf8"))
