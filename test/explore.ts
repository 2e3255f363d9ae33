/**
 * Searches the spaces of spec/explore whole, one after the other, and prints what was looked at. A violation is told as
 * the shortest history that leads to it.
 *
 *   npm run explore -- [space …] [--seconds n] [--breadth]
 *
 * --seconds: for all spaces together (default: 900 for each). --breadth: breadth first from the start. Ends with code 1
 * if a rule is broken; a space that did not close within its time is named as such.
 */
import { parseArgs } from "node:util"
import { describeSteps, explore, spaces, type Explored, type Space } from "../spec/explore/index.ts"

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seconds: { type: "string" }, breadth: { type: "boolean", default: false } } })
const all: Readonly<Record<string, Space>> = spaces
const chosen = positionals.length === 0 ? Object.values(all) : positionals.map((name) => {
  const space = all[name]
  if (space === undefined) throw new Error(`no space ${name}; there are ${Object.keys(all).join(", ")}`)
  return space
})

const thousands = (n: number): string => Math.round(n).toLocaleString("en-US")
const search = (space: Space, maxSeconds: number, shortest: boolean): Explored =>
  explore(space, {
    maxSeconds,
    shortest,
    onProgress: ({ states, transitions, depth, queue, level, seconds }) =>
      process.stderr.write(`${space.name}: ${thousands(states)} states, ${thousands(transitions)} transitions, depth ${depth}, level ${level}, ${thousands(queue)} to look at, ${thousands(states / seconds)} states/s\n`),
  })

const tell = (space: Space, found: Explored, maxSeconds: number): void => {
  const shortest = values.breadth ? found : search(space, maxSeconds, true)
  const { counterexample } = shortest.counterexample === null ? found : shortest
  if (counterexample === null) return
  console.log(JSON.stringify({ failed: counterexample.name, detail: `${space.name}, ${counterexample.steps.length} steps: ${counterexample.detail}` }))
  console.log(`npx tsx test/explore.ts ${space.name} --breadth`)
  for (const line of describeSteps(space, counterexample.steps)) console.log(line)
}

interface Measured {
  readonly explored: Explored
  /** Seconds of the processor: a busy machine stretches the others. */
  readonly cpu: number
  readonly megabytes: number
}
const row = ({ explored: r, cpu, megabytes }: Measured): string => {
  const speed = `${thousands(r.transitions / cpu)}/s`
  return `| ${[r.space, r.closed ? "closed" : r.counterexample === null ? "not closed" : r.counterexample.name, thousands(r.combinations), thousands(r.states), thousands(r.expanded), thousands(r.transitions), thousands(r.effective), r.depth, r.seconds.toFixed(1), cpu.toFixed(1), speed, thousands(megabytes), thousands(r.serverStates), thousands(r.messages), thousands(r.reducerRuns)].join(" | ")} |`
}

const started = performance.now()
const budget = values.seconds === undefined ? null : Number(values.seconds)
const done: Measured[] = []
chosen.forEach((space, i) => {
  // What one space leaves of its share is for those after it.
  const share = budget === null ? 900 : (budget - (performance.now() - started) / 1000) / (chosen.length - i)
  if (share <= 0) return
  const before = process.cpuUsage()
  const explored = search(space, share, values.breadth)
  const { user, system } = process.cpuUsage(before)
  done.push({ explored, cpu: (user + system) / 1e6, megabytes: process.memoryUsage().rss / 1e6 })
  if (explored.counterexample === null) return
  process.exitCode = 1
  tell(space, explored, Math.max(share - explored.seconds, 10))
})
console.log("| space | | combinations of servers | states | looked at | transitions | effective | depth | seconds | CPU s | transitions per CPU s | MB | server states | messages | reducer runs |")
console.log(`|${" --- |".repeat(15)}`)
for (const measured of done) console.log(row(measured))
for (const { explored: { space, notReached } } of done) console.log(`\n${space} (${all[space]?.about}) never used ${notReached.length} rules: ${notReached.join(", ")}`)
const everywhere = done.map(({ explored }) => new Set<string>(explored.notReached))
const nowhere = done[0]?.explored.notReached.filter((rule) => everywhere.every((rules) => rules.has(rule))) ?? []
console.log(`\nUsed in no space: ${nowhere.join(", ")}`)
