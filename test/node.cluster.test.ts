import { expect, test } from "vitest"
import { makeGate } from "../kv/node/gate.ts"
import { until } from "./cluster.ts"
import { withLocalCluster } from "./node.help.ts"
import { ErrorReply } from "./resp.ts"

test("three empty nodes form a cluster, elect a leader and serve at every node, pipelines of reads and writes in their order", async () => {
  await withLocalCluster(3, async (cluster) => {
    await cluster.startAll()
    const leader = await cluster.leader()
    for (const node of cluster.nodes) {
      const client = await cluster.connect(node)
      expect(await client.call("SET", `from-${node.id}`, node.id)).toBe("OK")
      expect(await client.call("GET", `from-${node.id}`)).toBe(node.id)
      expect(await client.call("INCR", "count")).toBe(cluster.nodes.indexOf(node) + 1)
      const before = node.status().applied
      const turns = Array.from({ length: 500 }, (_, i) => i + 1)
      const replies = await Promise.all(
        turns.flatMap(() => [client.call("INCR", node.id), client.call("GET", node.id)]),
      )
      expect(replies).toEqual(turns.flatMap((i) => [i, String(i)]))
      // Reads are no entries.
      expect(node.status().applied - before).toBeLessThan(510)
    }
    const clusters = new Set(cluster.nodes.map((node) => node.status().cluster))
    expect(clusters.size).toBe(1)
    expect(leader.status().health).toBe("ok")
    await until(
      "all have applied the same",
      () => new Set(cluster.nodes.map((node) => node.status().applied)).size === 1,
    )
    // A replica of Redis's tells that offset too.
    for (const id of ["n1", "n2", "n3"])
      expect(await (await cluster.connect(cluster.node(id))).call("INFO", "replication")).toMatch(
        /role:(master|slave)\r\n[^]*master_repl_offset:\d/,
      )
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

test("a client enters no session that it did not open: neither a node's nor another client's, by any guess", async () => {
  await withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const client = await cluster.connect(await cluster.leader())
    const stranger = await cluster.connect(await cluster.leader())
    expect(await client.call("SET", "x", "1")).toBe("OK")
    const told = await client.call("STEPRAFT", "SESSION", "OPEN", "me")
    const key = typeof told === "string" ? told : ""
    expect(key).toMatch(/^\d+-[0-9a-f]{32}$/)
    expect(await stranger.call("STEPRAFT", "SESSION", "OPEN", "me")).not.toBe(key)
    expect(await client.call("STEPRAFT", "DO", key, 1, 1, "INCR", "n")).toBe(1)
    const code = async (...words: (string | number)[]): Promise<string> => {
      const reply = await stranger.call(...words)
      return reply instanceof ErrorReply ? reply.code : JSON.stringify(reply)
    }
    const last = Number(key.split("-")[0]) + 3
    for (let session = 0; session <= last; session++) {
      for (let sequence = 1; sequence <= 3; sequence++)
        expect(await code("STEPRAFT", "DO", session, sequence, 1, "SET", "y", "evil")).toBe("ERR")
      const guess = `${session}-${"0".repeat(32)}`
      for (let sequence = 1; sequence <= 3; sequence++)
        expect(await code("STEPRAFT", "DO", guess, sequence, 99, "SET", "y", "evil")).toBe("SESSIONEXPIRED")
      expect(await code("STEPRAFT", "EXEC", guess, 2, 99, 0, 3, "SET", "y", "evil")).toBe("SESSIONEXPIRED")
      expect(await code("STEPRAFT", "SESSION", "CLOSE", guess)).toBe("SESSIONEXPIRED")
    }
    expect(await client.call("STEPRAFT", "DO", key, 1, 1, "INCR", "n")).toBe(1)
    expect(await client.call("STEPRAFT", "DO", key, 2, 1, "INCR", "n")).toBe(2)
    for (let i = 0; i < 3; i++) expect(await client.call("APPEND", "x", "2")).toBe(2 + i)
    expect(await client.call("MGET", "x", "y", "n")).toEqual(["1222", null, "2"])
    expect(await client.call("STEPRAFT", "SESSION", "CLOSE", key)).toBe("OK")
    for (const word of ["INFO", "CLIENT LIST", "STEPRAFT STATUS"])
      expect(JSON.stringify(await stranger.call(...word.split(" ")))).not.toContain(key.split("-")[1])
  })
})

test("the gate of a node that has failed lets nobody through to the service behind it", async () => {
  const refusal = (text: string) => ({ type: "error", code: "NOLEADER", text }) as const
  let why = "forming"
  const gate = makeGate({
    status: () => {
      throw new Error("not asked")
    },
    leader: () => null,
    refusal: () => refusal(why),
  })
  const passed: string[] = []
  const pass = (name: string) => (): void => void passed.push(name)
  const reader = { read: () => refusal("read"), version: () => 7, keyspace: () => Promise.resolve(null), now: () => 1 }
  gate.open({
    ...gate,
    write: pass("write"),
    barrier: () => {
      passed.push("barrier")
      return { begun: true, open: true, refusal: null }
    },
    openSession: pass("open"),
    closeSession: pass("close"),
    writeInSession: pass("in session"),
    reader,
  })
  gate.write([], false, [], () => undefined)
  gate.barrier(() => undefined)
  expect(passed).toEqual(["write", "barrier"])
  expect(gate.reader.version(Buffer.from("k"))).toBe(7)
  gate.shut()
  why = "failed"
  const told = await Promise.all([
    new Promise((resolve) => gate.write([], false, [], resolve)),
    new Promise((resolve) => gate.barrier(resolve)),
    gate.reader.read([]),
  ])
  expect(passed).toEqual(["write", "barrier"])
  expect(told).toEqual([refusal("failed"), refusal("failed"), refusal("failed")])
  expect(gate.reader.version(Buffer.from("k")), "no watched version may fit").toBeGreaterThan(2 ** 40)
})
