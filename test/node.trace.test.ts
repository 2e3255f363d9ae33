/** `--trace`: the way of a write through three nodes. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import type { TraceLine } from "../interpreters/driver/index.ts"
import { temporaryFolder, until } from "./cluster.ts"
import { withLocalCluster } from "./node.help.ts"

type Line = TraceLine & { readonly time: string; readonly ms: number; readonly node: string }

test("the lines of all nodes tell which one was asked, where the leader put it, and when it was on each disk, committed and executed", () => {
  const folder = temporaryFolder("stepraft-trace-")
  const linesOf = (id: string): readonly Line[] =>
    readFileSync(join(folder, id), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line)
  return withLocalCluster(
    3,
    async (cluster) => {
      await Promise.all(cluster.nodes.map((node) => node.start({ trace: join(folder, node.id) })))
      const leader = await cluster.leader()
      const asked = cluster.nodes.find((node) => node !== leader) ?? leader
      const client = await cluster.connect(asked)
      expect(await client.call("SET", "first", "v")).toBe("OK")
      const { applied } = asked.status()
      expect(await client.call("SET", "secret-key", "secret-value")).toBe("OK")
      const index = await until(
        "its place is known",
        () => linesOf(asked.id).findLast(({ placed }) => placed !== undefined && placed > applied)?.placed ?? null,
      )
      await until("all have executed it", () => cluster.nodes.every((node) => node.status().applied >= index))
      await until("and have said so", () =>
        cluster.nodes.every(({ id }) => linesOf(id).some(({ executed = 0 }) => executed >= index)),
      )

      expect(linesOf(asked.id).filter((line) => (line.asked ?? 0) > 0).length).toBeGreaterThanOrEqual(2)
      const took = linesOf(leader.id).find(({ log = 0 }) => log >= index)
      expect(took?.forwarded?.[asked.id]).toBeGreaterThanOrEqual(1)
      expect(took?.term).toBe(leader.status().term)
      for (const { id } of cluster.nodes) {
        const lines = linesOf(id)
        const stages = (["log", "durable", "committed", "executed"] as const).map((stage) =>
          lines.findIndex((line) => (line[stage] ?? 0) >= index),
        )
        expect(stages, id).not.toContain(-1)
        const [log = 0, durable = 0, committed = 0, executed = 0] = stages
        // A disk and a state machine report later, each in a batch of its own.
        expect(durable, id).toBeGreaterThan(log)
        expect(executed, id).toBeGreaterThan(committed)
        // Nothing is executed that the own disk does not hold; it may be committed before, by the disks of others.
        expect(executed, id).toBeGreaterThanOrEqual(durable)
        expect(lines.findLast((line) => line.leader !== undefined)?.leader).toBe(leader.id)
        expect(lines.map(({ ms }) => ms)).toEqual(lines.map(({ ms }) => ms).toSorted((a, b) => a - b))
        expect(readFileSync(join(folder, id), "utf8")).not.toContain("secret")
      }
    },
    { settings: { ...defaultSettings, heartbeat: 60, electionMin: 300, electionMax: 400 } },
  )
})
