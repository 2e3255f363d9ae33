/** Wrong wall clocks of real processes. Nothing of what clients see follows one of them. */
import { execFileSync, spawnSync } from "node:child_process"
import { expect, test } from "vitest"
import { DAY, expectHealthy, expectNamed, expectSteady, HOUR, shiftedClocks } from "./clocks.ts"
import { until, withCluster, type Cluster } from "./cluster.ts"
import { longTest } from "./long.ts"
import { ErrorReply } from "./resp.ts"
import { startWorkload, verify } from "./workload.ts"

/** Leaders fall until this one leads. */
const makeLead = async (cluster: Cluster, wanted: string): Promise<void> => {
  await until(`${wanted} leads`, async () => {
    const leader = await cluster.leader()
    if (leader === wanted) return true
    await cluster.kill(leader)
    await cluster.leader()
    cluster.start(leader)
    await cluster.settled()
    return false
  })
}

test("a node boots with its clock a day ahead and leads: keys live as long as they should, EXPIREAT keeps its hour, the clock is named; and so it is when it is set right", () => {
  const clocks = shiftedClocks()
  clocks.shift("n1", DAY)
  return withCluster(clocks.options, async (cluster) => {
    const first = await cluster.connect(await cluster.leader())
    await first.call("SET", "kept", "v", "EX", 3600)
    first.close()
    await makeLead(cluster, "n1")
    const client = await cluster.connect("n1")
    await expectSteady(cluster, "n1")
    expect(await client.call("EXISTS", "kept")).toBe(1)
    await expectNamed(cluster, "n1", "the clock of n1 is", "ahead of the cluster's time", "NTP")
    expect(Math.abs(((await cluster.status("n1"))?.clockOffsetMs ?? 0) - DAY)).toBeLessThan(HOUR)
    clocks.shift("n1", 0)
    await expectSteady(cluster, "n1")
    await expectHealthy(cluster, "n1")
    client.close()
  })
})

longTest(
  "a node boots with a clock that is wrong by a year or an hour, and leads; all restart; and the clock is set right",
  async () => {
    for (const wrong of [-HOUR, 365 * DAY]) {
      const clocks = shiftedClocks()
      clocks.shift("n2", wrong)
      await withCluster(clocks.options, async (cluster) => {
        await makeLead(cluster, "n2")
        await expectNamed(cluster, "n2", "the clock of n2 is", wrong > 0 ? "ahead of" : "behind")
        await expectSteady(cluster, "n2")
        await cluster.killAll()
        cluster.startAll()
        await expectSteady(cluster, await cluster.leader())
        clocks.shift("n2", 0)
        await expectSteady(cluster, "n2")
        await expectHealthy(cluster, "n2")
      })
    }
  },
)

/** Long enough for every link to be given up, and for every timer to run out. */
const SUSPENDED_MS = 6000
const suspend = async (cluster: Cluster, ids: readonly string[], meanwhile: () => void): Promise<void> => {
  for (const id of ids) cluster.signal(id, "SIGSTOP")
  meanwhile()
  const since = performance.now()
  await until("it has been suspended for that long", () => performance.now() - since > SUSPENDED_MS)
  for (const id of ids) cluster.signal(id, "SIGCONT")
}

