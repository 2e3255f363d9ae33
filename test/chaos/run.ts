/** One run: a cluster behind proxies, clients, a plan of faults, and at the end the verdict. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { makeHistory, type Value } from "../../spec/linearizability/index.ts"
import { contents, digestOf, smallSnapshots, startCluster, until, type Cluster } from "../cluster.ts"
import { startClients, type Clients, type Lie } from "./clients.ts"
import { linearizability } from "./judge.ts"
import { makeNemesis, type Incident, type Nemesis } from "./nemesis.ts"
import { openNetwork } from "./network.ts"
import type { Step } from "./plan.ts"
import { failoversOf, longestOutage, longestUnexcused, type Failovers, type Outage } from "./figures.ts"

export interface ChaosOptions {
  readonly seed: number
  readonly nodes: number
  readonly clients: number
  readonly plan: readonly Step[]
  /** The history and the logs of the nodes are written here. */
  readonly out: string
  readonly keys?: number
  readonly pause?: number
  readonly operationsPerKey?: number
  readonly lie?: Lie | null
  /** The program of a node: words after `node`; dist/kv/cli.js by default. */
  readonly program?: string
  readonly say?: (text: string) => void
  /** Called every second. */
  readonly progress?: (so: Progress) => void
}
export interface Progress {
  readonly ms: number
  readonly counts: Clients["counts"]
  /** Writes acknowledged in the last second. */
  readonly rate: number
  readonly active: readonly Incident[]
}
export interface ChaosReport {
  /** Empty: no violation. */
  readonly violations: readonly string[]
  readonly counts: Clients["counts"]
  readonly keys: number
  /** From the first operation to the last fault's end and recovery. */
  readonly ms: number
  readonly incidents: readonly Incident[]
  readonly outage: Outage | null
  /** The longest outage in which a majority was unharmed. */
  readonly unexcused: Outage | null
  readonly failovers: Failovers
  /** From the end of all faults to the next acknowledged write, and until all nodes had applied the same. */
  readonly recovered: number | null
  readonly converged: number | null
  /** Of the check for linearizability. */
  readonly checkedMs: number
  readonly historyFile: string
  /** The last lines of each process of each node. */
  readonly logFile: string
}

const preload = fileURLToPath(new URL("own-peers.mjs", import.meta.url))

