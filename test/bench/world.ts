/**
 * How fast simulated worlds are, on one core.
 *
 *   npx tsx test/bench/world.ts [--seconds 5]
 *
 * An event is what the reducer is fed: a message, a finished write, a timer, a command. Clock readings do not count.
 */
import { parseArgs } from "node:util"
import { actPure, makeWorld, World, type Action, type WorldOptions, type WorldStep } from "../../interpreters/simulation/index.ts"
import { randomAction, settingsOf } from "../worlds.ts"
import { makeRandom } from "../../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../../spec/index.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" } } })
let events = 0
let steps = 0
let virtual = 0
const budget = Number(values.seconds) * 1000

const spent = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** CPU milliseconds, until the budget is used up. */
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
const rate = (ms: number): string => `${Math.round((events / ms) * 1000).toLocaleString("en")} events/s, ${Math.round((steps / ms) * 1000).toLocaleString("en")} steps/s`

const faulty = (seed: number): WorldOptions => ({ seed, nodes: 5, settings: { ...settingsOf(7), snapshotBytes: 20_000, tailBytes: 4000 }, network: "lossy", disk: { min: 1, max: 20 } })
/** Commands at many a moment, and faults now and then that end. */
const script = (seed: number, ms: number): readonly Action[] => {
  const random = makeRandom(seed)
  const names = ["n1", "n2", "n3", "n4", "n5"]
  const actions: Action[] = [{ type: "run", ms: 2000 }]
  for (let now = 0, id = 1; now < ms; now += 10, id++) {
    actions.push({ type: "propose", node: "leader", id, bytes: 100 }, { type: "run", ms: 10 })
    if (now % 500 === 0) {
      const fault = randomAction(random, id, names)
      const calm = ["flipBit", "wipe", "add", "change", "network", "failWrite", "failSync"].includes(fault.type)
      if (!calm) actions.push(fault)
      actions.push({ type: "heal" }, ...names.flatMap((node): Action[] => [{ type: "resume", node }, { type: "start", node }, { type: "resumeDisk", node }, { type: "freeDisk", node }]))
    }
  }
  return actions
}
const story = script(3, 20_000)
const play = (observe: () => (step: WorldStep) => void) => (i: number): void => {
  const world = new World({ ...faulty(i + 1), observe: observe() })
  for (const action of story) world.act(action)
}

measure("5 nodes, load and faults", play(() => cheap), rate)
measure("the same, every invariant checked", play(() => {
  const check = makeInvariantChecker()
  return (step) => {
    check(step)
    cheap(step)
  }
}), rate)
measure("the same, immutable", (i: number) => {
  let state = makeWorld(faulty(i + 1))
  for (const action of story.slice(0, 400)) state = actPure(state, action, { observe: cheap })[0]
}, rate)
measure("5 nodes at rest", () => {
  const world = new World({ seed: 1, nodes: 5 })
  world.run(60_000)
  virtual += world.now
}, (ms) => `${Math.round(virtual / ms).toLocaleString("en")} times real time`)
