/** The real service and the real client on a simulated network, and the helpers of the K scenarios. */
import { expect, test } from "vitest"
import { seconds, type Cluster, type StoryWork, type WorldStep } from "../interpreters/simulation/index.ts"
import {
  goodNetwork,
  KvAnswerWrong,
  KvClient,
  KvServices,
  replyText,
  type ClientNetwork,
} from "../kv/simulation/index.ts"
import { checkHistory, kv, makeHistory, type Recorder } from "../spec/index.ts"
import type { Reply } from "../kv/types.ts"
import { operationsOf } from "../spec/linearizability/operations.ts"
import { scenarios, type ScenarioId } from "./scenario.ids.ts"
import { watched } from "./scenario.kit.ts"

export interface KvOptions {
  readonly servers?: number
  readonly seed?: number
  readonly unreliable?: boolean
  /** The log is trimmed when it is larger than this; null: never. */
  readonly most?: number | null
  /** Also called with each step. */
  readonly observe?: (step: WorldStep) => void
}

/** One request in five is lost, or its reply, and with it the connection. */
const unreliable: ClientNetwork = { hopMin: 1, hopMax: 25, slowPermille: 0, slowMax: 0, breakPermille: 200 }
/** Commands never time out; a silent node is left after 400 ms. */
const patient = { timeoutMs: 1e9, connectTimeoutMs: 400, stallTimeoutMs: 400, backoffMs: [10, 100] } as const

export class KvWorld {
  readonly cluster: Cluster
  readonly services = new KvServices()
  readonly history: Recorder
  readonly most: number | null
  private readonly net: ClientNetwork
  private clients = 0
  constructor({ servers = 5, seed = 1, unreliable: lossy = false, most = null, observe }: KvOptions) {
    this.most = most
    this.net = lossy ? unreliable : goodNetwork
    this.cluster = watched({
      servers,
      seed,
      network: lossy ? "unreliable" : "reliable",
      connections: true,
      settings: {
        forwardProposals: true,
        ...(most === null ? { snapshotBytes: 1e9 } : { snapshotBytes: most, trailingLogBytes: 0 }),
      },
      ...this.services.hooks(observe === undefined ? {} : { observe }),
    })
    this.services.attach(this.cluster.world)
    this.cluster.go(this.services.serve())
    this.history = makeHistory({ now: () => this.cluster.now })
  }
  /** A client that may use these servers; all, if none are named. */
  client(servers: () => readonly string[] = () => this.cluster.names): KvUser {
    const process = ++this.clients
    return new KvUser(
      this,
      process,
      new KvClient({ name: `c${process}`, services: this.services, servers, network: () => this.net }, patient),
    )
  }
  do<Result>(work: StoryWork<Result>): Result {
    return this.cluster.do(work)
  }
  /** Bytes of log and hard state, the largest. */
  get stored(): number {
    return Math.max(...this.cluster.names.map((name) => this.cluster.stateBytes(name)))
  }
  get image(): number {
    return Math.max(...this.cluster.names.map((name) => this.services.machine(name).memory.imageNow().length))
  }
  /** All servers stop, and start a second later. */
  *restartAll(): StoryWork<void> {
    const { names } = this.cluster
    this.cluster.crash(...names)
    yield seconds(1)
    this.cluster.restart(...names)
  }
  expectLinearizable(): void {
    const verdict = checkHistory(operationsOf(this.history.events), kv)
    expect(verdict.verdict, JSON.stringify(verdict)).toBe("linearizable")
  }
}

