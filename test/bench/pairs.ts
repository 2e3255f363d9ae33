/**
 * World speed of two builds, in one process and in alternating rounds, so that whatever else the machine does slows both.
 * Both run the same seeds and actions; a round is one world.
 */
import { resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type * as Core from "../../core/main.ts"
import type * as Simulation from "../../interpreters/simulation/main.ts"
import type * as Spec from "../../spec/main.ts"
import { readOptions } from "../options.ts"
import { faultyWorld, storyFor } from "./story.ts"

const usage = `npx tsx test/bench/pairs.ts OTHER [THIS] [options]

Steps a second of simulated worlds, THIS build relative to OTHER: folders with a built checkout (npm ci && npm run build).
THIS is this one by default. The same folder twice, of which one is a copy, shows what the noise alone looks like.

  --rounds N      pairs of rounds for each line (default: 15)
  --ms N          virtual milliseconds of a world under load and faults (default: 5000)
`
const { number, positionals, complain } = readOptions(
  usage,
  { rounds: { type: "string", default: "15" }, ms: { type: "string", default: "5000" } },
  "folders",
)
const [other, own = resolve(fileURLToPath(import.meta.url), "../../..")] = positionals
if (other === undefined) throw complain("one folder is needed")

type World = Simulation.World
type Watch = Pick<ReturnType<typeof Spec.makeInvariantChecker>, "started"> & ((step: Simulation.WorldStep) => void)
interface Build {
  readonly core: Pick<typeof Core, "defaultSettings">
  readonly simulation: Pick<typeof Simulation, "World" | "makeWorld" | "actPure">
  readonly spec: Pick<typeof Spec, "makeInvariantChecker" | "makeRefinementChecker">
}
/** Older builds have no main.js beside their index.js. */
const load = async <A>(folder: string, room: string): Promise<A> => {
  const at = (name: string): string => pathToFileURL(resolve(folder, "dist", room, name)).href
  return (await import(at("main.js")).catch(() => import(at("index.js")))) as A
}
const buildIn = async (folder: string): Promise<Build> => ({
  core: await load(folder, "core"),
  simulation: await load(folder, "interpreters/simulation"),
  spec: await load(folder, "spec"),
})
/** In older builds `trailingLogBytes` was called `tailBytes`. */
const optionsFor = ({ core }: Build, nodes: number, seed: number): Simulation.WorldOptions => {
  const { settings, ...options } = faultyWorld(nodes, seed)
  if ("trailingLogBytes" in core.defaultSettings) return { ...options, ...(settings === undefined ? {} : { settings }) }
  const { trailingLogBytes, ...rest } = settings ?? {}
  return { ...options, settings: { ...rest, tailBytes: trailingLogBytes } as Partial<Core.Settings> }
}

const story = [3, 5].map((nodes) => ({ nodes, actions: storyFor(nodes, number("ms", 100)) }))
type Round = (build: Build, seed: number) => number
const watched =
  (nodes: number, actions: readonly Simulation.Action[], watches: (spec: Build["spec"]) => readonly Watch[]): Round =>
  (build, seed) => {
    const looking = watches(build.spec)
    const world: World = new build.simulation.World({
      ...optionsFor(build, nodes, seed),
      started: (node, recovered) => looking.forEach((watch) => watch.started(node, recovered)),
      observe: (step) => looking.forEach((watch) => watch(step)),
    })
    for (const action of actions) world.act(action)
    return world.steps
  }
const lines: readonly (readonly [string, Round])[] = story.flatMap(({ nodes, actions }) => [
  [`${nodes} nodes, nobody looks`, watched(nodes, actions, () => [])],
  [`${nodes} nodes, every invariant`, watched(nodes, actions, (spec) => [spec.makeInvariantChecker()])],
  [`${nodes} nodes, refinement`, watched(nodes, actions, (spec) => [spec.makeRefinementChecker()])],
  [
    `${nodes} nodes, the immutable face`,
    (build, seed) => {
      let state = build.simulation.makeWorld(optionsFor(build, nodes, seed))
      for (const action of actions.slice(0, 400)) state = build.simulation.actPure(state, action)[0]
      return state.steps
    },
  ],
  [
    `${nodes} nodes at rest`,
    ({ simulation }, seed) => {
      const world = new simulation.World({ seed, nodes })
      world.run(60_000)
      return world.steps
    },
  ],
])

const spent = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const measure = (build: Build, round: Round, seed: number): { readonly steps: number; readonly seconds: number } => {
  const before = spent()
  const steps = round(build, seed)
  return { steps, seconds: spent() - before }
}

const [before, now] = [await buildIn(other), await buildIn(own)]
const rounds = number("rounds", 1)
console.log("| world | steps/s before | now | now / before (median of pairs) | quartiles | steps now / before |")
console.log("|---|---|---|---|---|---|")
for (const [name, round] of lines) {
  for (let seed = 1; seed <= 3; seed++) for (const build of [before, now]) round(build, seed)
  const pairs = Array.from({ length: rounds }, (_, i) => {
    // The one that runs second finds a warmer cache and a different heap, so they take turns.
    const [first, second] = i % 2 === 0 ? [before, now] : [now, before]
    const [one, two] = [measure(first, round, i + 4), measure(second, round, i + 4)]
    return i % 2 === 0 ? { before: one, now: two } : { before: two, now: one }
  })
  const rate = ({ steps, seconds }: { steps: number; seconds: number }): number => steps / seconds
  const ratios = pairs.map((pair) => rate(pair.now) / rate(pair.before)).toSorted((a, b) => a - b)
  const sum = (of: "before" | "now"): number => pairs.reduce((total, pair) => total + pair[of].steps, 0)
  const at = (share: number): string => (ratios[Math.floor((ratios.length - 1) * share)] ?? Number.NaN).toFixed(2)
  const whole = (value: number): string => Math.round(value).toLocaleString("en")
  console.log(
    `| ${name} | ${whole(median(pairs.map((pair) => rate(pair.before))))} | ${whole(median(pairs.map((pair) => rate(pair.now))))} | ${at(0.5)} | ${at(0.25)}–${at(0.75)} | ${(sum("now") / sum("before")).toFixed(2)} |`,
  )
}
