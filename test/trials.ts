/** Steps that the process tests repeat and the standalone scripts measure. */
import { setTimeout as sleep } from "node:timers/promises"
import { until, type Cluster } from "./cluster.ts"
import type { Workload } from "./workload.ts"

export interface Failover {
  /** Milliseconds from the kill to the first acknowledgement of a write sent after it. */
  readonly session: number
  readonly plain: number
  /** From the restart of the killed node until it has applied all that was committed at that moment. */
  readonly caughtUp: number
}

export const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN
export const summary = (values: readonly number[]): string =>
  `median ${middle(values).toFixed(0)}, ${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)} ms`

/** kill -9 of the leader under load, and its return. */
export const failover = async (cluster: Cluster, workload: Workload): Promise<Failover> => {
  const leader = await cluster.leader()
  const killed = performance.now()
  const gone = cluster.kill(leader)
  const [session, plain] = await Promise.all([
    workload.nextAfter(killed, true),
    workload.nextAfter(killed, false),
    gone,
  ])
  await cluster.leader()
  const restarted = performance.now()
  cluster.start(leader)
  const caughtUp = await caughtUpAfter(cluster, leader, restarted)
  return { session: session - killed, plain: plain - killed, caughtUp }
}

const caughtUpAfter = async (cluster: Cluster, id: string, since: number): Promise<number> => {
  const committed = (await cluster.status(await cluster.leader()))?.commitIndex ?? 0
  await until(
    `${id} has caught up to ${committed}`,
    async () => ((await cluster.status(id))?.applied ?? -1) >= committed,
  )
  return performance.now() - since
}

export const failovers = async (cluster: Cluster, workload: Workload, trials: number): Promise<readonly Failover[]> => {
  const results: Failover[] = []
  for (let trial = 0; trial < trials; trial++) {
    await sleep(500)
    results.push(await failover(cluster, workload))
  }
  return results
}

/** kill -9 of all nodes at once, and their return. Returns the milliseconds from each restart to the next write. */
export const outages = async (cluster: Cluster, workload: Workload, times: number): Promise<readonly number[]> => {
  const results: number[] = []
  for (let time = 0; time < times; time++) {
    await sleep(300 + 200 * (time % 3))
    await cluster.killAll()
    const restarted = performance.now()
    cluster.startAll()
    results.push((await workload.nextAfter(restarted)) - restarted)
  }
  return results
}
