/**
 * The rows on real processes: three nodes with real files and sockets. The replies that clients get are checked as
 * well.
 */
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { openNetwork, type Network, type Pair } from "../chaos/network.ts"
import { freePort, smallSnapshots, startCluster, until, type Cluster, type ClusterOptions } from "../cluster.ts"
import type { Faults } from "../lossy-files.ts"
import { ErrorReply } from "../resp.ts"
import { done, stepraft } from "./backup.ts"
import { startJudge, type Judge, type Judged } from "./judge.ts"
import { startLoad, steadily, watchMachine, type Load } from "./load.ts"
import type { RowId, Times } from "./rows.ts"

interface Stage {
  readonly cluster: Cluster
  readonly load: Load
  /** Only where there are proxies between the nodes. */
  readonly network: Network
}
interface Scenario {
  readonly rows: readonly RowId[]
  readonly on: keyof typeof stages
  readonly story: (stage: Stage) => Promise<Times>
}

// ── what stories do ───────────────────────────────────────────────────────────────────────────────────────────────────

const now = (): number => performance.now()
const others = (cluster: Cluster, ...than: readonly string[]): readonly string[] =>
  cluster.ids.filter((id) => !than.includes(id))
const first = (names: readonly string[]): string => {
  const [name] = names
  if (name === undefined) throw new Error("there is no other node")
  return name
}
const portOf = (cluster: Cluster, id: string): string => String(cluster.member(id).clientPort)
const commitIndex = async (cluster: Cluster, of: readonly string[] = cluster.ids): Promise<number> =>
  Math.max(0, ...(await Promise.all(of.map(cluster.status))).map((one) => one?.commitIndex ?? 0))
const executes = (cluster: Cluster, ids: readonly string[], index: number): Promise<unknown> =>
  until(`${ids.join()} executed ${index}`, async () =>
    (await Promise.all(ids.map(cluster.status))).every((one) => one !== null && one.applied >= index),
  )
/** From `since`, when these nodes were started again, until they have executed what was committed then. */
const current = async (cluster: Cluster, ids: readonly string[], index: number, since: number): Promise<number> => {
  await executes(cluster, ids, index)
  return now() - since
}
const leads = (cluster: Cluster, among: readonly string[]): Promise<unknown> =>
  until("another leads", async () =>
    (await Promise.all(among.map(cluster.status))).some((one) => one?.role === "leader"),
  )
const isWell = (cluster: Cluster): Promise<unknown> =>
  until("every node is well", async () =>
    (await Promise.all(cluster.ids.map(cluster.status))).every((one) => one?.health === "ok"),
  )
const between = (some: readonly string[], rest: readonly string[]): readonly Pair[] =>
  some.flatMap((from) => rest.map((to): Pair => [from, to]))
const bothWays = (some: readonly string[], rest: readonly string[]): readonly Pair[] => [
  ...between(some, rest),
  ...between(rest, some),
]
const someMore = async ({ cluster }: Stage, of: readonly string[], count: number): Promise<void> => {
  const there = (await commitIndex(cluster, of)) + count
  await until(`${count} more are committed`, async () => (await commitIndex(cluster, of)) >= there)
}
const isolate = ({ network, cluster }: Stage, id: string): void =>
  network.impose("cut", bothWays([id], others(cluster, id)), { cut: true })
/** As after a real partition: the old connections are closed and new ones are opened. */
const heal = ({ network }: Stage): void => network.lift("cut")
/** Repaired by one command, on a node that runs with a different disk than before. */
const replace = async (cluster: Cluster, id: string): Promise<void> => {
  await until(`${id} knows that it counts as lost`, async () => (await cluster.status(id))?.role === "amnesiac")
  await done("member", "replace", id, "--port", portOf(cluster, first(others(cluster, id))))
}

// ── the stages ────────────────────────────────────────────────────────────────────────────────────────────────────────

