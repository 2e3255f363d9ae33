import { expect, test } from "vitest"
import { until } from "./cluster.ts"
import { withLocalCluster } from "./node.help.ts"

test("three empty nodes form a cluster, elect a leader and serve at every node", async () => {
  await withLocalCluster(3, async (cluster) => {
    await cluster.startAll()
    const leader = await cluster.leader()
    for (const node of cluster.nodes) {
      const client = await cluster.connect(node)
      expect(await client.call("SET", `from-${node.id}`, node.id)).toBe("OK")
      expect(await client.call("GET", `from-${node.id}`)).toBe(node.id)
      expect(await client.call("INCR", "count")).toBe(cluster.nodes.indexOf(node) + 1)
    }
    const clusters = new Set(cluster.nodes.map((node) => node.status().cluster))
    expect(clusters.size).toBe(1)
    expect(leader.status().health).toBe("ok")
    await until("all have applied the same", () => new Set(cluster.nodes.map((node) => node.status().applied)).size === 1)
  })
})

test("one node alone forms a cluster of itself", async () => {
  await withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const client = await cluster.connect(await cluster.leader())
    expect(await client.call("SET", "a", "1")).toBe("OK")
    expect(await client.call("GET", "a")).toBe("1")
  })
})
