/**
 * Random worlds with clients of the key-value service, one seed after the other, until what clients were told does not fit
 * together, or the time is up. Nothing looks at the servers.
 * Usage: tsx test/mutants/layers/clients.ts [--seconds n] [--from seed] [--ignore seed,…] | --seed n
 */
import { parseArgs } from "node:util"
import { kvLoad } from "../../../kv/simulation/index.ts"
import { checkScript, generateScript, profileNames, type ScriptVerdict } from "../../../spec/index.ts"

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    ignore: { type: "string", default: "" },
  },
})
const ignored = new Set(values.ignore.split(","))

const verdictOf = (seed: number): ScriptVerdict => {
  // A third is calm: where little goes wrong much is under way, and answers of copies meet.
  const profile =
    (["calm", "everything"] as const)[seed % 3] ??
    profileNames[Math.floor(seed / 3) % profileNames.length] ??
    "everything"
  return checkScript(generateScript(seed, profile, { nodes: 1 + (seed % 5) }), {
    invariants: false,
    machineDigests: false,
    companions: kvLoad({ clients: 5 }),
  })
}

const only = values.seed === undefined ? null : Number(values.seed)
const end = performance.now() + Number(values.seconds) * 1000
let worlds = 0
for (let seed = only ?? Number(values.from); performance.now() < end; seed++) {
  const verdict = verdictOf(seed)
  worlds += 1
  if (!verdict.ok && !ignored.has(String(seed))) {
    console.log(JSON.stringify({ failed: verdict.violation, detail: verdict.message, case: String(seed) }))
    console.log(`npx tsx test/mutants/layers/clients.ts --seed ${seed}`)
    process.exitCode = 1
    break
  }
  if (only !== null) break
}
console.log(`${worlds} worlds`)
