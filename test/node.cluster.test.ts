import { expect, test } from "vitest"
import { makeGate } from "../kv/node/gate.ts"
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

test("the gate of a node that has failed lets nobody through to the service behind it", async () => {
  const refusal = (text: string) => ({ type: "error", code: "NOLEADER", text }) as const
  const gate = makeGate({ status: () => { throw new Error("not asked") }, leader: () => null, refusal: refusal("forming") })
  const passed: string[] = []
  const pass = (name: string) => (): void => void passed.push(name)
  const reader = { read: () => refusal("read"), version: () => 7, now: () => 1 }
  gate.open({ ...gate, write: pass("write"), barrier: pass("barrier"), openSession: pass("open"), closeSession: pass("close"), writeInSession: pass("in session"), reader })
  gate.write([], false, [], () => undefined)
  gate.barrier(() => undefined)
  expect(passed).toEqual(["write", "barrier"])
  expect(gate.reader.version(Buffer.from("k"))).toBe(7)
  gate.shut(refusal("failed"))
  const told = await Promise.all([
    new Promise((resolve) => gate.write([], false, [], resolve)),
    new Promise((resolve) => gate.barrier(resolve)),
    gate.reader.read([]),
  ])
  expect(passed).toEqual(["write", "barrier"])
  expect(told).toEqual([refusal("failed"), refusal("failed"), refusal("failed")])
  expect(gate.reader.version(Buffer.from("k")), "no watched version may fit").toBeGreaterThan(2 ** 40)
})