/** One client, whose operations are recorded. */
export class KvUser {
  readonly name: string
  private readonly world: KvWorld
  private readonly process: number
  private readonly client: KvClient
  constructor(world: KvWorld, process: number, client: KvClient) {
    this.name = `c${process}`
    this.world = world
    this.process = process
    this.client = client
  }
  private *ask(task: Parameters<KvClient["do"]>[0]): StoryWork<Reply> {
    const outcome = yield* this.client.do(task)
    if ("type" in outcome) return outcome
    throw new KvAnswerWrong(outcome.message)
  }
  *get(key: string): StoryWork<string> {
    const open = this.world.history.invoke({ process: this.process, f: "read", key })
    const text = replyText(yield* this.ask({ type: "read", args: ["GET", key] }))
    open.ok(text)
    return text ?? ""
  }
  *put(key: string, value: string): StoryWork<void> {
    const open = this.world.history.invoke({ process: this.process, f: "write", key, value })
    yield* this.ask({ type: "write", args: ["SET", key, value] })
    open.ok(value)
  }
  *append(key: string, value: string): StoryWork<void> {
    const open = this.world.history.invoke({ process: this.process, f: "append", key, value })
    yield* this.ask({ type: "write", args: ["APPEND", key, value] })
    open.ok(value)
  }
}

const THINK = 10
const ROUNDS = 3

/** Every append of one client exists once, in its order. */
export const expectAppends = (text: string, client: string, count: number): void => {
  const found = text.split(" ").filter((part) => part.startsWith(`${client}.`))
  expect(found, `appends of ${client}`).toEqual(Array.from({ length: count }, (_, i) => `${client}.${i}`))
}

export interface Load extends KvOptions {
  readonly clients: number
  readonly restarts?: boolean
  readonly partitions?: boolean
  readonly randomKeys?: boolean
}

/** Three rounds of load, each as long as `lasting` milliseconds, with the requested faults. */
export const generic = (options: Load, lasting: number): KvWorld => {
  const it = new KvWorld(options)
  const { cluster: c } = it
  const { random } = c
  const { clients: count, restarts = false, partitions = false, randomKeys = false } = options
  const users = Array.from({ length: count }, () => it.client())
  const reader = it.client()

  for (let round = 0; round < ROUNDS; round++) {
    const end = c.now + lasting
    function* load(user: KvUser, place: number): StoryWork<{ readonly key: string; readonly appended: number }> {
      let appended = 0
      let mine = ""
      const own = `r${round}.k${place}`
      if (!randomKeys) yield* user.put(own, "")
      while (c.now < end) {
        const key = randomKeys ? `k${random.below(count)}` : own
        if (random.chance(500)) {
          const token = `${user.name}.${appended++} `
          yield* user.append(key, token)
          mine += token
        } else if (randomKeys && random.chance(100)) yield* user.put(key, `${user.name}:${c.now} `)
        else {
          const seen = yield* user.get(key)
          if (!randomKeys && seen !== mine) c.fail(`${user.name} reads ${seen}, and wrote ${mine}`)
        }
        yield THINK
      }
      return { key: own, appended }
    }
    function* trouble(): StoryWork<void> {
      yield seconds(1)
      if (partitions)
        while (c.now < end) {
          c.partition(c.names.filter(() => random.chance(500)))
          yield 1000 + random.below(200)
        }
      if (c.now < end) yield end - c.now
      if (partitions) {
        c.heal()
        yield seconds(1)
      }
      if (restarts) yield* it.restartAll()
    }
    const nemesis = c.go(trouble())
    const loads = users.map((user, i) => c.go(load(user, i)))
    const done = c.finish(loads)
    c.finish([nemesis])
    if (!randomKeys)
      for (const [i, { key, appended }] of done.entries())
        expectAppends(it.do(reader.get(key)), users[i]?.name ?? "", appended)
    if (it.most === null)
      for (const name of c.names) expect(c.world.state(name)?.log.base.index, "no snapshot was wanted").toBe(0)
    else expect(it.stored, "bytes of log").toBeLessThanOrEqual(8 * it.most)
  }
  it.expectLinearizable()
  return it
}

export const kvScenario = (id: ScenarioId, story: () => void): void => {
  test(`${id} ${scenarios[id]}`, { timeout: 120_000 }, story)
}
