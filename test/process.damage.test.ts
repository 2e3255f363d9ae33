/** Each kind of damage to one node's disk: what the node does is defined, and the others go on serving. */
import { cpSync, rmSync, statSync } from "node:fs"
import { expect } from "vitest"
import {
  contents,
  digestOf,
  launch,
  startCluster,
  until,
  withCluster,
  within,
  type Cluster,
  type Watched,
} from "./cluster.ts"
import { longTest, shortTest } from "./long.ts"
import { flipBit, lastSegment, levelFiles, recordsOf, segmentsOf, tear } from "./damage.ts"
import { ErrorReply } from "./resp.ts"
import { startWorkload, verify, type Workload } from "./workload.ts"

const aFollower = async (cluster: Cluster): Promise<string> => {
  const [first] = await cluster.followers()
  if (first === undefined) throw new Error("no follower")
  return first
}
/** The node gave up on its own, said why, and did not report success. */
const gaveUp = async (process: Watched, why: RegExp): Promise<void> => {
  await until(`the node ends and says ${why}`, () => !process.running())
  expect(process.output()).toMatch(why)
  expect(await process.exited).not.toBe(0)
}
/** A write is acknowledged that was sent after now. */
const goesOn = async (workload: Workload): Promise<void> => {
  await workload.nextAfter(performance.now(), true)
  await workload.nextAfter(performance.now(), false)
}
const nothingLost = async (cluster: Cluster, workload: Workload, without?: string): Promise<void> => {
  const { wrong, digests } = await verify(
    cluster,
    [workload],
    cluster.ids.filter((id) => id !== without),
  )
  expect(wrong).toEqual([])
  expect(new Set(digests).size).toBe(1)
}
/** Under load a follower is killed, `damage` is done to its directory, and it is started again. */
const damaged = (
  damage: (data: string) => void,
  then: (cluster: Cluster, id: string, workload: Workload) => Promise<void>,
): Promise<void> =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await until("some writes", () => workload.acknowledgements.length > 200)
    await cluster.kill(id)
    damage(cluster.member(id).data)
    cluster.start(id)
    await then(cluster, id, workload)
  })
/** The copy cannot be trusted: the node ends with an error that names file and offset. */
const refused = (damage: (data: string) => void, why: RegExp): Promise<void> =>
  damaged(damage, async (cluster, id, workload) => {
    await gaveUp(cluster.process(id), why)
    await goesOn(workload)
    await nothingLost(cluster, workload, id)
  })

/** As before, but the node begins anew and is made whole by the others, by no command. */
const repaired = (damage: (data: string) => void): Promise<void> =>
  damaged(damage, async (cluster, id, workload) => {
    await goesOn(workload)
    await until(`${id} is whole again`, () => cluster.process(id).output().includes(`${id} is whole again`))
    await goesOn(workload)
    await nothingLost(cluster, workload)
  })

longTest("a torn last record, which was never acknowledged, is cut off, and the node catches up", () =>
  damaged(
    (data) => tear(lastSegment(data)),
    async (cluster, _id, workload) => {
      await goesOn(workload)
      await nothingLost(cluster, workload)
    },
  ),
)

longTest("a flipped bit in the last acknowledged record: the node begins anew, and its peers make it whole", () =>
  repaired((data) => {
    const segment = lastSegment(data)
    const last = recordsOf(segment).at(-1)
    flipBit(segment, (last?.start ?? 0) + 40)
  }),
)

longTest("a flipped bit in the middle of the log: the node begins anew, and its peers make it whole", () =>
  repaired((data) => {
    const segment = lastSegment(data)
    const records = recordsOf(segment)
    flipBit(segment, (records[Math.floor(records.length / 2)]?.start ?? 0) + 40)
  }),
)

longTest("a deleted segment stops the node with its name", () =>
  refused((data) => {
    const [first] = segmentsOf(data)
    rmSync(first ?? "")
  }, /wal-\d+ is gone/),
)

longTest(
  "a flipped bit in LevelDB is never served: the node answers with an error until it is rebuilt from a peer",
  () =>
    withCluster({}, async (cluster) => {
      const workload = startWorkload(cluster)
      const id = await aFollower(cluster)
      await until("some writes", () => workload.acknowledgements.length > 300)
      await workload.stop()
      const through = await cluster.settled()
      const expected = digestOf(await contents(cluster, await cluster.leader()))
      await cluster.kill(id, "SIGTERM")
      const [file] = levelFiles(cluster.member(id).data)
      if (file === undefined) throw new Error("no LevelDB file")
      flipBit(file, Math.floor(statSync(file).size / 2))
      cluster.start(id)
      await until("the node holds what its peers hold", async () => {
        // An older state is no wrong state, as long as the node does not claim to have executed more.
        const applied = (await cluster.status(id))?.applied ?? 0
        const held = await contents(cluster, id).catch(() => null)
        if (held === null || applied < through) return false
        expect(digestOf(held)).toBe(expected)
        return true
      })
      await cluster.settled()
      await nothingLost(cluster, workload)
    }),
)

longTest("the data directory of another cluster is refused", async () => {
  const other = await startCluster({})
  try {
    await other.leader()
    const foreign = other.member("n3").data
    await other.killAll()
    await withCluster({}, async (cluster) => {
      const workload = startWorkload(cluster)
      const id = "n3"
      await cluster.leader()
      await goesOn(workload)
      await cluster.kill(id)
      const { data } = cluster.member(id)
      rmSync(data, { recursive: true })
      cpSync(foreign, data, { recursive: true })
      cluster.start(id)
      const process = cluster.process(id)
      await until("the node says that it is of another cluster", async () => {
        const health = (await cluster.status(id))?.health ?? ""
        return /cluster/i.test(process.running() ? health : process.output())
      })
      await goesOn(workload)
      await nothingLost(cluster, workload, id)
    })
  } finally {
    await other.dispose()
  }
})

shortTest("a second process on the same directory is refused and disturbs nobody", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const { id, data, clientPort } = cluster.member(await aFollower(cluster))
    const second = launch(process.execPath, [
      "dist/kv/cli.js",
      "serve",
      "--id",
      id,
      "--data",
      data,
      "--client",
      `127.0.0.1:${clientPort + 1}`,
      "--peer",
      `127.0.0.1:${clientPort + 2}`,
      "--peers",
      cluster.members.map((one) => `${one.id}=127.0.0.1:${one.id === id ? clientPort + 2 : one.peerPort}`).join(","),
    ])
    await gaveUp(second, /in use by another process/)
    expect(cluster.running(id)).toBe(true)
    await goesOn(workload)
    await nothingLost(cluster, workload)
  }),
)

longTest("a node whose disk was lost says so, gives no vote and serves nothing; the others go on", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await goesOn(workload)
    await cluster.kill(id)
    rmSync(cluster.member(id).data, { recursive: true })
    cluster.start(id)
    const status = await until(`${id} says that it has lost its memory`, async () => {
      const one = await cluster.status(id)
      return one?.role === "amnesiac" && one
    })
    expect(status.health).not.toBe("ok")
    await goesOn(workload)
    // With a second node gone, the one that knows nothing must not make a majority.
    const leader = await cluster.leader()
    await cluster.kill(cluster.ids.find((one) => one !== id && one !== leader) ?? "")
    const alone = await cluster.connect(leader)
    const reply = await within(3000, alone.call("SET", "must", "wait"))
    expect(reply === null || reply instanceof ErrorReply).toBe(true)
    alone.close()
    for (const one of cluster.ids) if (!cluster.running(one)) cluster.start(one)
    await goesOn(workload)
    await nothingLost(cluster, workload, id)
  }),
)
