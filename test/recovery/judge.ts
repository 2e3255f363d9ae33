/** The replies that clients get while a scenario runs, and whether they were true. */
import { setTimeout as sleep } from "node:timers/promises"
import { connect, type Client } from "../../kv/client/index.ts"
import { makeHistory } from "../../spec/linearizability/index.ts"
import { startClients } from "../chaos/clients.ts"
import { linearizability } from "../chaos/judge.ts"
import { contents, digestOf, type Cluster } from "../cluster.ts"

export interface Judged {
  readonly requests: number
  /** Requests of our own client library that ended with an error. */
  readonly failed: number
  readonly longest: number
  /** Empty: nothing lost, nothing doubled, linearizable. */
  readonly wrong: readonly string[]
}
/**
 * The number of clients of each kind, one of our own client library for each node, and the milliseconds between two of
 * their calls.
 */
export const JUDGED = { own: 3, ownPause: 10, random: 4, randomPause: 20 }

export interface Judge {
  /**
   * Called once the cluster is healthy again: every client finishes its current operation. One judge for each cluster,
   * because it assumes that its keys do not exist yet.
   */
  readonly verdict: () => Promise<Judged>
  readonly abandon: () => void
}
/**
 * Clients of our own library, each of which appends to a key of its own, and random clients whose history is checked.
 */
export const startJudge = async (cluster: Cluster, seed: number): Promise<Judge> => {
  const endpoints = cluster.members.map(({ clientPort }) => `127.0.0.1:${clientPort}`)
  const history = makeHistory()
  const random = startClients(cluster, {
    history,
    clients: JUDGED.random,
    seed,
    pause: JUDGED.randomPause,
    keys: 12,
    operationsPerKey: 300,
    lie: null,
  })
  const control = { stopping: false }
  const failures: string[] = []
  let requests = 0
  let longest = 0
  const appends = async (client: Client, key: string): Promise<string | null> => {
    let failed = false
    let due = ""
    for (let number = 0; !control.stopping; number++) {
      const sent = performance.now()
      requests++
      try {
        await client.append(key, `${number};`)
        due += `${number};`
        longest = Math.max(longest, performance.now() - sent)
      } catch (error) {
        failed = true
        failures.push(String(error))
      }
      await sleep(JUDGED.ownPause)
    }
    const held = await client.get(key)
    await client.close()
    // After a failure it is unknown what the key should hold.
    return failed || held === due
      ? null
      : `${key} holds ${(held ?? "").length} bytes instead of ${due.length}: something was lost or doubled`
  }
  const clients = await Promise.all(cluster.ids.map(() => connect({ endpoints, timeoutMs: 30_000 })))
  const running = Promise.all(clients.map((client, i) => appends(client, `own${seed}.${i}`)))
  return {
    verdict: async () => {
      control.stopping = true
      const differing = (await running).filter((one) => one !== null)
      await random.stop()
      await random.readAll()
      await cluster.settled()
      const held = await Promise.all(cluster.ids.map((id) => contents(cluster, id)))
      return {
        requests,
        failed: failures.length,
        longest,
        wrong: [
          ...differing,
          ...failures,
          ...random.complaints,
          ...linearizability(history.events),
          ...(new Set(held.map(digestOf)).size === 1 ? [] : ["the nodes hold different data"]),
        ],
      }
    },
    abandon: () => {
      control.stopping = true
      void random.stop()
      running.catch(() => undefined)
    },
  }
}
