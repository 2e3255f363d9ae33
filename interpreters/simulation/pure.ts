/** The immutable interface: every action returns a new world, and the old one stays as it was. For branching, the debugger and search. */
import { copyState } from "../../core/index.ts"
import { act } from "./act.ts"
import { cloneOf } from "./state/clone.ts"
import { copyNode, copyWorldRecord } from "./state/copies.ts"
import { foldOver } from "./state/fold.ts"
import type { Action, WorldHooks, WorldState, WorldStep } from "./state/types.ts"

/**
 * Returns the world after the action, which shares unchanged parts with `state`, and the steps that were taken. Throws
 * what the reducer throws.
 */
export const actPure = (
  state: WorldState,
  action: Action,
  hooks: WorldHooks = {},
): readonly [WorldState, readonly WorldStep[]] => {
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

/** An independent copy of a world. */
export const copyWorld = (world: WorldState): WorldState =>
  copyWorldRecord(world, (node) => {
    const copy = copyNode(node)
    copy.core = node.core === null ? null : copyState(node.core)
    copy.machine = cloneOf(node.machine)
    return copy
  })
