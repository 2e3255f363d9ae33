/**
 * The same failure without chance and without time: of everything that the world did on its way to the failure, only
 * the necessary part, each event as an action of its own. Messages that no action delivers are lost; a write that no
 * action completes is not durable.
 */
import type { Event, Message, Settings, Timer } from "../../../core/index.ts"
import {
  flights,
  nodeOf,
  resolveNode,
  timerDue,
  World,
  type Action,
  type ActionType,
  type Script,
  type WorldHooks,
  type WorldStep,
} from "../../../interpreters/simulation/index.ts"
import type { SameFailure, ScriptFailed } from "../check.ts"
import { minimize } from "./minimize.ts"
import { settingsIn } from "../generate/options.ts"

type Machine = NonNullable<WorldHooks["machine"]> | undefined

/** What happened, described so that it can be found again in a slightly different world. */
type Deed = { readonly step: number } & (
  | { readonly type: "act"; readonly action: Action }
  | { readonly type: "deliver"; readonly from: string; readonly to: string; readonly message: Message }
  | { readonly type: "fire"; readonly node: string; readonly timer: Timer }
  | { readonly type: "persist"; readonly node: string }
  /** Something within one node: entries executed, a chunk stored, a disconnection noticed. */
  | { readonly type: "inside"; readonly node: string }
)

/** Events are delayed by this, so that they happen by explicit actions only. */
const NEVER = 10_000_000
/** Everything within a node takes less than this. */
const INSIDE = 110

type Switches = Pick<Settings, "preVote" | "leaseReads">
const patient = (options: Script["options"], switches: Switches): Script["options"] => {
  const { nodes, settings, snapshots, connections } = options
  return {
    ...(nodes === undefined ? {} : { nodes }),
    settings: {
      ...settings,
      ...switches,
      heartbeat: NEVER - 1,
      electionMin: NEVER,
      electionMax: 2 * NEVER,
      disconnectMax: NEVER,
      diskStallTimeout: NEVER,
    },
    network: {
      lossPermille: 0,
      duplicatePermille: 0,
      delayMin: NEVER,
      delayMax: NEVER,
      longDelayPermille: 0,
      longDelayMax: 0,
    },
    disk: { min: NEVER, max: NEVER },
    apply: { min: 0, max: 0 },
    ...(snapshots === undefined ? {} : { snapshots }),
    ...(connections === undefined ? {} : { connections }),
  }
}

/** Actions that only concern time, chance or links, or that are explicit already. */
const passing: ReadonlySet<ActionType> = new Set<ActionType>([
  "run",
  "step",
  "network",
  "clog",
  "cut",
  "join",
  "isolate",
  "reconnect",
  "partition",
  "heal",
  "disk",
  "stallDisk",
  "resumeDisk",
  "apply",
  "skew",
  "deliver",
  "drop",
  "duplicate",
  "fire",
  "persist",
])
/**
 * The action with the names of the nodes in place of their roles, because another server may lead in the explicit
 * script. null: the action concerns no node.
 */
const byName = (world: World, action: Action): Action | null => {
  if (passing.has(action.type)) return null
  const resolve = (ref: string): string | undefined => resolveNode(world.data, ref)
  if (action.type === "reset") {
    const [a, b] = [resolve(action.a), resolve(action.b)]
    return a === undefined || b === undefined ? null : { ...action, a, b }
  }
  if (!("node" in action)) return action
  const node = resolve(action.node)
  if (node === undefined) return null
  if (action.type !== "transfer" || action.to === null) return { ...action, node }
  const to = resolve(action.to)
  return to === undefined ? null : { ...action, node, to }
}

/** Thrown to stop the recording at the failure. */
class Enough extends Error {}

interface Recording {
  readonly deeds: readonly Deed[]
  /** For each step: the node that took it, and the step that caused it. */
  readonly steps: readonly { readonly node: string; readonly cause: number }[]
}

