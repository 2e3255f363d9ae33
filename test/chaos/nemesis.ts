/** Executes a plan on a cluster and its network, and records what it did to which nodes. */
import { setTimeout as sleep } from "node:timers/promises"
import { until, within, type Cluster, type Watched } from "../cluster.ts"
import { damage, makeOperator, wipe } from "./operator.ts"
import type { Network, Pair } from "./network.ts"
import type { Fault, Step, Targets } from "./plan.ts"

/** What a step did. Times are performance.now(). */
export interface Incident {
  readonly step: Step
  readonly targets: readonly string[]
  /** The leader just before, as far as the nodes said. */
  readonly leader: string | null
  readonly from: number
  /** A node that was down counts as hit until it answers again; on a busy machine that takes seconds. */
  to: number
}
export interface Nemesis {
  readonly incidents: readonly Incident[]
  /** Nodes that ended by themselves, and stops that failed: there must be none. */
  readonly complaints: readonly string[]
  /** Steps in progress. */
  readonly active: () => readonly Incident[]
  /** Resolves when the last step has ended. Then all faults are healed and every node answers. */
  readonly run: (plan: readonly Step[]) => Promise<void>
  /** From now on nodes may end. */
  readonly leave: () => void
}

/** A node that is told to stop transfers leadership and answers waiting requests. */
const stopLimit = 20_000
const startLimit = 60_000

