/**
 * A history of the explorer as a script of the simulated world, so that a counterexample opens in the debugger. One
 * step becomes one explicit action (deliver, fire, persist, …), and nothing happens by itself: messages that no action
 * delivers are lost, writes that no action completes are not durable. The world checks more invariants than the
 * explorer: if another one is broken first, the world fails earlier, under that name.
 */
import { copyState, defaultSettings, type Message, type Settings, type State } from "../../core/index.ts"
import {
  toHex,
  flights,
  nodeOf,
  World,
  type Action,
  type Happening,
  type Script,
  type WorldStep,
} from "../../interpreters/simulation/index.ts"
import { checkScript, type ScriptChecks, type ScriptFailed } from "../scripts/check.ts"
import { checkStep } from "./check.ts"
import { makeIdentifier } from "./identity.ts"
import { isViolation, judge, noHistory, summaryOf, type ServerSummary } from "./judge.ts"
import { replay, type ReplayFrame } from "./replay.ts"
import type { Counterexample, ExploredStep } from "./steps.ts"
import { type ServerAction } from "./server.ts"
import { memberOf, type Space } from "./space.ts"

export interface Converted {
  readonly script: Script
  /** How the world fails. */
  readonly failed: ScriptFailed
  /**
   * same: by the same rule. earlier: the world breaks that rule too, but another of its invariants first. other: it
   * fails without breaking that rule.
   */
  readonly like: "same" | "earlier" | "other"
}

/** Virtual milliseconds by which events are delayed, so that they happen by explicit actions only. */
const NEVER = 10_000_000
/** The delay of a slow state machine; a step that waits for it lets this time pass. */
const SLOWLY = 10_000
/** The delays of network and disks while a world is prepared. */
const QUICK = { min: 1, max: 1 }

const quiet = { lossPermille: 0, duplicatePermille: 0, longDelayPermille: 0, longDelayMax: 0 } as const
const byHand = { ...quiet, delayMin: NEVER, delayMax: NEVER }

const usual = new Map<string, unknown>(Object.entries(defaultSettings))
const unusual = (settings: Settings): Partial<Settings> =>
  Object.fromEntries(Object.entries(settings).filter(([key, value]) => usual.get(key) !== value))

const optionsOf = ({ voters, settings, slowMachine }: Space): Script["options"] => ({
  nodes: voters,
  settings: {
    ...unusual(settings),
    heartbeat: NEVER - 1,
    electionMin: NEVER,
    electionMax: 2 * NEVER,
    disconnectMax: NEVER,
    diskStallTimeout: NEVER,
  },
  network: byHand,
  disk: { min: NEVER, max: NEVER },
  apply: slowMachine ? { min: SLOWLY, max: SLOWLY } : { min: 0, max: 0 },
  snapshots: { chunksMin: 1, chunksMax: 1 },
})

/**
 * A world begins with voters only. Learners join before the history begins, in a term of its own; it ends when all
 * servers start again with what they have stored and executed.
 */
const withLearners = ({ servers, voters, slowMachine }: Space): readonly Action[] => {
  const learners = servers.filter((name) => !voters.includes(name))
  const [first] = voters
  if (learners.length === 0 || first === undefined) return []
  const run = (ms: number): Action => ({ type: "run", ms })
  const wait = run(slowMachine ? 2 * SLOWLY : 20)
  const disks = (speed: { readonly min: number; readonly max: number }): readonly Action[] =>
    servers.map((node) => ({ type: "disk", node, ...speed }))
  return [
    ...learners.map((name): Action => ({ type: "add", name })),
    { type: "network", profile: { ...quiet, delayMin: 1, delayMax: 1 } },
    ...disks(QUICK),
    { type: "fire", node: first, timer: "election" },
    wait,
    { type: "addLearners", node: first, names: learners },
    wait,
    { type: "fire", node: first, timer: "heartbeat" },
    wait,
    ...servers.flatMap((node): readonly Action[] => [
      { type: "crash", node, keep: "all" },
      { type: "start", node },
    ]),
    { type: "network", profile: byHand },
    ...disks({ min: NEVER, max: NEVER }),
  ]
}

interface Conversion {
  readonly world: World
  readonly actions: Action[]
  /** Messages in flight by the explorer's name of a message. */
  readonly underWay: Map<string, string[]>
}

