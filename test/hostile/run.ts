/**
 * One scenario: three real nodes, hostile clients in a process of their own, polite ones here, and a verdict at the
 * end.
 */
import { fork, type ChildProcess } from "node:child_process"
import { rmSync } from "node:fs"
import { loadavg } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { startCluster, until, within, type Cluster } from "../cluster.ts"
import type { Outcome } from "./foe.ts"
import { quantile, startPolite, type Polite } from "./polite.ts"
import type { Scenario } from "./scenario.ts"
import { startWatch, type Watch } from "./watch.ts"

const GB = 1 << 30
export const memoryLimit = 2 * GB
export const p99Limit = 500
const calmMs = 1500
const attacker = fileURLToPath(new URL("attacker.ts", import.meta.url))

export interface RunOptions {
  readonly seed: number
  /** Seconds of the attack; default: the scenario's own. */
  readonly seconds?: number
  /** The program of the nodes: the words after the executable `node`. */
  readonly program?: string
  readonly say?: (text: string) => void
  /** Also done during the attack. */
  readonly alongside?: (cluster: Cluster) => Promise<void>
}
export interface Result {
  readonly name: string
  readonly seed: number
  /** Empty: the cluster passed. */
  readonly failures: readonly string[]
  /** Failures of timing only. A busy machine causes them too, and then the times before the attack were no better. */
  readonly late: readonly string[]
  readonly calmP99: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
  readonly polite: Polite["counts"]
  readonly politeCodes: Readonly<Record<string, number>>
  readonly elections: number
  readonly peakMegabytes: number
  readonly peakAfterRestart: number
  readonly clientsMegabytes: number
  readonly budgetMegabytes: number
  /** The time from the start of all processes to a leader; null if there was no restart, or no leader. */
  readonly restartMs: number | null
  readonly attackMs: number
  readonly outcome: Outcome | null
  /** The number of processes that wanted a processor, averaged over a minute, before the scenario began. */
  readonly loadBefore: number
  /** The longest time in which this process itself was not scheduled. */
  readonly ownStallMs: number
  readonly logs: string
}

interface Attack {
  readonly prepared: Promise<void>
  readonly go: () => Promise<{ readonly outcome: Outcome; readonly ms: number }>
  readonly leave: () => Promise<void>
}
type Told = { readonly type: "prepared" } | { readonly type: "ended"; readonly outcome: Outcome; readonly ms: number }

const startAttack = (scenario: Scenario, cluster: Cluster, options: RunOptions): Attack => {
  const child: ChildProcess = fork(
    attacker,
    [
      scenario.name,
      String(options.seed),
      String(options.seconds ?? ""),
      ...cluster.members.map(({ clientPort }) => String(clientPort)),
    ],
    { execArgv: ["--import", "tsx"], stdio: ["ignore", "inherit", "inherit", "ipc"] },
  )
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const waitFor = <K extends Told["type"]>(type: K): Promise<Extract<Told, { type: K }>> =>
    new Promise((resolve, reject) => {
      const hear = (told: Told): void => {
        if (told.type !== type) return
        child.off("message", hear)
        resolve(told as Extract<Told, { type: K }>)
      }
      child.on("message", hear)
      child.once("exit", (code) => reject(new Error(`the attacking process ended with ${String(code)}`)))
    })
  const prepared = waitFor("prepared").then(() => undefined)
  return {
    prepared,
    go: () => {
      const ended = waitFor("ended")
      child.send("go")
      return ended
    },
    leave: async () => {
      if (child.connected) child.disconnect()
      const gone = await Promise.race([exited.then(() => true), sleep(2000, false)])
      if (!gone) child.kill("SIGKILL")
    },
  }
}

/** A node that is restarted during the attack must find its peers and the entries that it missed. */
const restartOne = async (cluster: Cluster, watch: Watch): Promise<string | null> => {
  const [id = ""] = await cluster.followers()
  await sleep(1500)
  await cluster.kill(id)
  await sleep(500)
  cluster.start(id)
  await sleep(1500)
  delete watch.seen.lag[id]
  const back = await until(
    `${id} has caught up`,
    () => !cluster.running(id) || (watch.seen.lag[id] ?? Infinity) < 200,
    20_000,
  ).catch(() => false as const)
  if (!back)
    return `${id}, restarted under attack, has not caught up within 20 s (behind by ${String(watch.seen.lag[id] ?? "unknown")})`
  return cluster.running(id) ? null : `${id} ended after its restart`
}

/**
 * Kills all nodes and starts them again. With `replay` the state machine's files are deleted, so that every entry is
 * executed again: for attacks of few entries, each of which must not take long.
 */
const restartAll = async (cluster: Cluster, replay: boolean): Promise<number> => {
  const statuses = await Promise.all(cluster.ids.map(cluster.status))
  await cluster.killAll()
  // A log that was trimmed does not suffice to rebuild the data.
  if (replay && statuses.every((status) => status !== null && status.snapshotIndex === 0))
    for (const { data } of cluster.members) rmSync(join(data, "state"), { recursive: true, force: true })
  const from = performance.now()
  cluster.startAll()
  await until("a leader after the restart", () => within(5000, cluster.leader()), 60_000)
  await cluster.settled()
  return performance.now() - from
}

