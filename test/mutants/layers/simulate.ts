/**
 * Random worlds, one seed after the other, until one breaks an invariant or does not recover, or the time is up.
 * Usage: tsx test/mutants/layers/simulate.ts [--seconds n] [--from seed] | --seed n
 */
import { parseArgs } from "node:util"
import { InvariantViolated, makeInvariantChecker } from "../../../spec/index.ts"
import { eventfulWorld } from "../../invariants.help.ts"
import { chaos, settingsOf, settled } from "../../worlds.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "20" }, from: { type: "string", default: "1" }, seed: { type: "string" } } })

interface Flaw {
  readonly name: string
  readonly detail: string
}

/** Faults and load, and afterwards progress. */
const recovers = (seed: number): Flaw | null => {
  const world = chaos({ seed, nodes: 1 + (seed % 5), settings: settingsOf(seed) })
  if (world.names.every((name) => world.state(name)?.machine === "rebuild")) return null
  if (!world.runUntil(() => world.leader() !== undefined, 20_000)) return { name: "no leader after everything was mended", detail: `seed ${seed}` }
  if (!world.runUntil(() => settled(world), 30_000)) return { name: "no progress after everything was mended", detail: `seed ${seed}` }
  return null
}
/** Changes of members, leases and lost disks too: nothing is promised about progress. */
const staysSafe = (seed: number): Flaw | null => {
  const check = makeInvariantChecker()
  const world = eventfulWorld({ seed, started: check.started, observe: check })
  world.run(2000)
  check.sweep()
  return null
}

/** What went wrong in the world of that seed, or null. */
const flawOf = (seed: number): Flaw | null => {
  try {
    return seed % 2 === 0 ? recovers(seed) : staysSafe(seed)
  } catch (error) {
    if (error instanceof InvariantViolated) return { name: error.invariant, detail: error.message }
    return { name: "the reducer or the world threw", detail: String(error) }
  }
}

const only = values.seed === undefined ? null : Number(values.seed)
const end = performance.now() + Number(values.seconds) * 1000
let worlds = 0
for (let seed = only ?? Number(values.from); performance.now() < end; seed++) {
  const flaw = flawOf(seed)
  worlds += 1
  if (flaw !== null) {
    console.log(JSON.stringify({ failed: flaw.name, detail: flaw.detail }))
    console.log(`npx tsx test/mutants/layers/simulate.ts --seed ${seed}`)
    process.exitCode = 1
    break
  }
  if (only !== null) break
}
console.log(`${worlds} worlds`)