export const makeNemesis = (cluster: Cluster, network: Network, said: (text: string) => void): Nemesis => {
  const { ids } = cluster
  const operator = makeOperator(cluster)
  const incidents: Incident[] = []
  const complaints: string[] = []
  const active = new Set<Incident>()
  /** The steps that keep a node down or paused: it returns when the last of them ends. */
  const down = new Map<string, Set<Step>>(ids.map((id) => [id, new Set()]))
  const paused = new Map<string, Set<Step>>(ids.map((id) => [id, new Set()]))
  /** Processes that this nemesis has ended. */
  const ended = new Set<Watched>()

  const complain = (text: string): void => {
    complaints.push(text)
    said(text)
  }
  const watch = (id: string): void => {
    const life = cluster.process(id)
    void life.exited.then((how) => {
      if (!ended.has(life))
        complain(`${id} ended by itself (${how}):\n${life.output().split("\n").slice(-8).join("\n")}`)
    })
  }
  const start = (id: string): void => {
    if (cluster.running(id)) return
    cluster.start(id)
    watch(id)
  }
  const holds = (of: Map<string, Set<Step>>, id: string): Set<Step> => of.get(id) ?? new Set()

  /** The node that claims leadership in the highest term; null if none answers soon. */
  const leaderNow = async (): Promise<string | null> => {
    const statuses = await Promise.all(
      ids.filter((id) => holds(paused, id).size === 0).map((id) => within(250, cluster.status(id))),
    )
    const leaders = statuses.filter((one) => one !== null).filter((one) => one.role === "leader")
    return leaders.sort((a, b) => b.term - a.term)[0]?.id ?? null
  }
  const resolve = ({ count, order, leader: place }: Targets, leader: string | null): readonly string[] => {
    if (leader === null || place === "anywhere") return order.slice(0, count)
    const rest = order.filter((id) => id !== leader)
    return (place === "first" ? [leader, ...rest] : [...rest, leader]).slice(0, count)
  }
  const kill = async (id: string): Promise<void> => {
    if (!cluster.running(id)) return
    ended.add(cluster.process(id))
    await cluster.kill(id)
  }
  const stop = async (id: string): Promise<void> => {
    if (!cluster.running(id)) return
    const life = cluster.process(id)
    ended.add(life)
    life.signal("SIGTERM")
    const how = await within(stopLimit, life.exited)
    if (how === null) {
      complain(
        `${id} did not stop within ${stopLimit / 1000} s of SIGTERM:\n${life.output().split("\n").slice(-8).join("\n")}`,
      )
      await cluster.kill(id)
      // Another step may kill it meanwhile; and a node that has not begun to run has no leadership to transfer.
    } else if (how !== 0 && how !== "SIGKILL" && !(how === "SIGTERM" && life.output() === ""))
      complain(`${id} stopped with ${how} on SIGTERM:\n${life.output().split("\n").slice(-8).join("\n")}`)
  }
  const resume = (id: string): void => {
    if (cluster.running(id)) cluster.signal(id, "SIGCONT")
  }
  /** Until it serves clients, or another step has taken over. */
  const answers = async (id: string): Promise<void> => {
    const left = (): boolean => !cluster.running(id) || holds(down, id).size > 0 || holds(paused, id).size > 0
    await until(
      `${id} answers after its start`,
      async () => left() || (await cluster.status(id)) !== null,
      startLimit,
    ).catch((error: unknown) => complain(String(error)))
  }
  const between = (some: readonly string[], others: readonly string[]): readonly Pair[] =>
    some.flatMap((from) => others.filter((to) => to !== from).map((to): Pair => [from, to]))
  const bothWays = (some: readonly string[], others: readonly string[]): readonly Pair[] => [
    ...between(some, others),
    ...between(others, some),
  ]

  /** While it is down, its disk is changed. */
  const changed = async (id: string, step: Step, change: (data: string) => void): Promise<void> => {
    holds(down, id).add(step)
    await kill(id)
    change(cluster.member(id).data)
    holds(down, id).delete(step)
    if (holds(down, id).size === 0) start(id)
  }
  /** What an operator does about members, or leaves to the nodes. */
  const look = (what: "wipe" | "damage" | "rejoin" | "transfer", id: string, step: Step): Promise<void> =>
    operator
      .alone(async () => {
        switch (what) {
          case "wipe":
            await changed(id, step, wipe)
            return operator.verb("MEMBER", "REPLACE", id)
          case "damage": {
            const before = await operator.incarnationOf(id)
            await changed(id, step, damage)
            return operator.votes(id, before)
          }
          case "rejoin":
            await operator.verb("MEMBER", "REMOVE", id)
            await changed(id, step, wipe)
            await operator.verb("MEMBER", "ADD", id)
            return operator.verb("MEMBER", "PROMOTE", id)
          case "transfer":
            return operator.verb("TRANSFER", id)
        }
      })
      .catch((error: unknown) => complain(String(error)))

  /** Begins the fault; the returned function ends it. */
  const begin = async (step: Step, fault: Fault, targets: readonly string[]): Promise<() => Promise<void> | void> => {
    const name = String(step.number)
    const others = ids.filter((id) => !targets.includes(id))
    const condition = (
      pairs: readonly Pair[],
      what: Parameters<Network["impose"]>[2],
      end: "burst" | "reset" = "burst",
    ): (() => void) => {
      network.impose(name, pairs, what)
      return () => {
        if (end === "reset") network.reset(pairs)
        network.lift(name)
      }
    }
    switch (fault.type) {
      case "kill":
      case "stop": {
        for (const id of targets) holds(down, id).add(step)
        const gone = Promise.all(targets.map(fault.type === "kill" ? kill : stop))
        if (fault.type === "kill") await gone
        return async () => {
          await gone
          for (const id of targets) {
            holds(down, id).delete(step)
            if (holds(down, id).size === 0) start(id)
          }
          await Promise.all(targets.map(answers))
        }
      }
      case "pause":
        for (const id of targets) {
          holds(paused, id).add(step)
          if (cluster.running(id)) cluster.signal(id, "SIGSTOP")
        }
        return () => {
          for (const id of targets) {
            holds(paused, id).delete(step)
            if (holds(paused, id).size === 0) resume(id)
          }
        }
      case "partition":
        return condition(bothWays(targets, others), { cut: true }, fault.end)
      case "unlink":
        return condition(bothWays(targets.slice(0, 1), targets.slice(1, 2)), { cut: true }, fault.end)
      case "mute":
        return condition(between(targets, others), { cut: true }, fault.end)
      case "deafen":
        return condition(between(others, targets), { cut: true }, fault.end)
      case "reset": {
        const pairs = bothWays(targets, ids)
        network.reset(pairs)
        const timer = setInterval(() => network.reset(pairs), step.ms / fault.times)
        return () => clearInterval(timer)
      }
      case "delay":
        return condition(bothWays(targets, ids), { delay: fault.delay, jitter: fault.jitter })
      case "throttle":
        return condition(bothWays(targets, ids), { rate: fault.bytesPerSecond / 1000 })
      case "wipe":
      case "damage":
      case "rejoin":
      case "transfer": {
        const [id = ""] = targets
        const done = look(fault.type, id, step)
        return () => done
      }
    }
  }

  const carryOut = async (step: Step): Promise<void> => {
    const leader = await leaderNow()
    const targets = resolve(step.fault.targets, leader)
    const incident: Incident = { step, targets, leader, from: performance.now(), to: Number.POSITIVE_INFINITY }
    incidents.push(incident)
    active.add(incident)
    try {
      const end = await begin(step, step.fault, targets)
      await sleep(step.ms)
      await end()
    } finally {
      incident.to = performance.now()
      active.delete(incident)
    }
  }

  for (const id of ids) watch(id)
  return {
    incidents,
    complaints,
    active: () => [...active],
    run: async (plan) => {
      const started = performance.now()
      const running: Promise<void>[] = []
      for (const step of plan) {
        await sleep(Math.max(0, started + step.at - performance.now()))
        running.push(carryOut(step))
      }
      await Promise.all(running)
      for (const id of ids) {
        resume(id)
        start(id)
      }
      await Promise.all(ids.map(answers))
    },
    leave: () => ids.forEach((id) => ended.add(cluster.process(id))),
  }
}
