/** Every write of whole worlds × everything that can become of it when its server dies. */
import { expect, test } from "vitest"
import type { Recovered } from "../core/index.ts"
import { runScript, type Script } from "../interpreters/simulation/index.ts"
import {
  crashFates,
  crashPoints,
  generateScript,
  type CrashFate,
  type CrashPoint,
  type Profile,
} from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { passing } from "./worlds.ts"

/** An election, and two writes that are under way together: the later one can be torn. */
const short: Script = {
  seed: 1,
  options: { nodes: 3, disk: { min: 3, max: 3 }, connections: true },
  actions: [
    { type: "run", ms: 1100 },
    { type: "propose", node: "leader", id: 1 },
    { type: "run", ms: 1 },
    { type: "propose", node: "leader", id: 2 },
    { type: "run", ms: 40 },
  ],
}
const profiles: readonly Profile[] = ["lossy", "partitions", "membership"]
const scripts: readonly (readonly [string, Script])[] = full
  ? profiles.flatMap((profile) =>
      Array.from(
        { length: many(60, 3) },
        (_, seed) => [`${profile} ${seed + 1}`, generateScript(seed + 1, profile, { nodes: 3, steps: 30 })] as const,
      ),
    )
  : [["short", short]]
/** Whatever is written. */
const shapes = full ? ["term", "vote", "entries", "configuration", "truncation+entries", "base"] : ["vote", "entries"]

/** What its server finds on its disk when it starts again; null: it does not start. */
const foundAfter = (script: Script, { node, asked }: CrashPoint, crashed: Script): string | null => {
  const after = asked.left.length + script.actions.length - asked.action - 1
  let found: string | null = null
  const stopped = (name: string): void => {
    if (name === node) found = null
  }
  const started = (name: string, { hardState, base, entries }: Recovered): void => {
    if (name === node) found = JSON.stringify([hardState, base, entries.map(({ index, term }) => [index, term])])
  }
  runScript({ ...crashed, actions: crashed.actions.slice(0, crashed.actions.length - after) }, { stopped, started })
  return found
}

test(
  `a crash at any persist boundary of ${full ? "random worlds, whatever is written," : "a short world"} breaks nothing: every write × every fate`,
  { timeout: 1_800_000 },
  () => {
    const counts = new Map<string, Map<CrashFate, number>>()
    let writes = 0
    for (const [name, script] of scripts) {
      const { points, unfolded, crashing } = crashPoints(script)
      expect(runScript(unfolded).hash(), name).toBe(runScript(script).hash())
      writes += points.length
      for (const point of points) {
        const found = (["lost", "torn", "durable", "corrupted"] as const).flatMap((fate) => {
          const crashed = crashing(point, fate)
          return crashed === null ? [] : [foundAfter(script, point, crashed)]
        })
        // Each fate leaves something else on the disk, and what is corrupt does not start.
        expect(new Set(found).size, `${name}, ${point.shape} at ${point.node}: ${found.join(" ")}`).toBe(found.length)
        expect(found.includes(null)).toBe(crashing(point, "corrupted") !== null)
        for (const fate of crashFates) {
          const crashed = crashing(point, fate)
          if (crashed === null) continue
          expect(
            () => passing(crashed, { refinement: true }),
            `${name}, ${point.shape} at ${point.node}, ${fate}`,
          ).not.toThrow()
          const row = counts.get(point.shape) ?? new Map<CrashFate, number>()
          counts.set(point.shape, row.set(fate, (row.get(fate) ?? 0) + 1))
          // What every write has: the others hang on what else was under way.
          if (fate === "durable")
            expect([crashing(point, "notHandedOver"), crashing(point, "lost")]).not.toContain(null)
        }
      }
    }
    const rows = [...counts].sort(([a], [b]) => (a < b ? -1 : 1))
    console.log(
      `${writes} writes, each at every boundary:\n${rows.map(([shape, row]) => `  ${shape}: ${crashFates.map((fate) => `${fate} ${row.get(fate) ?? 0}`).join(", ")}`).join("\n")}`,
    )
    for (const shape of shapes)
      expect([...(counts.get(shape)?.keys() ?? [])], shape).toEqual(
        expect.arrayContaining(crashFates.filter((fate) => fate !== "torn")),
      )
    expect(counts.get("entries")?.has("torn")).toBe(true)
  },
)