/** Lines are written a few times a second, so that an interrupted run leaves its history, too. */
const historyFile = (path: string): { readonly write: (line: string) => void; readonly close: () => void } => {
  const file = openSync(path, "w")
  let lines: string[] = []
  const flush = (): void => {
    if (lines.length > 0) writeSync(file, lines.join(""))
    lines = []
  }
  const timer = setInterval(flush, 250)
  return {
    write: (line) => void lines.push(line),
    close: () => {
      clearInterval(timer)
      flush()
      closeSync(file)
    },
  }
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** What is wrong with the contents of the nodes, given the last reads. */
const differences = async (cluster: Cluster, final: ReadonlyMap<string, Value>): Promise<readonly string[]> => {
  const wrong: string[] = []
  const digests = new Map<string, string>()
  for (const id of cluster.ids.filter(cluster.running)) {
    const held = await contents(cluster, id)
    digests.set(id, digestOf(held))
    for (const [key, value] of final)
      if ((held.get(key) ?? null) !== value)
        wrong.push(
          `${id} holds ${JSON.stringify(held.get(key) ?? null)} under ${key}, the last read of all gave ${JSON.stringify(value)}`,
        )
    for (const key of held.keys()) if (!final.has(key)) wrong.push(`${id} holds ${key}, which nobody wrote`)
  }
  if (new Set(digests.values()).size > 1)
    wrong.unshift(
      `nodes hold different data: ${[...digests].map(([id, digest]) => `${id} ${digest.slice(0, 12)}`).join(", ")}`,
    )
  return wrong.slice(0, 10)
}

interface Ended {
  readonly violations: readonly string[]
  readonly recovered: number | null
  readonly converged: number | null
}
/** All faults are healed and every node runs: the cluster must serve again, and all nodes must hold the same. */
const settle = async (cluster: Cluster, clients: Clients, say: (text: string) => void): Promise<Ended> => {
  const healed = performance.now()
  const violations: string[] = []
  let recovered: number | null = null
  let converged: number | null = null
  try {
    const next = await until(
      "a write is acknowledged after all faults have ended",
      () => clients.acknowledged.findLast(({ sent }) => sent >= healed) ?? null,
      60_000,
    )
    recovered = (clients.acknowledged.find(({ sent }) => sent >= healed) ?? next).answered - healed
    await sleep(1000)
    say("stopping the clients, reading every key once more")
    await clients.stop()
    const final = await clients.readAll()
    const stopped = performance.now()
    // A node that ended by itself is a violation already.
    await cluster.settled(cluster.ids.filter(cluster.running))
    converged = performance.now() - stopped
    violations.push(...(await differences(cluster, final)))
  } catch (error) {
    violations.push(message(error))
    await clients.stop()
  }
  return { violations, recovered, converged }
}

export const runChaos = async (options: ChaosOptions): Promise<ChaosReport> => {
  const say = options.say ?? (() => undefined)
  mkdirSync(options.out, { recursive: true })
  const path = join(options.out, "history.jsonl")
  const ids = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
  let members: Cluster["members"] = []
  const network = await openNetwork(ids, (id) => members.find((one) => one.id === id)?.peerPort ?? 0)
  const cluster = await startCluster({
    nodes: options.nodes,
    program: ["--import", preload, options.program ?? join("dist", "kv", "cli.js")],
    // Snapshots are taken and sent often, so that nodes also return by them.
    env: { CHAOS_PEERS: JSON.stringify(network.peers), ...smallSnapshots(200_000, 40_000, 60_000) },
  })
  members = cluster.members
  const file = historyFile(path)
  const logFile = join(options.out, "nodes.log")
  let timer: NodeJS.Timeout | null = null
  try {
    await cluster.leader()
    const started = performance.now()
    const history = makeHistory({ now: () => Math.round((performance.now() - started) * 100) / 100, write: file.write })
    const nemesis: Nemesis = makeNemesis(cluster, network, say)
    const clients = startClients(cluster, {
      history,
      clients: options.clients,
      seed: options.seed,
      pause: options.pause ?? 10,
      keys: options.keys ?? 12,
      operationsPerKey: options.operationsPerKey ?? 300,
      lie: options.lie ?? null,
    })
    let before = 0
    timer = setInterval(() => {
      options.progress?.({
        ms: performance.now() - started,
        counts: clients.counts,
        rate: clients.counts.ok - before,
        active: nemesis.active(),
      })
      before = clients.counts.ok
    }, 1000)
    await nemesis.run(options.plan)
    say("all faults have ended, every node runs")
    const ended = await settle(cluster, clients, say)
    clearInterval(timer)
    const ms = performance.now() - started
    writeFileSync(logFile, cluster.logs())
    nemesis.leave()
    await cluster.killAll()
    say(`checking ${history.events.length} events for linearizability`)
    const checking = performance.now()
    const broken = linearizability(history.events)
    const violations = [...nemesis.complaints, ...clients.complaints.slice(0, 10), ...ended.violations, ...broken]
    return {
      violations,
      counts: clients.counts,
      keys: clients.keys().length,
      ms,
      incidents: nemesis.incidents,
      outage: longestOutage(clients.acknowledged, nemesis.incidents),
      unexcused: longestUnexcused(clients.acknowledged, nemesis.incidents, ids.length),
      failovers: failoversOf(clients.acknowledged, nemesis.incidents, ids.length),
      recovered: ended.recovered,
      converged: ended.converged,
      checkedMs: performance.now() - checking,
      historyFile: path,
      logFile,
    }
  } catch (error) {
    writeFileSync(logFile, cluster.logs())
    throw error
  } finally {
    if (timer !== null) clearInterval(timer)
    file.close()
    await network.close()
    await cluster.dispose()
  }
}
