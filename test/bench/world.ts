/**
 * How fast simulated worlds are, on one core. An event is one input of the reducer: a message, a finished write, a
 * timer, a command. Clock readings are not counted.
 */
import type { Recovered } from "../../core/index.ts"
import { actPure, makeWorld, World, type WorldStep } from "../../interpreters/simulation/index.ts"
import { readOptions } from "../options.ts"
import { makeInvariantChecker, makeRefinementChecker } from "../../spec/index.ts"
import { faultyWorld, storyFor } from "./story.ts"

const usage = `npx tsx test/bench/world.ts [options]

How many events a second simulated worlds take on one core, with and without checks.

  --seconds N     for each line (default: 5)
`
const { number } = readOptions(usage, { seconds: { type: "string", default: "5" } })
let events = 0
let steps = 0
let virtual = 0
const budget = number("seconds", 0.1) * 1000

const spent = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Runs until this many CPU milliseconds are used up. */
const measure = (what: string, round: (i: number) => void, figures: (ms: number) => string): void => {
  for (let i = 0; i < 3; i++) round(i)
  events = 0
  steps = 0
  virtual = 0
  const start = spent()
  for (let i = 3; spent() - start < budget; i++) round(i)
  console.log(`${what.padEnd(34)} ${figures(spent() - start)}`)
}

const cheap = ({ events: batch }: WorldStep): void => {
  events += batch.length - 1
  steps += 1
}
const rate = (ms: number): string =>
  `${Math.round((events / ms) * 1000).toLocaleString("en")} events/s, ${Math.round((steps / ms) * 1000).toLocaleString("en")} steps/s`

/** Called with every step, and with every start. */
interface Watch {
  (step: WorldStep): void
  readonly started: (node: string, recovered: Recovered) => void
}
const ways: Readonly<Record<string, () => readonly Watch[]>> = {
  "nobody looks": () => [],
  "every invariant": () => [makeInvariantChecker()],
  refinement: () => [makeRefinementChecker()],
  "invariants and refinement": () => [makeInvariantChecker(), makeRefinementChecker()],
}

for (const nodes of [3, 5]) {
  const story = storyFor(nodes, 20_000)
  console.log(`${nodes} nodes, load and faults`)
  for (const [name, make] of Object.entries(ways))
    measure(
      `  ${name}`,
      (i) => {
        const watches = make()
        const world = new World({
          ...faultyWorld(nodes, i + 1),
          started: (node, recovered) => watches.forEach((watch) => watch.started(node, recovered)),
          observe: (step) => {
            for (const watch of watches) watch(step)
            cheap(step)
          },
        })
        for (const action of story) world.act(action)
      },
      rate,
    )
  measure(
    "  the immutable face",
    (i) => {
      let state = makeWorld(faultyWorld(nodes, i + 1))
      for (const action of story.slice(0, 400)) state = actPure(state, action, { observe: cheap })[0]
    },
    rate,
  )
  measure(
    "  at rest",
    () => {
      const world = new World({ seed: 1, nodes })
      world.run(60_000)
      virtual += world.now
    },
    (ms) => `${Math.round(virtual / ms).toLocaleString("en")} times real time`,
  )
}
