/** Clients that live in a random world, each with one operation at a time; at the end all that they were told must fit together. */
import { goOn, makeRandom, Tasks, type Random, type Work, type World } from "../../interpreters/simulation/index.ts"
import { checkHistory, explainInWords, kv, makeHistory, operationsOf, PropertyViolated, type Companions, type F, type Recorder, type Value } from "../../spec/index.ts"
import { encodeCommand, NODE_OWNER } from "../machine/index.ts"
import type { Reply } from "../types.ts"
import { KvClient, KvService, textOf, type ClientNetwork } from "./clients.ts"
import { simulatedSecret } from "./machine.ts"

export interface KvLoad {
  readonly clients: number
  /** What happened, once it is over. */
  readonly recorded?: (history: Recorder) => void
}

/** Virtual milliseconds: a client gives up what takes longer, and nobody knows what became of it. */
const GIVE_UP = 3000
const LONGEST_PAUSE = 60
/** Used at a time, and how often each: so that what must be explained together stays short. */
const KEYS = 3
const OPERATIONS_PER_KEY = 40
/** Within this everybody is done, once all is mended. */
const LAST_ORDERS = 60_000
/** Of the model, for a whole history; hundreds of times what is needed. */
const MOST_STEPS = 3_000_000

interface Operation {
  readonly f: F
  readonly key: string
  readonly value: Value
}
const wordsOf = ({ f, key, value }: Operation): readonly string[] => {
  switch (f) {
    case "read":
      return ["GET", key]
    case "write":
      return ["SET", key, String(value)]
    case "append":
      return ["APPEND", key, String(value)]
    case "delete":
      return ["DEL", key]
    case "incr":
      return ["INCRBY", key, String(value)]
    case "cas": {
      const [from = null, to = null] = Array.isArray(value) ? (value as readonly Value[]) : []
      return from === null ? ["SET", key, String(to), "NX"] : ["CAS", key, String(from), String(to)]
    }
  }
}
/** What a reply says about an operation: its outcome, or that its condition did not hold. */
const outcomeOf = ({ f, value }: Operation, reply: Reply): { readonly value: Value } | "refused" => {
  switch (f) {
    case "read":
      return { value: textOf(reply) }
    case "incr":
      return { value: Number(textOf(reply)) }
    case "delete":
      return { value: textOf(reply) === "1" }
    case "cas":
      return reply.type === "null" || textOf(reply) === "0" ? "refused" : { value }
    case "write":
    case "append":
      return { value }
  }
}

class Load implements Companions {
  private readonly service = new KvService()
  readonly hooks = this.service.hooks()
  private readonly tasks = new Tasks()
  private readonly options: KvLoad
  private there: World | null = null
  private history: Recorder
  private clients = 0
  private living = 0
  private over = false
  private used = 0
  constructor(options: KvLoad) {
    this.options = options
    this.history = makeHistory({ now: () => this.world.now })
  }
  private get world(): World {
    if (this.there === null) throw new Error("nobody has joined a world yet")
    return this.there
  }
  command(id: number): Uint8Array {
    return encodeCommand({ type: "OpenSession", owner: `${NODE_OWNER}progress`, secret: simulatedSecret(`progress ${id}`) })
  }

  join(world: World): void {
    this.there = world
    this.service.attach(world)
    for (let i = 0; i < this.options.clients; i++) {
      this.living += 1
      this.tasks.add(this.live(i + 1), world.now)
    }
  }
  run(ms: number): void {
    goOn(this.world, this.tasks, this.world.now + ms)
  }
  finish(mended: boolean): void {
    this.over = true
    if (mended) {
      this.within("clients did not come to an end", () => this.living === 0)
      let read = false
      const last = this.client()
      const ask = this.ask.bind(this)
      const keys = new Set(this.history.events.map(({ key }) => key ?? ""))
      const readAll = function* (): Work<void> {
        for (const key of keys) yield* ask(last, 0, { f: "read", key, value: null })
        read = true
      }
      this.tasks.add(readAll(), this.world.now)
      this.within("keys could not be read", () => read)
    }
    this.options.recorded?.(this.history)
    const verdict = checkHistory(operationsOf(this.history.events), kv, { limitMs: Number.POSITIVE_INFINITY, limitSteps: MOST_STEPS })
    if (verdict.verdict === "not") throw new PropertyViolated("Linearizability", explainInWords(verdict.explanation, kv).join("\n"))
  }
  private within(what: string, done: () => boolean): void {
    goOn(this.world, this.tasks, this.world.now + LAST_ORDERS, done)
    if (!done()) throw new PropertyViolated("Liveness", `${what} within ${LAST_ORDERS} ms, though everything is mended`)
  }

  private client(): KvClient {
    const { world, service } = this
    // What it asks of a server and what it is told is lost now and then.
    const network = (): ClientNetwork => ({ hop: 2, lossPermille: this.over ? 0 : 50, patience: 400 })
    return new KvClient({ name: `c${++this.clients}`, service, world, servers: () => world.names, network, giveUp: GIVE_UP })
  }
  private *live(process: number): Work<void> {
    const random = makeRandom(this.world.data.seed ^ Math.imul(process, 0x9e3779b1))
    const client = this.client()
    let seen: string | null = null
    for (let n = 0; !this.over; n++) {
      const told: Value | undefined = yield* this.ask(client, process, this.choose(random, `${process}.${n} `, seen))
      if (typeof told === "string") seen = told
      yield random.below(LONGEST_PAUSE)
    }
    this.living -= 1
  }
  private choose(random: Random, token: string, seen: string | null): Operation {
    const generation = Math.floor(this.used++ / (KEYS * OPERATIONS_PER_KEY))
    const key = `${generation}.${random.below(KEYS)}`
    const dice = random.below(100)
    if (dice < 40) return { f: "read", key, value: null }
    if (dice < 65) return { f: "append", key, value: token }
    if (dice < 78) return { f: "write", key, value: token }
    if (dice < 88) return { f: "cas", key, value: [random.chance(200) ? null : seen, token] }
    return dice < 93 ? { f: "delete", key, value: null } : { f: "incr", key: `${generation}.n`, value: 1 + random.below(3) }
  }
  private *ask(client: KvClient, process: number, operation: Operation): Work<Value | undefined> {
    const { f, key, value } = operation
    const open = this.history.invoke({ process, f, key, value })
    const words = wordsOf(operation)
    const reply = yield* f === "read" ? client.read(...words) : client.write(...words)
    const outcome = reply === null ? null : outcomeOf(operation, reply)
    if (outcome === null) open.info("given up")
    else if (outcome === "refused") open.fail("precondition")
    else {
      open.ok(outcome.value)
      return outcome.value
    }
    return undefined
  }
}

/** For checkScript: the key-value service in that world, and this many clients of it. */
export const kvLoad = (options: KvLoad) => (): Companions => new Load(options)