const lastWords = (cluster: Cluster, id: string): string =>
  cluster
    .process(id)
    .output()
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-3)
    .join(" | ")
    .slice(-500)

export const runScenario = async (scenario: Scenario, options: RunOptions): Promise<Result> => {
  const say = options.say ?? (() => undefined)
  const failures: string[] = []
  const late: string[] = []
  let stall = 0
  let tick = performance.now()
  const witness = setInterval(() => {
    const now = performance.now()
    stall = Math.max(stall, now - tick - 20)
    tick = now
  }, 20)
  const [loadBefore = 0] = loadavg()
  const cluster = await startCluster({
    program: ["--max-old-space-size=1536", options.program ?? join("dist", "kv", "cli.js")],
    env: { STEPRAFT_SNAPSHOT_BYTES: String(2 ** 40), ...scenario.env },
    ...(scenario.descriptors === undefined ? {} : { descriptors: scenario.descriptors }),
  })
  let attack: Attack | null = null
  let watch: Watch | null = null
  try {
    await cluster.leader()
    watch = await startWatch(cluster, memoryLimit)
    attack = startAttack(scenario, cluster, options)
    say("preparing")
    await attack.prepared
    watch.seen.firstTerm = watch.seen.lastTerm
    const polite = startPolite(cluster)
    await sleep(calmMs)
    const calm = [...polite.done]
    say("attacking")
    const from = performance.now()
    const [told, restarted] = await Promise.all([
      attack.go().catch((error: unknown) => {
        failures.push(String(error))
        return null
      }),
      scenario.restartUnderAttack === true ? restartOne(cluster, watch) : null,
      options.alongside?.(cluster),
    ])
    if (restarted !== null) failures.push(restarted)
    await sleep(500)
    const to = performance.now()
    say("judging")
    const elections = watch.seen.lastTerm - watch.seen.firstTerm
    await attack.leave()
    await polite.stop()
    const ran = cluster.ids.filter(cluster.running)
    for (const id of watch.seen.killed)
      failures.push(`${id} took more than ${memoryLimit / GB} GB of memory and was killed`)
    for (const id of cluster.ids)
      if (!ran.includes(id) && !watch.seen.killed.includes(id)) failures.push(`${id} ended: ${lastWords(cluster, id)}`)
    for (const complaint of told?.outcome.complaints ?? []) failures.push(complaint)
    const attacked = polite.done.filter(({ at }) => at >= from && at < to)
    const p99 = quantile(attacked, 0.99)
    const longest = quantile(attacked, 1)
    if (attacked.length === 0) failures.push("polite clients were answered nothing during the attack")
    if (p99 >= p99Limit) late.push(`polite clients: p99 ${Math.round(p99)} ms`)
    if (elections > 0 && scenario.restartUnderAttack !== true)
      late.push(`${elections} election${elections === 1 ? "" : "s"}`)
    if (watch.seen.budget > 0 && watch.seen.usedByClients > watch.seen.budget)
      failures.push(`clients took ${watch.seen.usedByClients} bytes of a budget of ${watch.seen.budget}`)
    const peak = Math.max(0, ...Object.values(watch.seen.peakBytes))
    for (const id of Object.keys(watch.seen.peakBytes)) watch.seen.peakBytes[id] = 0
    for (const id of cluster.ids) if (!cluster.running(id)) cluster.start(id)
    const wrong =
      scenario.wipes === true ? [] : await polite.judge(cluster.ids).catch((error: unknown) => [String(error)])
    failures.push(...wrong.slice(0, 5))
    say("restarting")
    const killedBefore = watch.seen.killed.length
    const restartMs = await restartAll(cluster, scenario.replay === true).catch((error: unknown) => {
      failures.push(
        `after a restart of all nodes: ${String(error)}; ${cluster.ids.map((id) => `${id} ${cluster.running(id) ? "runs" : "ended"}: ${lastWords(cluster, id)}`).join("; ")}`,
      )
      return null
    })
    for (const id of watch.seen.killed.slice(killedBefore))
      failures.push(`${id}, restarted, took more than ${memoryLimit / GB} GB of memory and was killed`)
    if (restartMs !== null && scenario.wipes !== true)
      failures.push(...(await polite.compare(cluster.ids).catch((error: unknown) => [String(error)])).slice(0, 5))
    return {
      name: scenario.name,
      seed: options.seed,
      failures,
      late,
      calmP99: quantile(calm, 0.99),
      p50: quantile(attacked, 0.5),
      p99,
      longest,
      polite: polite.counts,
      politeCodes: polite.codes,
      elections,
      peakMegabytes: peak >> 20,
      peakAfterRestart: Math.max(0, ...Object.values(watch.seen.peakBytes)) >> 20,
      clientsMegabytes: watch.seen.usedByClients >> 20,
      budgetMegabytes: watch.seen.budget >> 20,
      restartMs,
      attackMs: told?.ms ?? to - from,
      outcome: told?.outcome ?? null,
      loadBefore,
      ownStallMs: stall,
      logs: failures.length + late.length === 0 ? "" : cluster.logs(),
    }
  } finally {
    clearInterval(witness)
    watch?.stop()
    await attack?.leave()
    await cluster.dispose()
  }
}