const ids = ["n1", "n2", "n3"]
const preload = fileURLToPath(new URL("../chaos/own-peers.mjs", import.meta.url))
const stages = {
  /** A proxy between every two nodes. */
  network: (peers) => ({
    program: ["--import", preload, join("dist", "kv", "cli.js")],
    env: { CHAOS_PEERS: JSON.stringify(peers) },
  }),
  plain: () => ({}),
  /** The log is trimmed early. */
  trimmed: (peers) => ({
    program: ["--import", preload, join("dist", "kv", "cli.js")],
    env: { CHAOS_PEERS: JSON.stringify(peers), ...smallSnapshots(20_000, 2_000, 10_000) },
  }),
  disk: () => ({ program: ["--import", "tsx", join("test", "serve-on-faulty-disk.ts")] }),
} as const satisfies Readonly<Record<string, (peers: Network["peers"]) => ClusterOptions>>

const setFaults = async (cluster: Cluster, id: string, faults: Faults): Promise<void> => {
  writeFileSync(`${cluster.member(id).data}.faults.json`, JSON.stringify(faults))
  const before = cluster.process(id).output().split("faults ").length
  cluster.signal(id, "SIGUSR2")
  await until(`${id} has these faults`, () => cluster.process(id).output().split("faults ").length > before)
}

