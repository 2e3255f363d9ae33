/** Every write of whole worlds × everything that can become of it when its server dies. */
import { expect, test } from "vitest"
import { checkScript, crashFates, crashPoints, generateScript, scenarioText, type Profile } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"

/** Whatever is written: kinds of writes that chance does not always bring. */
const shapes = ["term", "vote", "entries", "configuration", "truncation+entries", "base", "term+truncation+entries"]

test("a crash at any persist boundary breaks nothing: every write × every fate", { timeout: 1_800_000 }, () => {
  const counts = new Map<string, Map<string, number>>()
  const profiles: readonly Profile[] = full ? ["lossy", "partitions", "membership"] : ["partitions"]
  let writes = 0
  let worlds = 0
  for (const profile of profiles)
    for (let seed = 1; seed <= (full ? many(10, 1) : 1); seed++) {
      const { points, crashing } = crashPoints(generateScript(seed, profile, { nodes: 3, steps: full ? 40 : 10 }))
      writes += points.length
      for (const point of points)
        for (const fate of crashFates) {
          const script = crashing(point, fate)
          if (script === null) continue
          const verdict = checkScript(script, { refinement: true })
          if (!verdict.ok) throw new Error(`${profile} ${seed}, ${point.shape} at ${point.node}, ${fate}: ${verdict.message}\n${scenarioText(script)}`)
          worlds += 1
          const row = counts.get(point.shape) ?? new Map<string, number>()
          counts.set(point.shape, row.set(fate, (row.get(fate) ?? 0) + 1))
        }
    }
  for (const [shape, row] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${shape}: ${crashFates.map((fate) => `${fate} ${row.get(fate) ?? 0}`).join(", ")}`)
  console.log(`${writes} writes, ${worlds} worlds`)
  if (full) expect(shapes.filter((shape) => !counts.has(shape))).toEqual([])
})
