/** Backups and recovery on real processes: saved under load, restored, and grown to three nodes again. */
import { rmSync } from "node:fs"
import { expect } from "vitest"
import { until, withCluster, type Cluster } from "./cluster.ts"
import { longTest } from "./long.ts"
import { done, measureBackup, startWriters, stepraft, transactionsIn, wrongIn } from "./recovery/backup.ts"
import { startWorkload, verify } from "./workload.ts"

const portOf = (cluster: Cluster, id: string): string => String(cluster.member(id).clientPort)

/** The others run with empty folders: one after the other is taken in and votes. */
const grow = async (cluster: Cluster, first: string): Promise<void> => {
  for (const id of cluster.ids) {
    if (id === first) continue
    cluster.start(id)
    await until(`${id} is up`, async () => (await cluster.status(id)) !== null)
    await done("member", "add", id, "--port", portOf(cluster, first))
    await done("member", "promote", id, "--port", portOf(cluster, first))
  }
  await cluster.settled()
}

/** What each node itself holds. */
const transactionsAt = (cluster: Cluster): Promise<readonly number[]> =>
  Promise.all(
    cluster.ids.map(async (id) => {
      const client = await cluster.connect(id)
      await client.call("READONLY")
      const found = await transactionsIn(client, 12)
      client.close()
      return found
    }),
  )

longTest("a backup of a cluster under load is one state of its history, and becomes three nodes again", () =>
  withCluster({}, async (cluster) => {
    const { figures, fresh } = await measureBackup(cluster, { bytes: 20e6, quietMs: 0, say: () => undefined })
    try {
      expect(wrongIn(figures)).toEqual([])
      await grow(fresh, "n1")
      expect(await transactionsAt(fresh)).toEqual(fresh.ids.map(() => figures.transactions))
      const workload = startWorkload(fresh)
      await workload.nextAfter(performance.now(), true)
      expect((await verify(fresh, [workload], fresh.ids)).wrong).toEqual([])
    } finally {
      await fresh.dispose()
    }
  }),
)

longTest(
  "two of three disks are lost under load: the plan, the application, what is there again and what is lost, as documented",
  () =>
    withCluster({}, async (cluster) => {
      const writers = await startWriters(cluster, 6)
      await until("some transactions", () => writers.acknowledged() > 300)
      // The survivor has all until here, and misses the end: what is acknowledged from here on stands on the lost disks alone.
      await writers.rest()
      await cluster.settled()
      const [survivor = ""] = await cluster.followers()
      const { data } = cluster.member(survivor)
      await cluster.kill(survivor)
      const before = writers.acknowledged()
      writers.goOn()
      await until("more transactions", () => writers.acknowledged() > before + 100)
      const lost = cluster.ids.filter((id) => id !== survivor)
      const refused = await stepraft("recover", "apply", data, "--accept-lost-writes")
      expect([refused.code, refused.text]).toEqual([
        1,
        expect.stringMatching(/No recovery is needed: .* answer, and the directories of/) as string,
      ])
      await cluster.killAll()
      await writers.stop()
      for (const id of lost) rmSync(cluster.member(id).data, { recursive: true })

      const plan = JSON.parse(await done("recover", "plan", data, "-o", "json")) as {
        readonly keptThrough: { readonly index: number }
        readonly lost: readonly string[]
        readonly majority: boolean
      }
      expect([plan.lost, plan.majority]).toEqual([lost, false])
      expect((await stepraft("recover", "apply", data)).text).toContain("--accept-lost-writes")
      expect(await done("recover", "apply", data, "--accept-lost-writes")).toMatch(/only voter of the new cluster/)
      cluster.start(survivor)
      await until(`${survivor} leads`, async () => (await cluster.status(survivor))?.role === "leader")
      await grow(cluster, survivor)
      // All of what was acknowledged while the survivor was there, and nothing of what came after.
      expect(await transactionsAt(cluster)).toEqual(cluster.ids.map(() => before))
      expect(writers.acknowledged()).toBeGreaterThan(before + 100)
      const workload = startWorkload(cluster)
      await workload.nextAfter(performance.now(), true)
      expect((await verify(cluster, [workload], cluster.ids)).wrong).toEqual([])
    }),
)
