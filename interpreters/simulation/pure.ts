/** The immutable face: every action answers a new world, and the old one stays as it was. For branching, the debugger and search. */
import { act } from "./act.ts"
import { copyNode, foldOver, nodeOf } from "./fold.ts"
import type { Action, WorldHooks, WorldState, WorldStep } from "./types.ts"

/** The world after the action, sharing what did not change, and the steps that it took to get there. Throws what a core throws. */
export const actPure = (state: WorldState, action: Action, hooks: WorldHooks = {}): readonly [WorldState, readonly WorldStep[]] => {
  const steps: WorldStep[] = []
  const fold = foldOver(state, {
    ...hooks,
    observe: (step) => {
      steps.push(step)
      hooks.observe?.(step)
    },
  })
  act(fold, action)
  return [fold.world, steps]
}

const isPlain = (value: object): boolean => Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype

/** Logs and bytes are values: they are shared. */
const copyPlain = <T>(value: T): T => {
  if (typeof value !== "object" || value === null || !isPlain(value)) return value
  if (Array.isArray(value)) return value.map((part: unknown) => copyPlain(part)) as T
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copyPlain(part)])) as T
}

/** A world of its own, whichever face the original is in. */
export const copyWorld = (world: WorldState): WorldState => ({
  ...world,
  agenda: world.agenda.slice(),
  nodes: Object.fromEntries(
    world.names.map((name) => {
      const node = nodeOf(world, name)
      return [name, { ...copyNode(node), core: copyPlain(node.core), machine: node.machine.clone() }]
    }),
  ),
})
