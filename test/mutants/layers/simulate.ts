/**
 * Random worlds, one seed after the other, until one breaks a rule or makes no progress, or the time is up. --refine:
 * instead of the invariants and of progress, every step is held against the abstract specification.
 * Usage: tsx test/mutants/layers/simulate.ts [--refine] [--seconds n] [--from seed] [--ignore seed,…] | --seed n
 */
import { parseArgs } from "node:util"
import { checkScript } from "../../../spec/index.ts"
import { checksOf, scriptOf } from "./worlds.ts"

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    ignore: { type: "string", default: "" },
    refine: { type: "boolean", default: false },
  },
})
const ignored = new Set(values.ignore.split(","))

const only = values.seed === undefined ? null : Number(values.seed)
const end = performance.now() + Number(values.seconds) * 1000
let worlds = 0
for (let seed = only ?? Number(values.from); performance.now() < end; seed++) {
  const verdict = checkScript(scriptOf(seed), checksOf(values.refine))
  worlds += 1
  if (!verdict.ok && !ignored.has(String(seed))) {
    console.log(JSON.stringify({ failed: verdict.violation, detail: verdict.message, case: String(seed) }))
    console.log(`npx tsx test/mutants/layers/simulate.ts${values.refine ? " --refine" : ""} --seed ${seed}`)
    process.exitCode = 1
    break
  }
  if (only !== null) break
}
console.log(`${worlds} worlds`)
