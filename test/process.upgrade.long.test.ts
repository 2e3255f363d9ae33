/**
 * A rolling upgrade to a version to come, the way back, and the upgrade again, under load and with nodes killed all the time
 * (kill -9): nothing that was acknowledged is lost or doubled, and all of it is linearizable. The version to come is made up
 * (next.ts): it changes a message, two commands and the snapshot.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"
import { makeHistory } from "../spec/linearizability/index.ts"
import { startClients } from "./chaos/clients.ts"
import { linearizability } from "./chaos/judge.ts"
import { contents, digestOf, root, smallSnapshots, until, withCluster, type Cluster } from "./cluster.ts"
import { longTest } from "./long.ts"
import { makeNext } from "./next.ts"
import { ErrorReply, type RespReply } from "./resp.ts"

const ask = async (cluster: Cluster, id: string, ...words: readonly string[]): Promise<RespReply> => {
  const client = await cluster.connect(id)
  try {
    return await client.call(...words)
  } finally {
    client.close()
  }
}
const textOf = (reply: RespReply): string =>
  reply instanceof ErrorReply ? reply.text : typeof reply === "string" ? reply : JSON.stringify(reply)
const info = async (cluster: Cluster, id: string, name: string): Promise<number> =>
  Number(new RegExp(`^${name}:(\\d+)`, "m").exec(textOf(await ask(cluster, id, "INFO")))?.[1] ?? -1)

longTest("upgraded, taken back and upgraded again under load and kills; then no older version takes part", () => {
  const old = join(root, "dist/kv/cli.js")
  const next = makeNext()
  const runs = new Map<string, string>()
  const programOf = (id: string): string => runs.get(id) ?? old
  const options = {
    program: [],
    runtime: (id: string) => [process.execPath, programOf(id)],
    env: smallSnapshots(20_000, 4_000, 60_000),
  }
  return withCluster(options, async (cluster) => {
    const started = performance.now()
    const said: string[] = []
    const history = makeHistory({ now: () => performance.now() - started, write: () => undefined })
    const clients = startClients(cluster, {
      history,
      clients: 6,
      seed: 1,
      pause: 15,
      keys: 9,
      operationsPerKey: 200,
      lie: null,
    })
    const goesOn = async (): Promise<void> => {
      const from = performance.now()
      await until("a write is acknowledged", () => clients.acknowledged.findLast(({ sent }) => sent >= from) ?? null)
    }
    const well = async (id: string): Promise<void> => {
      await until(`${id} is well`, async () => {
        const status = await cluster.status(id)
        return status !== null && status.health === "ok" && status.leader !== null
      })
      await goesOn()
    }
    const killed = async (id: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
      await cluster.kill(id, signal)
      cluster.start(id, { flags: held })
    }
    let held: readonly string[] = []
    /** The leader is killed as soon as each node is back: so some change of version always meets an election. */
    const roll = async (what: string, to: string): Promise<void> => {
      for (const [i, id] of cluster.ids.entries()) {
        const since = performance.now()
        runs.set(id, to)
        await killed(id, i % 2 === 0 ? "SIGTERM" : "SIGKILL")
        await well(id)
        await killed(await cluster.leader())
        await Promise.all(cluster.ids.map(well))
        const told = clients.acknowledged.filter(({ answered }) => answered > since).map(({ answered }) => answered)
        const gap = Math.max(...told.map((at, n) => at - (told[n - 1] ?? since)))
        said.push(`${what} of ${id}: the longest time without an acknowledged write ${Math.round(gap)} ms`)
      }
    }
    const levels = (): Promise<readonly number[]> =>
      Promise.all(cluster.ids.map((id) => info(cluster, id, "feature_level")))
    /** A lost disk: what was its log is gone, so it gets an image of the leader. */
    const replaced = async (id: string, leader: string): Promise<void> => {
      expect(textOf(await ask(cluster, leader, "STEPRAFT", "TRANSFER", leader))).not.toMatch(/^ERR/)
      await cluster.kill(id)
      rmSync(cluster.member(id).data, { recursive: true })
      cluster.start(id, { flags: held })
      await ask(cluster, leader, "STEPRAFT", "MEMBER", "REPLACE", id)
      await until(`${id} votes again`, async () => {
        const status = await cluster.status(id)
        return status?.health === "ok" && status.role === "follower"
      })
    }

    // Two of three do more: they write what the third can read.
    for (const id of ["n1", "n2"]) {
      runs.set(id, next.program)
      await killed(id)
      await well(id)
    }
    expect(textOf(await ask(cluster, "n1", "TALLY", "t"))).toBe(
      `ERR TALLY needs feature level 2; the cluster is at 1 because n3 runs version ${(await cluster.status("n3"))?.version}, which supports levels up to 1. Nothing was executed.`,
    )
    expect(await ask(cluster, "n1", "CAS", "created", "", "x")).toBe(0)
    await replaced("n3", "n1")
    expect(await info(cluster, "n1", "next_images_6")).toBeGreaterThan(0)
    // n2 follows n1, and both speak the newer protocol.
    await until("the changed message is spoken", async () => (await info(cluster, "n2", "next_messages")) > 0)

    // All of them, held back by hand; and back to where they came from.
    held = ["--feature-level-max", "1"]
    await roll("upgrade, held back", next.program)
    expect(await levels()).toEqual([1, 1, 1])
    held = []
    await roll("way back", old)
    expect(await levels()).toEqual([1, 1, 1])

    await roll("upgrade", next.program)
    await until("the level has risen", async () => (await levels()).every((level) => level === 2))
    expect([await ask(cluster, "n2", "TALLY", "t"), await ask(cluster, "n3", "CAS", "created", "", "x")]).toEqual([
      10, 1,
    ])
    await replaced("n3", "n1")
    expect(await info(cluster, "n1", "next_images_7")).toBeGreaterThan(0)
    for (const id of cluster.ids) await killed(id)
    await Promise.all(cluster.ids.map(well))
    expect(await levels()).toEqual([2, 2, 2])

    // There is no way back any more: it says so, and the others go on.
    runs.set("n2", old)
    await cluster.kill("n2", "SIGTERM")
    cluster.start("n2")
    await until("n2 has ended", () => !cluster.running("n2"))
    expect(cluster.process("n2").output()).toContain("is at feature level 2, which cannot be lowered again")
    await goesOn()
    runs.set("n2", next.program)
    cluster.start("n2")
    await well("n2")

    await clients.stop()
    await clients.readAll()
    await cluster.settled()
    const digests = await Promise.all(cluster.ids.map(async (id) => digestOf(await contents(cluster, id))))
    expect(new Set(digests).size).toBe(1)
    // An older version that had met what it cannot read would have said so.
    expect(cluster.logs()).not.toMatch(/BrokenStream|SnapshotInvalid|malformed/)
    expect(clients.complaints).toEqual([])
    expect(linearizability(history.events)).toEqual([])
    console.log(
      [...said, `${clients.counts.ok} operations in ${Math.round((performance.now() - started) / 1000)} s`].join("\n"),
    )
  })
})