longTest(
  "a machine is suspended, the leader's or all of them, and its clock is a day further on when it goes on: no stale read, nothing lost, no key expires early, and the clock is named",
  async () => {
    const clocks = shiftedClocks()
    await withCluster(clocks.options, async (cluster) => {
      const workload = startWorkload(cluster)
      await workload.nextAfter(performance.now(), true)
      const leader = await cluster.leader()
      const client = await cluster.connect(leader)
      await client.call("SET", "hour", "v", "EX", 3600)
      await client.call("SET", "k", "before")
      await suspend(cluster, [leader], () => clocks.shift(leader, DAY))
      // The others led meanwhile. Whatever this one answers now is of now.
      const other = await cluster.connect(cluster.ids.find((id) => id !== leader) ?? "")
      expect(await other.call("SET", "k", "after")).toBe("OK")
      const read = await client.call("GET", "k")
      if (!(read instanceof ErrorReply)) expect(read).toBe("after")
      await expectNamed(cluster, leader, `the clock of ${leader} is`, "ahead of the cluster's time")
      clocks.shift(leader, 0)
      await expectHealthy(cluster, leader)
      client.close()
      other.close()

      await suspend(cluster, cluster.ids, () => cluster.ids.forEach((id) => clocks.shift(id, DAY)))
      await workload.nextAfter(performance.now(), true)
      const again = await cluster.connect(await cluster.leader())
      expect(await again.call("GET", "k")).toBe("after")
      expect(Number(await again.call("TTL", "hour"))).toBeGreaterThan(1800)
      again.close()
      const { wrong, digests } = await verify(cluster, [workload], cluster.ids)
      expect(wrong).toEqual([])
      expect(new Set(digests).size).toBe(1)
    })
  },
)

longTest(
  "all clocks jump together: time neither leaps nor stands still, and an outage of all takes them at their word",
  async () => {
    const clocks = shiftedClocks()
    await withCluster(clocks.options, async (cluster) => {
      const client = await cluster.connect(await cluster.leader())
      await client.call("SET", "k", "v", "EX", 3600)
      client.close()
      for (const id of cluster.ids) clocks.shift(id, 2 * HOUR)
      const id = await cluster.leader()
      const again = await cluster.connect(id)
      // Time goes on with the entries of the log.
      const left = async (): Promise<number> => {
        await again.call("SET", "tick", "x")
        return Number(await again.call("TTL", "k"))
      }
      const before = await left()
      expect(before).toBeGreaterThan(1800)
      await until("three seconds of the cluster's time have gone by", async () => (await left()) <= before - 3)
      expect(await left()).toBeGreaterThan(1800)
      again.close()
      await cluster.killAll()
      cluster.startAll()
      const after = await cluster.connect(await cluster.leader())
      await until("the outage counts", async () => (await after.call("EXISTS", "k")) === 0)
      after.close()
    })
  },
)

/** Where Debian's package faketime puts its library. */
const faketime = (): string | null => {
  const found = spawnSync("sh", ["-c", "ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -1"], {
    encoding: "utf8",
  }).stdout.trim()
  return found === "" ? null : found
}

longTest(
  "the same under libfaketime: clocks a day ahead and an hour behind, and one that runs at twice the speed",
  async () => {
    const library = faketime()
    if (library === null) throw new Error("this test needs Debian's package faketime: apt-get install faketime")
    expect(
      execFileSync("date", ["+%Y"], {
        env: { ...process.env, LD_PRELOAD: library, FAKETIME: "@2001-01-01 00:00:00" },
        encoding: "utf8",
      }).trim(),
    ).toBe("2001")
    for (const fake of ["+86400", "-3600", "+0 x2.0"]) {
      await withCluster({}, async (cluster) => {
        await cluster.settled()
        await cluster.kill("n1")
        await cluster.leader()
        cluster.start("n1", {
          env: {
            LD_PRELOAD: library,
            FAKETIME: fake,
            FAKETIME_DONT_FAKE_MONOTONIC: "1",
            DONT_FAKE_MONOTONIC: "1",
            FAKETIME_NO_CACHE: "1",
          },
        })
        await cluster.settled()
        // Others fall, and come back, until the wrong one leads.
        for (const id of ["n2", "n3"]) {
          if ((await cluster.leader()) !== id) continue
          await cluster.kill(id)
          await cluster.leader()
          cluster.start(id)
          await cluster.settled()
        }
        if (!fake.includes("x"))
          await expectNamed(cluster, "n1", "the clock of n1 is", fake.startsWith("+") ? "ahead of" : "behind")
        for (const id of cluster.ids) await expectSteady(cluster, id)
        await cluster.killAll()
        cluster.startAll()
        await expectSteady(cluster, await cluster.leader())
      })
    }
  },
)
