/**
 * Observes the nodes from outside: their memory, as the system counts it, and what they report over a connection that
 * was opened before the attack.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import type { NodeStatus } from "../../kv/types.ts"
import { within, type Cluster } from "../cluster.ts"
import type { RespClient } from "../resp.ts"

const sampleMs = 50
const askMs = 300
/** Without /proc, ps is asked, which is slow. */
const psMs = 500

/** Memory that no file backs; 0 if the process is gone. */
export const residentOf = (pid: number): number => {
  try {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024
  } catch {
    if (process.platform === "linux") return 0
  }
  try {
    return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "latin1" }).trim()) * 1024
  } catch {
    return 0
  }
}

export interface Seen {
  readonly peakBytes: Record<string, number>
  /** Nodes that used more memory than allowed, and were killed for it. */
  readonly killed: string[]
  firstTerm: number
  lastTerm: number
  /** As INFO reports it: the most memory that clients used, and the budget for all of them. */
  usedByClients: number
  budget: number
  /** What a peer reports about a node: the entries that it is behind; null if it is not connected. */
  readonly lag: Record<string, number | null>
}
export interface Watch {
  readonly seen: Seen
  /** Looks at the processes that run at present. */
  readonly reconnect: () => Promise<void>
  readonly stop: () => void
}

const numberIn = (info: string, name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0)

export const startWatch = async (cluster: Cluster, limitBytes: number): Promise<Watch> => {
  const seen: Seen = { peakBytes: {}, killed: [], firstTerm: 0, lastTerm: 0, usedByClients: 0, budget: 0, lag: {} }
  let connections = new Map<string, RespClient>()
  const sample = (): void => {
    for (const id of cluster.ids) {
      if (!cluster.running(id)) continue
      const bytes = residentOf(cluster.process(id).pid)
      seen.peakBytes[id] = Math.max(seen.peakBytes[id] ?? 0, bytes)
      if (bytes <= limitBytes) continue
      seen.killed.push(id)
      cluster.signal(id, "SIGKILL")
    }
  }
  const ask = async (): Promise<void> => {
    await Promise.all(
      [...connections].map(async ([, client]) => {
        const told = await within(
          2000,
          client.call("STEPRAFT", "STATUS").catch(() => null),
        )
        if (typeof told !== "string") return
        const status = JSON.parse(told) as NodeStatus
        seen.firstTerm ||= status.term
        seen.lastTerm = Math.max(seen.lastTerm, status.term)
        if (status.role === "leader")
          for (const peer of status.peers) seen.lag[peer.id] = peer.connected ? peer.lag : null
        const info = await within(
          2000,
          client.call("INFO", "memory").catch(() => null),
        )
        if (typeof info !== "string") return
        seen.usedByClients = Math.max(seen.usedByClients, numberIn(info, "used_memory_clients"))
        seen.budget = Math.max(seen.budget, numberIn(info, "clients_memory_budget"))
      }),
    )
  }
  let asking: Promise<void> | null = null
  const sampling = setInterval(sample, process.platform === "linux" ? sampleMs : psMs)
  const polling = setInterval(() => {
    asking ??= ask().finally(() => {
      asking = null
    })
  }, askMs)
  const reconnect = async (): Promise<void> => {
    for (const client of connections.values()) client.close()
    connections = new Map()
    for (const id of cluster.ids) {
      const client = cluster.running(id)
        ? await within(
            2000,
            cluster.connect(id).catch(() => null),
          )
        : null
      if (client !== null) connections.set(id, client)
    }
  }
  await reconnect()
  await ask()
  return {
    seen,
    reconnect,
    stop: () => {
      clearInterval(sampling)
      clearInterval(polling)
      for (const client of connections.values()) client.close()
    },
  }
}
