import { existsSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { describe, expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { serveNode } from "../kv/node/index.ts"
import { until } from "./cluster.ts"
import { withLocalCluster, type LocalNode } from "./node.help.ts"
import { ErrorReply } from "./resp.ts"
import { turns } from "./waiting.ts"

const wipe = (node: LocalNode): void => rmSync(node.config.dataDir, { recursive: true, force: true })

// Side by side: each has nodes of its own, and waits most of the time.
describe.concurrent("a node", () => {
  test("answers for itself while it waits for the others, and says for whom", async () => {
    await withLocalCluster(3, async (cluster) => {
      const first = cluster.node("n1")
      await first.start()
      const client = await cluster.connect(first)
      expect(await client.call("PING")).toBe("PONG")
      const refused = await client.call("SET", "a", "1").catch((error: unknown) => error)
      expect(String(refused instanceof ErrorReply ? refused.text : refused)).toContain("NOLEADER")
      expect(first.status()).toMatchObject({ role: "forming", cluster: null })
      expect(first.status().health).toContain("n2")
      await cluster.node("n2").start()
      await until("the two know each other", () =>
        first.status().peers.some(({ id, connected }) => id === "n2" && connected),
      )
      await turns(20)
      expect(first.status().role, "two of three are not all").toBe("forming")
      await cluster.node("n3").start()
      await cluster.leader()
      expect(await client.call("SET", "a", "1")).toBe("OK")
    })
  })

  test("comes back with what it held, and the cluster with it", async () => {
    await withLocalCluster(3, async (cluster) => {
      await cluster.startAll()
      const client = await cluster.connect(await cluster.leader())
      for (let i = 0; i < 50; i++) await client.call("SET", `k${i}`, `v${i}`)
      const before = cluster.node("n1").status()
      await Promise.all(cluster.nodes.map((node) => node.stop()))
      await cluster.startAll()
      const again = await cluster.connect(await cluster.leader())
      expect(await again.call("GET", "k49")).toBe("v49")
      expect(await again.call("DBSIZE")).toBe(50)
      expect(cluster.node("n1").status()).toMatchObject({ cluster: before.cluster, incarnation: before.incarnation })
    })
  })

  test("that is told to stop hands leadership over first, and no write is lost or done twice", async () => {
    await withLocalCluster(3, async (cluster) => {
      await cluster.startAll()
      const leader = await cluster.leader()
      const follower = cluster.nodes.find((node) => node !== leader)
      if (follower === undefined) throw new Error("no follower")
      const client = await cluster.connect(follower)
      const driver = leader.running?.driver()
      const replies: Promise<unknown>[] = []
      for (let i = 0; i < 300; i++) {
        if (i === 100) void leader.stop()
        const reply = client.call("INCR", "n")
        replies.push(reply)
        if (i % 10 === 9) await reply
      }
      expect(await Promise.all(replies)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
      expect(leader.lines.join("\n")).toContain("transferring leadership")
      expect(driver?.counters["transfer.timeoutNow"], "a successor was told to campaign").toBeGreaterThan(0)
      await until("somebody else leads", () =>
        cluster.nodes.some((node) => node !== leader && node.status().role === "leader"),
      )
    })
  })

  test("that lost its disk says so, serves nothing, and does not vote", async () => {
    await withLocalCluster(3, async (cluster) => {
      await cluster.startAll()
      await cluster.leader()
      const lost = cluster.node("n3")
      await lost.stop()
      wipe(lost)
      await lost.start()
      await until("it knows", () => lost.status().role === "amnesiac")
      expect(lost.status().health).toContain("disk was lost")
      expect(lost.lines.join("\n")).toContain("disk was lost")
      const client = await cluster.connect(lost)
      const refused = await client.call("GET", "a").catch((error: unknown) => error)
      expect(String(refused instanceof ErrorReply ? refused.text : refused)).toContain("disk was lost")
      // With one of the two others gone, the amnesiac's voice would make a majority: there must be none.
      await cluster.node("n2").stop()
      await until("the last one gives up", () => cluster.node("n1").status().leader === null)
      const campaigns = (): number => cluster.node("n1").running?.driver()?.counters["election.preCampaign"] ?? 0
      const before = campaigns()
      await until("it has asked for votes again and again", () => campaigns() >= before + 3)
      expect(cluster.node("n1").status().leader).toBeNull()
      expect(cluster.node("n1").status().health).toContain("majority")
      await lost.stop()
      await lost.start()
      await until("it knows again after a restart", () => lost.status().role === "amnesiac")
    })
  })

  test("refuses to bootstrap over a cluster that holds data", async () => {
    await withLocalCluster(3, async (cluster) => {
      await cluster.startAll()
      await cluster.leader()
      const lost = cluster.node("n2")
      await lost.stop()
      wipe(lost)
      const running = await lost.start({ bootstrap: true })
      const error = await Effect.runPromise(Effect.flip(running.failure))
      expect(error).toMatchObject({ _tag: "BootstrapRefused" })
      expect(error.message).toContain("Nothing was changed")
    })
  })

  test("whose log is gone but whose data are there does not start", async () => {
    await withLocalCluster(1, async (cluster) => {
      await cluster.startAll()
      await cluster.leader()
      const node = cluster.node("n1")
      await node.stop()
      rmSync(`${node.config.dataDir}/log`, { recursive: true })
      expect(existsSync(`${node.config.dataDir}/state`)).toBe(true)
      const error = await Effect.runPromise(Effect.scoped(Effect.flip(serveNode(node.config, { log: () => {} }))))
      expect(error).toMatchObject({ _tag: "StateWithoutLog" })
    })
  })

  test("whose log has lost its end does not start: its data know of more", async () => {
    await withLocalCluster(1, async (cluster) => {
      await cluster.startAll()
      const node = await cluster.leader()
      const client = await cluster.connect(node)
      const log = `${node.config.dataDir}/log`
      const segment = `${log}/wal-000000000001`
      // As a kill leaves it: the length was last written down when the node started.
      const format = readFileSync(`${log}/FORMAT`)
      const { size } = statSync(segment)
      for (let i = 0; i < 20; i++) await client.call("INCR", "n")
      await node.stop()
      const whole = readFileSync(segment)
      writeFileSync(`${log}/FORMAT`, format)
      truncateSync(segment, size)
      const error = await Effect.runPromise(Effect.scoped(Effect.flip(serveNode(node.config, { log: () => {} }))))
      expect(error).toMatchObject({ _tag: "LostTail", found: null })
      expect(error.message).toContain("no snapshot was restored that would explain it")
      writeFileSync(segment, whole)
      await node.start()
      const again = await cluster.connect(node)
      await until("it is whole again", async () => (await again.call("GET", "n").catch(() => null)) === "20")
    })
  })

  test("whose data are gone but whose log is whole executes the log again", async () => {
    await withLocalCluster(3, async (cluster) => {
      await cluster.startAll()
      const client = await cluster.connect(await cluster.leader())
      for (let i = 0; i < 20; i++) await client.call("INCR", "n")
      const node = cluster.node("n2")
      await node.stop()
      rmSync(`${node.config.dataDir}/state`, { recursive: true })
      await node.start()
      const again = await cluster.connect(node)
      await until("it is back", async () => (await again.call("GET", "n").catch(() => null)) === "20")
    })
  })

  test("whose data are damaged but whose log is whole executes the log again, with no peer up, and keeps the damaged files aside once", async () => {
    await withLocalCluster(1, async (cluster) => {
      await cluster.startAll()
      const node = await cluster.leader()
      const state = `${node.config.dataDir}/state`
      const setAside = (): string[] => readdirSync(state).filter((name) => name.startsWith("damaged-"))
      const client = await cluster.connect(node)
      for (let i = 0; i < 20; i++) await client.call("INCR", "n")
      const damage = [
        () => {
          for (const file of readdirSync(`${state}/db-000001`))
            if (file.startsWith("MANIFEST")) writeFileSync(`${state}/db-000001/${file}`, "rust")
        },
        () => writeFileSync(`${state}/current`, "rust"),
      ]
      const seen: string[] = []
      for (const harm of damage) {
        await node.stop()
        harm()
        await node.start()
        const again = await cluster.connect(node)
        await until("it is back", async () => (await again.call("GET", "n").catch(() => null)) === "20")
        expect(node.lines.filter((line) => line.includes("rebuilt from it"))).toHaveLength(seen.length + 1)
        expect(setAside()).toHaveLength(1)
        seen.push(...setAside())
        expect(readdirSync(`${state}/${seen.at(-1) ?? ""}`)).toContain("current")
      }
      expect(new Set(seen).size).toBe(2)
      await node.stop()
      await node.start()
      const last = await cluster.connect(node)
      await until("it stays", async () => (await last.call("INCR", "n").catch(() => null)) === 21)
    })
  })

  test("that was away while the log was trimmed is brought up by a snapshot, and is a full member afterwards", async () => {
    const settings = { ...defaultSettings, snapshotBytes: 60_000, trailingLogBytes: 10_000, maxApplyBytes: 20_000 }
    await withLocalCluster(
      3,
      async (cluster) => {
        await cluster.startAll()
        await cluster.leader()
        const away = cluster.node("n3")
        await away.stop()
        const client = await cluster.connect(cluster.node("n1"))
        for (let i = 0; i < 20; i++)
          await Promise.all(Array.from({ length: 50 }, (_, j) => client.call("SET", `k${i * 50 + j}`, "v".repeat(150))))
        await until(
          "the log was trimmed",
          () => cluster.node("n1").status().snapshotIndex > 500 && cluster.node("n2").status().snapshotIndex > 500,
        )
        await away.start()
        await until(
          "it has caught up",
          () => away.status().applied >= cluster.node("n1").status().applied && away.status().snapshotIndex > 0,
        )
        await cluster.node("n1").stop()
        const again = await cluster.connect(away)
        await until(
          "it decides with the other one",
          async () => (await again.call("SET", "a", "1").catch(() => null)) === "OK",
        )
        await away.stop()
        await away.start()
        const last = await cluster.connect(away)
        await until("it still does after a restart", async () => (await last.call("DBSIZE").catch(() => null)) === 1001)
      },
      { settings },
    )
  })

  test("that is started a second time says that its directory is in use, which no other port would mend", async () => {
    await withLocalCluster(1, async (cluster) => {
      const node = cluster.node("n1")
      await node.start()
      const error = await Effect.runPromise(Effect.scoped(Effect.flip(serveNode(node.config, { log: () => {} }))))
      expect(error).toMatchObject({ _tag: "DirectoryLocked" })
      expect(node.status().health).not.toMatch(/removed|lock/)
    })
  })

  test("that cannot have its port says which and why, and leaves its directory free", async () => {
    await withLocalCluster(1, async (cluster) => {
      const node = cluster.node("n1")
      await node.start()
      const scope = Scope.makeUnsafe()
      const error = await Effect.runPromise(
        Effect.flip(
          serveNode({ ...node.config, dataDir: `${node.config.dataDir}-2` }, { log: () => {} }).pipe(
            Scope.provide(scope),
          ),
        ),
      )
      expect(error.message).toContain(String(node.config.client.port))
    })
  })
})