const record = (script: Script, at: number, machine: Machine): Recording => {
  const deeds: Deed[] = []
  const steps: { node: string; cause: number }[] = []
  const writing = new Map<string, number[]>()
  let world: World | null = null
  let byItself = false
  const told = (event: Event, { node, i: step }: WorldStep): void => {
    if (event.type === "ClockAdvanced" || event.type === "MessageReceived") return
    if (event.type === "TimerExpired") deeds.push({ step, type: "fire", node, timer: event.timer })
    else if (event.type === "Persisted") {
      const outstanding = writing.get(node) ?? []
      const left = outstanding.filter((seq) => seq > event.seq)
      for (let k = left.length; k < outstanding.length; k++) deeds.push({ step, type: "persist", node })
      writing.set(node, left)
    } else deeds.push({ step, type: "inside", node })
  }
  const hooks: WorldHooks = {
    ...(machine === undefined ? {} : { machine }),
    acted: (action) => {
      byItself = passing.has(action.type)
      const named = world === null ? null : byName(world, action)
      if (named !== null) deeds.push({ step: steps.length, type: "act", action: named })
    },
    delivered: (from, to, message) => {
      deeds.push({ step: steps.length, type: "deliver", from: from.name, to: to.name, message })
    },
    stopped: (node, why) => {
      writing.delete(node)
      if (why === "writeFailed" || why === "syncFailed") deeds.push({ step: steps.length, type: "persist", node })
    },
    observe: (step) => {
      steps.push({ node: step.node, cause: step.cause })
      if (byItself) for (const event of step.events) told(event, step)
      for (const effect of step.effects)
        if (effect.type === "Persist") writing.set(step.node, [...(writing.get(step.node) ?? []), effect.seq])
      if (step.i === at) throw new Enough()
    },
  }
  try {
    world = new World({ ...script.options, seed: script.seed, ...hooks })
    for (const action of script.actions) world.act(action)
  } catch (error) {
    // The failure that the script shows may itself be thrown by the reducer.
    if (!(error instanceof Error)) throw error
  }
  return { deeds, steps }
}

/**
 * Keeps only what can have led to the last step: earlier steps of its own node, and the senders of what caused them.
 */
const causes = ({ deeds, steps }: Recording): readonly Deed[] => {
  const earlier: number[] = []
  const last = new Map<string, number>()
  steps.forEach(({ node }, i) => {
    earlier.push(last.get(node) ?? -1)
    last.set(node, i)
  })
  const needed = new Set<number>()
  const queue = [steps.length - 1]
  for (let i = queue.pop(); i !== undefined; i = queue.pop()) {
    if (i < 0 || needed.has(i)) continue
    needed.add(i)
    queue.push(earlier[i] ?? -1, steps[i]?.cause ?? -1)
  }
  return deeds.filter(({ type, step }) => type === "act" || needed.has(step) || step >= steps.length)
}

const likeness = (a: Message, b: Message): number => {
  if (a.type !== b.type) return -1
  const other = new Map(Object.entries(b))
  let same = 0
  for (const [key, value] of Object.entries(a)) {
    const weight = key === "term" ? 4 : key === "round" ? 1 : 2
    const there: unknown = other.get(key)
    if (value === there || (Array.isArray(value) && Array.isArray(there) && value.length === there.length))
      same += weight
  }
  return same
}

/** The message in flight that is most similar to it; of several, the oldest. */
const find = (world: World, from: string, to: string, message: Message): string | null => {
  let best: string | null = null
  let most = -1
  for (const { name, flight } of flights(world.data)) {
    if (flight.from.name !== from || flight.to.name !== to) continue
    const like = likeness(message, flight.message)
    if (like > most) {
      most = like
      best = name
    }
  }
  return best
}

const goesOnInside = (world: World, name: string): boolean => {
  const node = nodeOf(world.data, name)
  return world.data.agenda.some(
    ({ at, what }) =>
      (what.type === "event" || what.type === "taken" || what.type === "restore") &&
      what.node === name &&
      what.boot === node.boot &&
      at <= world.now + INSIDE,
  )
}

