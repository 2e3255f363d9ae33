/** Backups and recovery on real processes: saved under load, restored, and grown to three nodes again. */
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"
import { contents, root, startCluster, until, withCluster, type Cluster } from "./cluster.ts"
import { longTest } from "./long.ts"
import type { RespClient } from "./resp.ts"
import { startWorkload, verify } from "./workload.ts"

/** `stepraft …`: its exit code and what it says. */
const stepraft = (...words: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, "dist/kv/cli.js"), ...words], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()))
    child.once("close", (code) => resolve({ code, text }))
  })
const done = async (...words: readonly string[]): Promise<string> => {
  const { code, text } = await stepraft(...words)
  expect([code, text]).toEqual([0, text])
  return text
}
const portOf = (cluster: Cluster, id: string): string => String(cluster.member(id).clientPort)

/** Writers whose every transaction moves a counter of all and a list of their own: in each state of the history the two agree. */
const startWriters = async (
  cluster: Cluster,
  count: number,
): Promise<{ readonly acknowledged: () => number; readonly stop: () => Promise<void> }> => {
  const control = { going: true, acknowledged: 0 }
  const write = async (client: RespClient, name: string): Promise<void> => {
    while (control.going && !client.closed()) {
      const [, , , exec] = await Promise.allSettled([
        client.call("MULTI"),
        client.call("INCR", "total"),
        client.call("APPEND", name, "."),
        client.call("EXEC"),
      ])
      // Its node may be killed.
      if (exec.status === "fulfilled" && Array.isArray(exec.value)) control.acknowledged += 1
    }
    client.close()
  }
  const clients = await Promise.all(
    Array.from({ length: count }, (_, i) => cluster.connect(cluster.ids[i % cluster.ids.length] ?? "")),
  )
  const writing = Promise.all(clients.map((client, i) => write(client, `writer:${i}`)))
  return {
    acknowledged: () => control.acknowledged,
    stop: async () => {
      control.going = false
      await writing
    },
  }
}

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

longTest("a backup of a cluster under load is one state of its history, and becomes three nodes again", () =>
  withCluster({}, async (cluster) => {
    const writers = await startWriters(cluster, 12)
    await until("some transactions", () => writers.acknowledged() > 500)
    const before = writers.acknowledged()
    const file = join(cluster.folder, "one.backup")
    const [from = ""] = await cluster.followers()
    await done("snapshot", "save", file, "--port", portOf(cluster, from))
    await writers.stop()
    expect(await done("snapshot", "inspect", file)).toMatch(/whole/)

    const fresh = await startCluster()
    try {
      await fresh.killAll()
      // These folders were never used: what the nodes began to make before they were killed is left alone.
      for (const member of fresh.members) Object.assign(member, { data: `${member.data}.restored` })
      await done("snapshot", "restore", file, "--id", "n1", "--data", fresh.member("n1").data)
      fresh.start("n1")
      await until("n1 leads", async () => (await fresh.status("n1"))?.role === "leader")
      await grow(fresh, "n1")
      for (const id of fresh.ids) {
        const found = await contents(fresh, id)
        const total = Number(found.get("total"))
        expect(
          Array.from(found, ([key, value]) => (key.startsWith("writer:") ? value.length : 0)).reduce(
            (sum, length) => sum + length,
            0,
          ),
        ).toBe(total)
        expect(total).toBeGreaterThanOrEqual(before)
      }
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
      // The survivor has missed the end: what is acknowledged from here on stands on the lost disks alone.
      const [survivor = ""] = await cluster.followers()
      const { data } = cluster.member(survivor)
      await cluster.kill(survivor)
      const before = writers.acknowledged()
      await until("more transactions", () => writers.acknowledged() > before + 100)
      const lost = cluster.ids.filter((id) => id !== survivor)
      const refused = await stepraft("recover", "apply", data, "--accept-lost-writes")
      expect([refused.code, refused.text]).toEqual([
        1,
        expect.stringMatching(/Nothing need be recovered: .* answer, and the directories of/) as string,
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
      for (const id of cluster.ids) {
        const found = await contents(cluster, id)
        const total = Number(found.get("total"))
        expect(
          Array.from(found, ([key, value]) => (key.startsWith("writer:") ? value.length : 0)).reduce(
            (sum, length) => sum + length,
            0,
          ),
        ).toBe(total)
        // Acknowledged while the survivor was there, all but what was on its way to it when it was killed; and nothing of what came after.
        expect(total).toBeGreaterThan(before - 100)
        expect(total).toBeLessThan(writers.acknowledged())
      }
      const workload = startWorkload(cluster)
      await workload.nextAfter(performance.now(), true)
      expect((await verify(cluster, [workload], cluster.ids)).wrong).toEqual([])
    }),
)
