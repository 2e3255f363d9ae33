/**
 * The rows that can be measured on etcd too: three processes of Debian's package, measured by the same load, with the
 * same timeouts.
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { etcdWords } from "../bench/systems.ts"
import { freePort, launch, temporaryFolder, until, type Watched } from "../cluster.ts"
import { startLoad, steadily, watchMachine, type Load } from "./load.ts"
import { JUDGED } from "./judge.ts"
import type { RowId, Times } from "./rows.ts"

const names = ["e1", "e2", "e3"]
/** etcd draws its election timeout from one to two times this; ours is drawn from 500 to 1,000 ms. */
const timeouts = ["--heartbeat-interval", "100", "--election-timeout", "500"]

interface Member {
  readonly name: string
  readonly client: string
  readonly peer: string
}
interface Status {
  readonly id: string
  readonly leader: string
  readonly applied: number
}
interface Etcd {
  readonly status: (name: string) => Promise<Status | null>
  readonly leader: () => Promise<string>
  readonly put: (name: string, number: number) => Promise<boolean>
  readonly transfer: (from: string, to: string) => Promise<void>
  readonly start: (name: string) => void
  readonly stop: (name: string, signal: NodeJS.Signals) => Promise<void>
  readonly signal: (name: string, signal: NodeJS.Signals) => void
  readonly running: (name: string) => boolean
  readonly logs: () => string
  readonly dispose: () => Promise<void>
}

