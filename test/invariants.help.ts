/** Worlds recorded step by step, for tests that alter a step and check which invariant notices. */
import { initialState, stepAll, type Recovered, type State } from "../core/index.ts"
import type { ObservedStep } from "../spec/index.ts"
import { scripted } from "./worlds.ts"

/** A recorded step, and the recovered state if it is the first one after a start. */
export interface Recorded extends ObservedStep {
  readonly recovered: Recovered | undefined
}
/** The steps of a random world of three, run a second time under immer, so that every state stays unchanged. */
export const record = (seed: number): readonly Recorded[] => {
  const steps: Recorded[] = []
  const recovered = new Map<string, Recovered>()
  const states = new Map<string, State>()
  scripted(seed, {
    nodes: 3,
    steps: 100,
    started: (node, found, settings) => {
      recovered.set(node, found)
      states.set(node, initialState(settings, found))
    },
    observe: ({ node, at, events }) => {
      const before = states.get(node)
      if (before === undefined) throw new Error(`${node} acts before it starts`)
      const [state, effects] = stepAll(before, events)
      states.set(node, state)
      steps.push({ node, at, events, state, effects, recovered: recovered.get(node) })
      recovered.delete(node)
    },
  })
  return steps
}