const actionFor = (world: World, deed: Deed, last: Action | undefined): Action | null => {
  switch (deed.type) {
    case "act":
      return deed.action
    case "deliver": {
      const message = find(world, deed.from, deed.to, deed.message)
      return message === null ? null : { type: "deliver", message }
    }
    case "fire": {
      const node = world.data.nodes[deed.node]
      const set = node !== undefined && node.core !== null && !node.paused && timerDue(node, deed.timer) !== undefined
      return set ? { type: "fire", node: deed.node, timer: deed.timer } : null
    }
    case "persist":
      return (world.data.nodes[deed.node]?.disk.pending.length ?? 0) > 0 ? { type: "persist", node: deed.node } : null
    case "inside":
      return last?.type !== "run" && world.data.nodes[deed.node] !== undefined && goesOnInside(world, deed.node)
        ? { type: "run", ms: INSIDE }
        : null
  }
}

/** The recorded events as actions of a world without chance; what is not possible there is left out. */
const realize = (script: Script, switches: Switches, deeds: readonly Deed[], machine: Machine): Script => {
  const options = patient(script.options, switches)
  const actions: Action[] = []
  const deliveries = new Map<Message, number>()
  for (const deed of deeds)
    if (deed.type === "deliver") deliveries.set(deed.message, (deliveries.get(deed.message) ?? 0) + 1)
  try {
    const world = new World({ ...options, seed: script.seed, ...(machine === undefined ? {} : { machine }) })
    for (const deed of deeds) {
      const action = actionFor(world, deed, actions.at(-1))
      if (action === null) continue
      // A message that the network delivered twice is duplicated before it is delivered.
      const left = deed.type === "deliver" ? (deliveries.get(deed.message) ?? 1) : 1
      if (deed.type === "deliver") deliveries.set(deed.message, left - 1)
      for (const next of left > 1 && action.type === "deliver"
        ? [{ type: "duplicate", message: action.message } as const, action]
        : [action]) {
        actions.push(next)
        world.act(next)
      }
    }
  } catch (error) {
    // This may be the failure itself: checking the script will show that.
    if (!(error instanceof Error)) throw error
  }
  return { seed: script.seed, options, actions }
}

/**
 * Without pre-votes the script is shorter, if they do not matter. Leases depend on time, which explicit actions do not
 * reproduce: if leases matter, there is no explicit script.
 */
const switchesOf = ({ options }: Script, { violation }: ScriptFailed): readonly Switches[] => {
  const { preVote, leaseReads } = settingsIn(options)
  const leases = leaseReads && violation !== "ReadFresh" && violation !== "Refinement" ? [false, true] : [false]
  return leases.flatMap((lease) =>
    (preVote ? [false, true] : [false]).map((vote) => ({ preVote: vote, leaseReads: lease })),
  )
}

/**
 * null: it cannot be done. A failure that appears only while the world is repaired depends on time, and stays as it is.
 */
export const withExplicitSteps = (
  script: Script,
  failed: ScriptFailed,
  sameFailure: SameFailure,
  machine: Machine,
  expired: () => boolean,
): Script | null => {
  if (failed.action >= script.actions.length) return null
  const recording = record(script, failed.at, machine)
  const some = causes(recording)
  let best: Script | null = null
  for (const switches of switchesOf(script, failed)) {
    const realized = (deeds: readonly Deed[]): Script => realize(script, switches, deeds, machine)
    const fails = (deeds: readonly Deed[]): boolean => sameFailure(realized(deeds)) !== null
    for (const start of [some, recording.deeds]) {
      if (expired() || !fails(start)) continue
      const found = realized(minimize(start, fails, expired))
      if (best === null || found.actions.length < best.actions.length) best = found
    }
  }
  return best
}