const perform = ({ world, actions }: Conversion, action: Action): void => {
  actions.push(action)
  world.act(action)
}

const isOf = (what: Happening, node: string, boot: number): boolean =>
  "boot" in what && what.node === node && what.boot === boot
/** Lets enough time pass for a server to finish what it has begun. */
const finish = (conversion: Conversion, node: string, waited: (what: Happening) => boolean): void => {
  const { world } = conversion
  const pending = world.data.agenda.filter(
    ({ what }) => isOf(what, node, nodeOf(world.data, node).boot) && waited(what),
  )
  if (pending.length > 0)
    perform(conversion, { type: "run", ms: Math.max(0, Math.min(...pending.map(({ at }) => at)) - world.now) })
}
const isEvent = (what: Happening, ...types: readonly string[]): boolean =>
  what.type === "event" && types.includes(what.event.type)

/** Completes everything that the explorer counts as part of one step. */
const settle = (conversion: Conversion, { slowDisk, slowMachine }: Space, node: string): void => {
  const { world } = conversion
  const answered = (what: Happening): boolean =>
    isEvent(what, "SnapshotOpened", "ChunkStored", ...(slowMachine ? [] : ["Applied"]))
  for (let before = -1; before !== conversion.actions.length;) {
    before = conversion.actions.length
    if (!slowDisk && nodeOf(world.data, node).disk.pending.length > 0) perform(conversion, { type: "persist", node })
    finish(conversion, node, answered)
  }
}

/** Keeps the first `kept` writes and loses what the state machine had not made durable. */
const crash = (conversion: Conversion, node: string, kept: number): void => {
  const { disk, machine, durable } = nodeOf(conversion.world.data, node)
  const writes = disk.pending.length
  const steady = machine.position().index === durable.position().index
  const keep = kept === writes && steady ? "all" : kept === 0 ? "none" : kept === writes - 1 ? "torn" : null
  // A crash in the world cannot keep exactly these writes: they are completed before it.
  if (keep === null) for (let i = 0; i < kept; i++) perform(conversion, { type: "persist", node })
  perform(conversion, { type: "crash", node, keep: keep ?? "none" })
  perform(conversion, { type: "start", node })
}

const take = (conversion: Conversion, text: string, left: number): void => {
  const { world, underWay } = conversion
  const known = underWay.get(text) ?? []
  const message = known.shift()
  // The message was not sent here: the world takes another course, which a check of the script will show.
  if (message === undefined) return
  if (left > 1 && known.length === 0) {
    const before = new Set(flights(world.data).map(({ name }) => name))
    perform(conversion, { type: "duplicate", message })
    known.push(...flights(world.data).flatMap(({ name }) => (before.has(name) ? [] : [name])))
    underWay.set(text, known)
  }
  perform(conversion, { type: "deliver", message })
}

const act = (
  conversion: Conversion,
  space: Space,
  node: string,
  action: Exclude<ServerAction, { type: "deliver" }>,
): void => {
  const { world } = conversion
  switch (action.type) {
    case "timeout":
      return perform(conversion, { type: "fire", node, timer: action.timer })
    case "persist":
      return perform(conversion, { type: "persist", node })
    case "crash":
      return crash(conversion, node, action.kept)
    case "tick":
      return perform(conversion, { type: "inject", node, event: { type: "ClockAdvanced", monotonic: 0, wall: 0 } })
    case "propose": {
      const payload = space.machine?.commands[action.command ?? 0]
      const id = world.data.refs + 1
      return perform(
        conversion,
        payload === undefined
          ? { type: "propose", node, id, bytes: 1 }
          : { type: "propose", node, id, payloads: [{ hex: toHex(payload.bytes), checksum: payload.checksum }] },
      )
    }
    case "change":
      return perform(conversion, { type: "change", node, voters: action.voters, learners: [] })
    case "read":
      return perform(conversion, { type: "read", node })
    case "apply":
      return finish(conversion, node, (what) => isEvent(what, "Applied"))
    case "snapshot":
      return finish(conversion, node, ({ type }) => type === "taken")
    case "restore":
      finish(conversion, node, ({ type }) => type === "restore")
      return finish(conversion, node, (what) => isEvent(what, "SnapshotRestored", "SnapshotRejected"))
  }
}

