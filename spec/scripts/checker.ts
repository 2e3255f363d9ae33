/** The checks of a script for a debugger session: the same that a whole run makes at each step. */
import type { Recovered } from "../../core/index.ts"
import type { Action, Checker, ExecutedBatch, WorldState, WorldStep } from "../../interpreters/simulation/index.ts"
import { invariants } from "../invariants/index.ts"
import type { ScriptChecks } from "./check.ts"
import { watchWorld } from "./watch.ts"

export const checkerOf = (checks: ScriptChecks = {}): Checker => {
  const watch = watchWorld(checks)
  const step = (step: WorldStep): void => {
    checks.observe?.(step)
    watch.step(step)
  }
  return Object.assign(step, {
    invariants: [...(checks.own ?? []), ...(checks.invariants === false ? [] : Object.keys(invariants))],
    started: (node: string, recovered: Recovered, wentBack: boolean, world: WorldState | null) =>
      watch.started(world, node, recovered, wentBack),
    acted: (world: WorldState, action: Action) => watch.acted(world, action),
    executed: ({ node, entries, results, ...mark }: ExecutedBatch) => {
      if (entries !== null) checks.applied?.(node, entries, results)
      watch.executed(node, () => mark)
    },
  })
}