const scenarios: readonly Scenario[] = [
  {
    rows: ["follower-cut", "follower-return"],
    on: "network",
    story: async (stage) => {
      const { cluster, load } = stage
      const id = first(await cluster.followers())
      const from = now()
      isolate(stage, id)
      await someMore(stage, others(cluster, id), 20)
      const cut = load.gap(from)
      const index = await commitIndex(cluster, others(cluster, id))
      const since = now()
      heal(stage)
      return { "follower-cut": cut, "follower-return": await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["leader-cut", "old-leader-return"],
    on: "network",
    story: async (stage) => {
      const { cluster, load } = stage
      const id = await cluster.leader()
      const from = now()
      isolate(stage, id)
      const write = await load.next(from)
      await sleep(500)
      const index = await commitIndex(cluster, others(cluster, id))
      const since = now()
      heal(stage)
      return { "leader-cut": write, "old-leader-return": await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["leader-killed"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const id = await cluster.leader()
      const from = now()
      const gone = cluster.kill(id)
      const write = await load.next(from)
      await gone
      cluster.start(id)
      return { "leader-killed": write }
    },
  },
  {
    rows: ["leader-paused", "leader-resumed"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const id = await cluster.leader()
      const from = now()
      cluster.signal(id, "SIGSTOP")
      const write = await load.next(from)
      await sleep(500)
      const index = await commitIndex(cluster, others(cluster, id))
      const since = now()
      cluster.signal(id, "SIGCONT")
      return { "leader-paused": write, "leader-resumed": await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["majority-healed"],
    on: "network",
    story: async (stage) => {
      const { cluster, load, network } = stage
      // Each of the three nodes is alone.
      network.impose(
        "cut",
        bothWays(ids, ids).filter(([from, to]) => from !== to),
        { cut: true },
      )
      await sleep(3000)
      const since = now()
      heal(stage)
      await load.next(since)
      return { "majority-healed": await current(cluster, ids, await commitIndex(cluster), since) }
    },
  },
  {
    rows: ["partition", "partition-healed"],
    on: "network",
    story: async (stage) => {
      const { cluster, load, network } = stage
      const id = await cluster.leader()
      const from = now()
      network.impose("cut", bothWays([id], others(cluster, id)), { cut: true })
      const write = await load.next(from)
      await sleep(2000)
      const since = now()
      network.reset(bothWays([id], others(cluster, id)))
      heal(stage)
      await load.next(since)
      return { partition: write, "partition-healed": await current(cluster, ids, await commitIndex(cluster), since) }
    },
  },
  ...(["leader-mute", "leader-deaf"] as const).map((row): Scenario => ({
    rows: [row],
    on: "network",
    story: async (stage) => {
      const { cluster, load, network } = stage
      const id = await cluster.leader()
      const rest = others(cluster, id)
      const from = now()
      network.impose("cut", row === "leader-mute" ? between([id], rest) : between(rest, [id]), { cut: true })
      const write = await load.next(from)
      heal(stage)
      return { [row]: write }
    },
  })),
  {
    rows: ["follower-restart"],
    on: "plain",
    story: async (stage) => {
      const { cluster } = stage
      const id = first(await cluster.followers())
      await cluster.kill(id)
      await someMore(stage, others(cluster, id), 20)
      const index = await commitIndex(cluster)
      const since = now()
      cluster.start(id)
      return { "follower-restart": await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["all-restart"],
    on: "plain",
    story: async ({ cluster, load }) => {
      await cluster.killAll()
      const since = now()
      cluster.startAll()
      return { "all-restart": await load.next(since) }
    },
  },
  {
    rows: ["snapshot"],
    on: "trimmed",
    story: async (stage) => {
      const { cluster } = stage
      const id = first(await cluster.followers())
      const missed = (await cluster.status(id))?.lastIndex ?? 0
      isolate(stage, id)
      const leader = await cluster.leader()
      await until("the log begins behind it", async () => ((await cluster.status(leader))?.snapshotIndex ?? 0) > missed)
      const index = await commitIndex(cluster, [leader])
      const since = now()
      heal(stage)
      return { snapshot: await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["wiped", "wiped-gap"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const id = first(await cluster.followers())
      const from = now()
      await cluster.kill(id)
      rmSync(cluster.member(id).data, { recursive: true })
      const index = await commitIndex(cluster)
      const since = now()
      cluster.start(id)
      await replace(cluster, id)
      return { wiped: await current(cluster, [id], index, since), "wiped-gap": load.gap(from) }
    },
  },
  {
    rows: ["rolled-back"],
    on: "plain",
    story: async (stage) => {
      const { cluster } = stage
      const id = first(await cluster.followers())
      const { data } = cluster.member(id)
      await cluster.kill(id)
      const copy = `${data}-copy`
      rmSync(copy, { recursive: true, force: true })
      cpSync(data, copy, { recursive: true })
      // On another machine the first process's lock has no effect.
      for (const name of readdirSync(`${copy}/log`)) if (name.startsWith("LOCK.")) rmSync(`${copy}/log/${name}`)
      cluster.start(id)
      await isWell(cluster)
      await someMore(stage, ids, 20)
      await cluster.kill(id)
      rmSync(data, { recursive: true })
      cpSync(copy, data, { recursive: true })
      const index = await commitIndex(cluster)
      const since = now()
      cluster.start(id)
      // Its files do not count any more: they are replaced by an empty directory, as the node's own message advises.
      await until(`${id} says that it was rolled back`, async () =>
        /RolledBack/.test((await cluster.status(id))?.health ?? ""),
      )
      await cluster.kill(id)
      rmSync(data, { recursive: true })
      cluster.start(id)
      await replace(cluster, id)
      return { "rolled-back": await current(cluster, [id], index, since) }
    },
  },
  {
    rows: ["stalled-disk-leader", "stalled-disk"],
    on: "disk",
    story: async ({ cluster, load }) => {
      const id = await cluster.leader()
      await setFaults(cluster, id, { slowSync: 20_000 })
      const from = now()
      await leads(cluster, others(cluster, id))
      const handed = now() - from
      await load.next(now())
      const gap = load.gap(from)
      await cluster.kill(id)
      writeFileSync(`${cluster.member(id).data}.faults.json`, "{}")
      cluster.start(id)
      return { "stalled-disk-leader": handed, "stalled-disk": gap }
    },
  },
  {
    rows: ["hand-over"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const id = await cluster.leader()
      // The hand-over is requested over the wire, as with etcd: the start of a CLI process is not part of it.
      const client = await cluster.connect(id)
      const from = now()
      const reply = await client.call("STEPRAFT", "TRANSFER", first(others(cluster, id)))
      if (reply instanceof ErrorReply) throw new Error(reply.text)
      await load.next(now())
      client.close()
      return { "hand-over": load.gap(from) }
    },
  },
  {
    rows: ["rolling-restart"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const from = now()
      for (const id of ids) {
        await cluster.kill(id, "SIGTERM")
        cluster.start(id)
        await isWell(cluster)
      }
      await load.next(now())
      return { "rolling-restart": load.gap(from) }
    },
  },
  {
    rows: ["member-replaced"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const from = now()
      for (const id of ids) {
        await cluster.kill(id, "SIGTERM")
        rmSync(cluster.member(id).data, { recursive: true })
        cluster.start(id)
        await replace(cluster, id)
        await isWell(cluster)
      }
      await load.next(now())
      return { "member-replaced": load.gap(from) }
    },
  },
  {
    rows: ["moved"],
    on: "plain",
    story: async ({ cluster, load }) => {
      const from = now()
      for (const id of ids) {
        await cluster.kill(id, "SIGTERM")
        Object.assign(cluster.member(id), { peerPort: await freePort() })
        const address = `127.0.0.1:${cluster.member(id).peerPort}`
        cluster.start(id)
        await isWell(cluster)
        // The other nodes still have the old list.
        await until("its address is written down", async () =>
          (await stepraft("member", "list", "--port", portOf(cluster, first(others(cluster, id))))).text.includes(
            address,
          ),
        )
      }
      await load.next(now())
      return { moved: load.gap(from) }
    },
  },
]
export const processRows: ReadonlySet<RowId> = new Set(scenarios.flatMap((one) => one.rows))

// ── trials ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ProcessOptions {
  readonly trials: number
  readonly only: (id: RowId) => boolean
  readonly say: (text: string) => void
}
export interface ProcessFigures {
  readonly trials: readonly Times[]
  readonly judged: readonly Judged[]
  /** What could not be measured, and why. */
  readonly failures: readonly string[]
}

export const measureProcesses = async ({ trials, only, say }: ProcessOptions): Promise<ProcessFigures> => {
  const all: Times[] = []
  const judged: Judged[] = []
  const failures: string[] = []
  const watchdog = watchMachine()
  for (const on of Object.keys(stages) as (keyof typeof stages)[]) {
    const chosen = scenarios.filter((one) => one.on === on && one.rows.some(only))
    if (chosen.length === 0) continue
    let members: Cluster["members"] = []
    const network = await openNetwork(ids, (id) => members.find((one) => one.id === id)?.peerPort ?? 0)
    const cluster = await startCluster(stages[on](network.peers))
    members = cluster.members
    const load = startLoad(ids, async (id) => {
      if (!cluster.running(id)) return null
      const client = await cluster.connect(id)
      return {
        write: async (number) => !((await client.call("SET", `load:${number % 100}`, number)) instanceof ErrorReply),
        close: client.close,
      }
    })
    let judge: Judge | null = null
    try {
      await cluster.leader()
      await isWell(cluster)
      judge = await startJudge(cluster, judged.length)
      for (let trial = 0; trial < trials; trial++) {
        for (const { rows, story } of chosen) {
          const trialOf = async (): Promise<Times> => {
            network.lift("cut")
            // Remains of a trial that was discarded.
            for (const id of ids)
              if (cluster.running(id)) cluster.signal(id, "SIGCONT")
              else cluster.start(id)
            await isWell(cluster)
            return story({ cluster, load, network })
          }
          const times = await steadily(watchdog, trialOf, (still) =>
            say(`trial ${trial + 1}: ${rows.join(", ")} again: the machine stood still for ${Math.round(still)} ms`),
          )
          all.push(times)
          say(`trial ${trial + 1}: ${rows.map((id) => `${id} ${Math.round(times[id] ?? Number.NaN)}`).join(", ")}`)
        }
      }
      network.lift("cut")
      await isWell(cluster)
      // The data of the nodes are compared at the end, when no client writes.
      load.stop()
      judged.push(await judge.verdict())
    } catch (error) {
      // The other stages remain valid.
      failures.push(`${on}: ${String(error)}`)
      say(`${String(error)}\n${cluster.logs()}`)
      judge?.abandon()
    } finally {
      load.stop()
      await cluster.dispose()
      await network.close()
    }
  }
  watchdog.stop()
  return { trials: all, judged, failures }
}