/**
 * The messages that `node` has sent meanwhile, one by one: the first of the same type to the same server is the same
 * message.
 */
const noteSent = (
  { world, underWay }: Conversion,
  before: ReadonlySet<string>,
  node: string,
  sends: ReplayFrame["sends"],
  text: (to: ReplayFrame["sends"][number]) => string,
): void => {
  const fresh = flights(world.data)
    .filter(({ name, flight }) => flight.from.name === node && !before.has(name))
    .sort((a, b) => a.flight.n - b.flight.n)
  for (const sent of sends) {
    const place = fresh.findIndex(
      ({ flight }) => flight.to.name === sent.to.name && flight.message.type === sent.message.type,
    )
    const [found] = place < 0 ? [] : fresh.splice(place, 1)
    if (found === undefined) continue
    const name = text(sent)
    underWay.set(name, [...(underWay.get(name) ?? []), found.name])
  }
}

/**
 * The script that repeats in the simulated world what the steps did to the servers of the space. Servers that are
 * learners at the start of the space join at the beginning of the script, in term 1.
 */
export const toScript = (space: Space, steps: readonly ExploredStep[]): Script => {
  const { frames } = replay(space, steps)
  const { message: identify } = makeIdentifier(space)
  const script = { seed: 1, options: optionsOf(space) }
  const conversion: Conversion = {
    world: new World({ ...script.options, seed: script.seed }),
    actions: [],
    underWay: new Map(),
  }
  const textOf = (from: string, to: string, message: Message): string => identify(memberOf(from), memberOf(to), message)
  const left = new Map<string, number>()
  for (const {
    step: { server, action },
  } of frames) {
    if (action.type !== "deliver") continue
    const text = textOf(action.from.name, server, action.message)
    left.set(text, (left.get(text) ?? 0) + 1)
  }
  try {
    for (const action of withLearners(space)) perform(conversion, action)
    for (const {
      step: { server, action },
      sends,
    } of frames) {
      const before = new Set(flights(conversion.world.data).map(({ name }) => name))
      if (action.type === "deliver") {
        const text = textOf(action.from.name, server, action.message)
        take(conversion, text, left.get(text) ?? 1)
        left.set(text, (left.get(text) ?? 1) - 1)
      } else act(conversion, space, server, action)
      settle(conversion, space, server)
      noteSent(conversion, before, server, sends, ({ to, message }) => textOf(server, to.name, message))
    }
  } catch (error) {
    // If the reducer throws, that is the violation itself.
    if (!(error instanceof Error)) throw error
  }
  return { ...script, actions: conversion.actions }
}

/** Do the servers of the world break this rule, whatever the world's own invariants reported before? */
const breaks = (script: Script, rule: string): boolean => {
  const states = new Map<string, State>()
  const servers = new Map<string, ServerSummary>()
  let world: World | null = null
  let history = noHistory
  let found = false
  const observe = ({ node, state, effects }: WorldStep): void => {
    const before = states.get(node)
    const summary = summaryOf({ state })
    const verdict = judge(
      history,
      summary,
      [...servers.values()].filter(({ name }) => name !== node),
    )
    servers.set(node, summary)
    states.set(node, copyState(state))
    if (isViolation(verdict)) found ||= verdict.name === rule
    else history = verdict
    if (world === null || before === undefined) return
    const { disk, durable } = nodeOf(world.data, node)
    found ||=
      checkStep(before, state, { hardState: disk.hardState, log: disk.log, machine: durable.position() }, effects)
        ?.name === rule
  }
  try {
    world = new World({ ...script.options, seed: script.seed, observe, started: (node) => states.delete(node) })
    for (const action of script.actions) world.act(action)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    found ||= rule === "Thrown"
  }
  return found
}

/** null: the world does not fail. `checks`: the other checks of the space. */
export const toScenario = (
  space: Space,
  { name, steps }: Counterexample,
  checks: () => ScriptChecks = () => ({ machineDigests: false }),
): Converted | null => {
  const script = toScript(space, steps)
  const verdict = checkScript(script, { ...checks(), liveness: false })
  if (verdict.ok) return null
  const isSame = verdict.violation === name || (name === "Thrown" && verdict.violation === "Error")
  return { script, failed: verdict, like: isSame ? "same" : breaks(script, name) ? "earlier" : "other" }
}