const ask = async (endpoint: string, path: string, body: unknown, limit: number): Promise<unknown> => {
  const response = await fetch(`http://${endpoint}/v3/${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(limit),
  })
  const reply: unknown = await response.json()
  if (!response.ok) throw new Error(`etcd ${path}: ${JSON.stringify(reply)}`)
  return reply
}

const startEtcd = async (): Promise<Etcd> => {
  const folder = temporaryFolder("stepraft-etcd-")
  const members: Member[] = []
  for (const name of names)
    members.push({ name, client: `127.0.0.1:${await freePort()}`, peer: `127.0.0.1:${await freePort()}` })
  const all = members.map(({ name, peer }) => `${name}=http://${peer}`).join(",")
  const lives = new Map<string, Watched>()
  const member = (name: string): Member => members.find((one) => one.name === name) ?? { name, client: "", peer: "" }
  const start = (name: string): void => {
    const { client, peer } = member(name)
    lives.set(name, launch("etcd", [...etcdWords({ name, client, peer }, join(folder, name), all), ...timeouts]))
  }
  const running = (name: string): boolean => lives.get(name)?.running() ?? false
  const status = async (name: string): Promise<Status | null> => {
    if (!running(name)) return null
    const reply = (await ask(member(name).client, "maintenance/status", {}, 1000).catch(() => null)) as {
      readonly header?: { readonly member_id?: string }
      readonly leader?: string
      readonly raftAppliedIndex?: string
    } | null
    return reply === null
      ? null
      : { id: reply.header?.member_id ?? "", leader: reply.leader ?? "0", applied: Number(reply.raftAppliedIndex ?? 0) }
  }
  const leader = (): Promise<string> =>
    until("etcd has a leader", async () => {
      const all = await Promise.all(names.map(status))
      const led = names.find((_, i) => {
        const one = all[i]
        return (
          one !== null &&
          one !== undefined &&
          one.leader === one.id &&
          all.filter((other) => other?.leader === one.id).length > names.length / 2
        )
      })
      return led ?? null
    })
  names.forEach(start)
  await leader()
  return {
    status,
    leader,
    start,
    running,
    put: async (name, number) => {
      await ask(member(name).client, "kv/put", { key: btoa(`load:${number % 100}`), value: btoa(String(number)) }, 400)
      return true
    },
    transfer: async (from, to) => {
      const target = (await status(to))?.id ?? ""
      await ask(member(from).client, "maintenance/transfer-leadership", { targetID: target }, 10_000)
    },
    stop: async (name, signal) => {
      lives.get(name)?.signal(signal)
      await until(`${name} ends`, () => !running(name))
    },
    signal: (name, signal) => lives.get(name)?.signal(signal),
    logs: () => [...lives.values()].map((one) => one.output().slice(-3000)).join("\n"),
    dispose: async () => {
      for (const name of names) if (running(name)) lives.get(name)?.signal("SIGKILL")
      await until("etcd ends", () => !names.some(running))
    },
  }
}

const now = (): number => performance.now()
const applied = async (etcd: Etcd): Promise<number> =>
  Math.max(0, ...(await Promise.all(names.map(etcd.status))).map((one) => one?.applied ?? 0))
const current = async (etcd: Etcd, name: string, index: number, since: number): Promise<number> => {
  await until(`${name} executed ${index}`, async () => ((await etcd.status(name))?.applied ?? -1) >= index)
  return now() - since
}
const isWell = async (etcd: Etcd): Promise<void> => {
  await until("etcd is well", async () =>
    (await Promise.all(names.map(etcd.status))).every((one) => one !== null && one.leader !== "0"),
  )
}
/** Our own nodes serve the clients of the judge during the measurement, so here as many calls are made. */
const company = (etcd: Etcd): (() => void) => {
  const control = { going: true }
  const calls = async (i: number): Promise<void> => {
    for (let number = i; control.going; number += 100) {
      const name = names[(i + number) % names.length] ?? ""
      if (etcd.running(name)) await etcd.put(name, number).catch(() => undefined)
      await sleep(i < JUDGED.own ? JUDGED.ownPause : JUDGED.randomPause)
    }
  }
  for (let i = 0; i < JUDGED.own + JUDGED.random; i++) void calls(i)
  return () => {
    control.going = false
  }
}
const another = (name: string): string => names.find((one) => one !== name) ?? ""

interface Scenario {
  readonly rows: readonly RowId[]
  readonly story: (etcd: Etcd, load: Load, leader: string) => Promise<Times>
}
const scenarios: readonly Scenario[] = [
  {
    rows: ["leader-killed"],
    story: async (etcd, load, leader) => {
      const from = now()
      const gone = etcd.stop(leader, "SIGKILL")
      const write = await load.next(from)
      await gone
      etcd.start(leader)
      return { "leader-killed": write }
    },
  },
  {
    rows: ["leader-paused", "leader-resumed"],
    story: async (etcd, load, leader) => {
      const from = now()
      etcd.signal(leader, "SIGSTOP")
      const write = await load.next(from)
      await sleep(500)
      const index = await applied(etcd)
      const since = now()
      etcd.signal(leader, "SIGCONT")
      return { "leader-paused": write, "leader-resumed": await current(etcd, leader, index, since) }
    },
  },
  {
    rows: ["follower-restart"],
    story: async (etcd, load, leader) => {
      const name = another(leader)
      await etcd.stop(name, "SIGKILL")
      await sleep(500)
      await load.next(now())
      const index = await applied(etcd)
      const since = now()
      etcd.start(name)
      return { "follower-restart": await current(etcd, name, index, since) }
    },
  },
  {
    rows: ["all-restart"],
    story: async (etcd, load) => {
      await Promise.all(names.map((name) => etcd.stop(name, "SIGKILL")))
      const since = now()
      names.forEach(etcd.start)
      return { "all-restart": await load.next(since) }
    },
  },
  {
    rows: ["hand-over"],
    story: async (etcd, load, leader) => {
      const from = now()
      await etcd.transfer(leader, another(leader))
      await load.next(now())
      return { "hand-over": load.gap(from) }
    },
  },
  {
    rows: ["rolling-restart"],
    story: async (etcd, load) => {
      const from = now()
      for (const name of names) {
        await etcd.stop(name, "SIGTERM")
        etcd.start(name)
        await isWell(etcd)
        await current(etcd, name, await applied(etcd), now())
      }
      await load.next(now())
      return { "rolling-restart": load.gap(from) }
    },
  },
]
export const etcdVersion = (): string | null => {
  const { status, stdout } = spawnSync("etcd", ["--version"], { encoding: "utf8" })
  return status === 0 ? (/etcd Version: (\S+)/.exec(stdout)?.[1] ?? "") : null
}

/** One cluster for all trials. */
export const measureEtcd = async (
  trials: number,
  only: (id: RowId) => boolean,
  say: (text: string) => void,
): Promise<readonly Times[]> => {
  const chosen = scenarios.filter(({ rows }) => rows.some(only))
  if (chosen.length === 0) return []
  const etcd = await startEtcd()
  const all: Times[] = []
  const watchdog = watchMachine()
  const load = startLoad(names, (name) =>
    Promise.resolve(etcd.running(name) ? { write: (number) => etcd.put(name, number), close: () => undefined } : null),
  )
  const leave = company(etcd)
  try {
    await load.next(now())
    for (let trial = 0; trial < trials; trial++)
      for (const { story } of chosen) {
        const trialOf = async (): Promise<Times> => {
          for (const name of names)
            if (etcd.running(name)) etcd.signal(name, "SIGCONT")
            else etcd.start(name)
          await isWell(etcd)
          await sleep(300)
          return story(etcd, load, await etcd.leader())
        }
        const times = await steadily(watchdog, trialOf, (still) =>
          say(`etcd, trial ${trial + 1} again: the machine stood still for ${Math.round(still)} ms`),
        )
        all.push(times)
        say(
          `etcd, trial ${trial + 1}: ${Object.entries(times)
            .map(([id, ms]) => `${id} ${Math.round(ms)}`)
            .join(", ")}`,
        )
      }
  } catch (error) {
    say(`etcd: ${String(error)}\n${etcd.logs()}`)
  } finally {
    leave()
    load.stop()
    watchdog.stop()
    await etcd.dispose()
  }
  return all
}
