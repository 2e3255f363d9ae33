/** Shortens a history: steps are left out, in runs and one by one, as long as the same rule breaks. */
import { ImpossibleStep, replay } from "./replay.ts"
import type { Counterexample, ExploredStep } from "./steps.ts"
import type { Space } from "./space.ts"
import type { ExploredViolation } from "./server.ts"

const breaks = (
  space: Space,
  steps: readonly ExploredStep[],
  name: string,
): { readonly steps: readonly ExploredStep[]; readonly violation: ExploredViolation } | null => {
  try {
    const { frames, violation } = replay(space, steps)
    return violation?.name === name ? { steps: steps.slice(0, frames.length), violation } : null
  } catch (error) {
    if (error instanceof ImpossibleStep) return null
    throw error
  }
}

export const shrink = (space: Space, found: Counterexample): Counterexample => {
  let shortest = found
  for (let run = Math.ceil(found.steps.length / 2); run >= 1;) {
    let changed = false
    for (let from = Math.max(shortest.steps.length - run, 0); from >= 0; from -= run) {
      const fewer = shortest.steps.filter((_, i) => i < from || i >= from + run)
      const broken = breaks(space, fewer, found.name)
      if (broken === null) continue
      shortest = { ...broken.violation, steps: broken.steps }
      changed = true
    }
    if (!changed || run > 1) run = run === 1 ? 0 : Math.floor(run / 2)
  }
  return shortest
}
