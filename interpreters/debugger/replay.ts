/** Replays a trace: the events and hashes agree, or the first difference is reported. */
import { World, type WorldStep } from "../simulation/index.ts"
import type { Trace } from "./file.ts"
import { encodeEvent } from "./trace.ts"

export interface ReplayResult {
  readonly steps: number
  /** How much of the trace could be compared. */
  readonly hashes: number
  readonly events: number
  /** null: everything agrees. */
  readonly difference: string | null
  /** Why the replay ended early, in words: the reducer threw. */
  readonly stopped: string | null
}

class Differs extends Error {
  override readonly name = "Differs"
}
const hex = (hash: number): string => hash.toString(16).padStart(8, "0")

const stepComparer = (
  trace: Trace,
): {
  readonly compare: (step: WorldStep) => void
  readonly compared: () => number
  readonly missing: () => string | null
} => {
  const expected = new Map(trace.steps.map((step) => [step.i, step]))
  let compared = 0
  return {
    compared: () => compared,
    missing: () => {
      const [first] = expected.values()
      return first === undefined
        ? null
        : `of ${trace.steps.length} recorded steps, ${expected.size} never happen; the first is step ${first.i}, of ${first.node} at ${first.at} ms`
    },
    compare: ({ i, node, events, at }) => {
      const known = expected.get(i)
      if (known === undefined) return
      const text = (list: WorldStep["events"]): string => list.map((event) => encodeEvent(event)).join("\n")
      if (known.node !== node || known.at !== at || text(known.events) !== text(events))
        throw new Differs(
          `step ${i} is ${node} at ${at} ms here, and was ${known.node} at ${known.at} ms, or its events differ`,
        )
      compared += events.length
      expected.delete(i)
    },
  }
}

/** Runs all of it in place, without checks of its own. */
export const replayTrace = (trace: Trace): ReplayResult => {
  const { seed, options, actions } = trace.script
  const { compare, compared, missing } = stepComparer(trace)
  const hashes = new Map(trace.current ? trace.hashes.map((known) => [known.after, known]) : [])
  let matched = 0
  let steps = 0
  try {
    const world = new World({ ...options, seed, observe: compare })
    actions.forEach((action, i) => {
      world.act(action)
      steps = world.steps
      const known = hashes.get(i + 1)
      if (known === undefined) return
      const found = world.hash()
      if (known.i !== steps || known.hash !== found)
        throw new Differs(
          `after action ${i + 1} the world has made ${steps} steps and has the hash ${hex(found)}; recorded were ${known.i} steps and ${hex(known.hash)}`,
        )
      matched += 1
    })
    return { steps, hashes: matched, events: compared(), difference: missing(), stopped: null }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return {
      steps,
      hashes: matched,
      events: compared(),
      ...(error instanceof Differs
        ? { difference: message, stopped: null }
        : { difference: missing(), stopped: message }),
    }
  }
}
