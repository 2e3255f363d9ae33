/** A follower misses so much that it can only rejoin by snapshot: the costs for the nodes. */
import { readFileSync } from "node:fs"
import { contents, digestOf, until, type Cluster } from "./cluster.ts"
import { ErrorReply, type RespClient } from "./resp.ts"
import { startWorkload, verify } from "./workload.ts"

/** Memory that a process holds, in bytes (Linux). 0: it is gone. */
export const residentBytes = (pid: number): number => {
  try {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

export interface RejoinOptions {
  /** Values of `bytes` bytes written while the follower is away. */
  readonly writes: number
  readonly bytes: number
}
export interface Rejoin {
  readonly writesPerSecond: number
  /** From the restart until everything committed at that moment is applied. */
  readonly caughtUpMs: number
  /** The most memory that was seen of each node. */
  readonly peakRss: Readonly<Record<string, number>>
  readonly logBytes: Readonly<Record<string, number>>
  /** How long the event loops of the three nodes were blocked during the transfer: the longest time, and the sum. */
  readonly longestStallMs: number
  readonly stallMs: number
  readonly bySnapshot: boolean
  readonly wrong: readonly string[]
  readonly equal: boolean
}

/** `inFlight` at a time over one connection; a refusal for lack of capacity is tried again. */
export const fill = async (client: RespClient, writes: number, bytes: number, inFlight = 256): Promise<void> => {
  const value = "v".repeat(bytes)
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < writes) {
      const key = `fill:${String(next++).padStart(9, "0")}`
      for (;;) {
        const reply = await client.call("SET", key, value)
        if (!(reply instanceof ErrorReply)) break
        if (reply.code !== "BUSY") throw new Error(`SET answered ${reply.text}`)
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, writer))
}

const stallsOf = async (cluster: Cluster): Promise<{ readonly longest: number; readonly sum: number }> => {
  const all = await Promise.all(cluster.ids.map(cluster.status))
  const counters = all.map((one) => one?.counters ?? {})
  return {
    longest: Math.max(0, ...counters.map((one) => one["loop.longestStallMs"] ?? 0)),
    sum: counters.reduce((sum, one) => sum + (one["loop.stallMs"] ?? 0), 0),
  }
}

export const rejoin = async (cluster: Cluster, { writes, bytes }: RejoinOptions): Promise<Rejoin> => {
  const workload = startWorkload(cluster, { pause: 20 })
  const leader = await cluster.leader()
  const away = cluster.ids.find((id) => id !== leader) ?? ""
  const missedFrom = (await cluster.status(away))?.lastIndex ?? 0
  await cluster.kill(away)

  const peakRss: Record<string, number> = {}
  const sample = (): void => {
    for (const id of cluster.ids)
      if (cluster.running(id)) peakRss[id] = Math.max(peakRss[id] ?? 0, residentBytes(cluster.process(id).pid))
  }
  const sampling = setInterval(sample, 100)
  try {
    const client = await cluster.connect(leader)
    const filling = performance.now()
    await fill(client, writes, bytes, bytes > 4096 ? 32 : 256)
    const writesPerSecond = writes / ((performance.now() - filling) / 1000)
    client.close()
    await until(
      "the leader has dropped what the follower would need next",
      async () => ((await cluster.status(leader))?.snapshotIndex ?? 0) > missedFrom,
    )

    const before = await stallsOf(cluster)
    const committed = (await cluster.status(leader))?.commitIndex ?? 0
    const restarted = performance.now()
    cluster.start(away)
    await until(
      `${away} has applied ${committed}`,
      async () => ((await cluster.status(away))?.applied ?? 0) >= committed,
      600_000,
    )
    const caughtUpMs = performance.now() - restarted
    const after = await stallsOf(cluster)
    const { wrong } = await verify(cluster, [workload])
    const digests = new Set<string>()
    const logBytes: Record<string, number> = {}
    let bySnapshot = false
    for (const id of cluster.ids) {
      const status = await cluster.status(id)
      logBytes[id] = status?.logBytes ?? 0
      if (id === away) bySnapshot = (status?.snapshotIndex ?? 0) > missedFrom
      digests.add(digestOf(await contents(cluster, id)))
    }
    sample()
    return {
      writesPerSecond,
      caughtUpMs,
      peakRss,
      logBytes,
      longestStallMs: after.longest,
      stallMs: after.sum - before.sum,
      bySnapshot,
      wrong,
      equal: digests.size === 1,
    }
  } finally {
    clearInterval(sampling)
  }
}

const mb = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MB`
export const describe = (result: Rejoin): string =>
  [
    `${Math.round(result.writesPerSecond)} writes/s with one node away; caught up ${Math.round(result.caughtUpMs)} ms after its restart${result.bySnapshot ? ", by snapshot" : ""}`,
    `peak memory ${Object.entries(result.peakRss)
      .map(([id, bytes]) => `${id} ${mb(bytes)}`)
      .join(", ")}`,
    `log on disk ${Object.entries(result.logBytes)
      .map(([id, bytes]) => `${id} ${mb(bytes)}`)
      .join(", ")}`,
    `event loops: longest stall ${result.longestStallMs} ms, ${result.stallMs} ms in all during the transfer`,
  ].join("\n")
