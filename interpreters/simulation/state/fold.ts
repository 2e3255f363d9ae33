/**
 * What an action works on. The same code runs in place, where everything may be changed, and immutably, where parts are
 * copied before they are changed: a node is changed only after `writableNode` has returned it.
 */
import { copyState, runInPlace, type Effect, type Event, type State } from "../../../core/index.ts"
import { addPlanned } from "./agenda.ts"
import { cloneOf } from "./clone.ts"
import { copyNode, copyWorldRecord, shareCore } from "./copies.ts"
import type { Happening, NodeRef, NodeState, WorldHooks, WorldMachine, WorldState } from "./types.ts"

export interface Fold {
  readonly world: WorldState
  readonly hooks: WorldHooks
  /** null: in place. Otherwise the nodes that were copied already. */
  readonly owned: Set<string> | null
  /** The step that is being executed, or -1 in an action. */
  cause: number
}

export const foldInPlace = (world: WorldState, hooks: WorldHooks): Fold => ({ world, hooks, owned: null, cause: -1 })

/** Works on a copy: the given world stays as it is. */
export const foldOver = (world: WorldState, hooks: WorldHooks): Fold => ({
  world: copyWorldRecord(world, (node) => node),
  hooks,
  owned: new Set(),
  cause: -1,
})

export const nodeOf = (world: WorldState, name: string): NodeState => {
  const node = world.nodes[name]
  if (node === undefined) throw new Error(`there is no node ${name}`)
  return node
}

/** Returns the node so that it may be changed: copied first if the fold is immutable. */
export const writable = (fold: Fold, node: NodeState): NodeState => {
  const { owned } = fold
  const { name } = node
  if (owned === null || owned.has(name)) return node
  owned.add(name)
  const copy = copyNode(node)
  fold.world.nodes[name] = copy
  return copy
}
export const writableNode = (fold: Fold, name: string): NodeState => writable(fold, nodeOf(fold.world, name))

/** Returns the state machine of an owned node so that it may be changed. */
export const writableMachine = (fold: Fold, node: NodeState): WorldMachine => {
  if (fold.owned !== null) node.machine = cloneOf(node.machine)
  return node.machine
}

/** Runs the shipped reducer on the core of an owned node. */
export const advance = (fold: Fold, node: NodeState, core: State, events: readonly Event[]): readonly Effect[] => {
  if (fold.owned === null) return runInPlace(core, events)
  const next = copyState(core)
  const effects = runInPlace(next, events)
  node.core = shareCore(core, next)
  return effects
}

export const schedule = ({ world }: Fold, at: number, what: Happening): void => {
  addPlanned(world.agenda, { at, order: world.planned++, what })
}
/** Plans an event for this start of a node after `delay`. */
export const scheduleEvent = (fold: Fold, node: NodeState, delay: number, event: Event): void =>
  schedule(fold, fold.world.now + delay, { type: "event", node: node.name, boot: node.boot, event, cause: fold.cause })

// --------------------------------------------------------------------------------------------- who is who

/** The live leader of the highest term. */
export const leaderOf = (world: WorldState): NodeState | undefined => {
  let best: NodeState | undefined
  for (const name of world.names) {
    const node = nodeOf(world, name)
    const { core } = node
    if (core?.role.type === "leader" && core.currentTerm > (best?.core?.currentTerm ?? -1)) best = node
  }
  return best
}

/** The node's name, or undefined if no node has that role now. */
export const resolveNode = (world: WorldState, ref: NodeRef): string | undefined => {
  if (world.nodes[ref] !== undefined) return ref
  if (ref === "leader") return leaderOf(world)?.name
  const place = /^follower([1-9]\d*)$/.exec(ref)?.[1]
  if (place === undefined) return undefined
  const leader = leaderOf(world)?.name
  const others = world.names.filter((name) => name !== leader && nodeOf(world, name).core !== null)
  return others.sort((a, b) => (a < b ? -1 : 1))[Number(place) - 1]
}
