/** Clients in a random world of the real service. At the end all answers that they received must be consistent. */
import { configurationOf, membersOf, sameMember } from "../../core/index.ts"
import {
  runTasks,
  makeRandom,
  Tasks,
  type Random,
  type StoryWork,
  type World,
  type WorldHooks,
} from "../../interpreters/simulation/index.ts"
import {
  checkHistory,
  explainInWords,
  kv,
  makeHistory,
  operationsOf,
  PropertyViolated,
  type WorldClients,
  type OpenOperation,
  type Recorder,
  type Value,
} from "../../spec/index.ts"
import type { ClientTask } from "../client/operation.ts"
import type { ServiceSettings } from "../service/index.ts"
import { Audit, STRANGER, tokenOf } from "./audit.ts"
import { KvClient, PlainClient, type PlainReply } from "./clients.ts"
import type { ClientNetwork } from "./link.ts"
import { loadCommand } from "./probe.ts"
import { endOf, engineEnd, KvAnswerWrong, plainEnd, wordsOf, type End, type WorkloadOperation } from "./operation.ts"
import { NumberedClient } from "./numbered.ts"
import { checkNothingBehind, CountedKey } from "./program.ts"
import { KvServices } from "./servers/services.ts"

export interface KvLoad {
  readonly clients: number
  /** The history, once the world is over. */
  readonly recorded?: (history: Recorder) => void
}

/** Keys in use at a time, and operations for each: so that the history of one key stays short. */
const KEYS = 5
const OPERATIONS_PER_KEY = 20
/** The time within which all clients finish, once all faults are healed. */
const LAST_ORDERS = 60_000
/** Steps of the model for a whole history: hundreds of times what is needed. */
const MOST_STEPS = 3_000_000
const LONGEST_PAUSE = 60
/** A plain client closes a connection that is silent for this long. */
const PATIENCE = 2500

interface Habits {
  readonly service: Partial<ServiceSettings>
  /** How long idle sessions last: usually long enough, but often so short that they expire in use. */
  readonly idle: number
  readonly redirect: boolean
  readonly network: ClientNetwork
}
const habitsOf = (random: Random): Habits => {
  const pick = (...choices: readonly number[]): number => random.pick(choices) ?? 0
  return {
    service: {
      writeTimeout: pick(800, 3000, 10_000),
      readTimeout: pick(500, 2000, 5000),
      stallMs: pick(300, 1000),
      backoffMs: [20, pick(100, 1000)],
    },
    idle: pick(3_600_000, 3_600_000, 5000, 1500),
    redirect: random.chance(300),
    network: {
      hopMin: 1,
      hopMax: pick(1, 5, 30),
      slowPermille: pick(0, 20, 100),
      slowMax: pick(50, 400, 1500),
      breakPermille: pick(0, 10, 50, 100),
    },
  }
}
const quiet: ClientNetwork = { hopMin: 1, hopMax: 3, slowPermille: 0, slowMax: 0, breakPermille: 0 }

class Load implements WorldClients {
  readonly hooks: WorldHooks
  private readonly services: KvServices
  private readonly audit = new Audit()
  private readonly habits: Habits
  private readonly tasks = new Tasks()
  private readonly options: KvLoad
  private there: World | null = null
  private readonly history: Recorder
  private living = 0
  private over = false
  private used = 0
  /** The number of clients made so far, and of processes in the history: a process has at most one open operation. */
  private made = 0
  private places = 0

  constructor(options: KvLoad, seed: number) {
    this.options = options
    this.habits = habitsOf(makeRandom(seed ^ 0x7f4a7c15))
    const { service: settings, idle, redirect } = this.habits
    this.services = new KvServices({ settings, idle, redirect, witness: this.audit.witness })
    this.hooks = this.services.hooks()
    this.history = makeHistory({ now: () => this.world.now })
  }
  private get world(): World {
    if (this.there === null) throw new Error("no world has been joined yet")
    return this.there
  }
  command(id: number): Uint8Array {
    return loadCommand(id)
  }

  join(world: World): void {
    this.there = world
    this.services.attach(world)
    this.tasks.add(this.services.serve(), world.now)
    for (let i = 0; i < this.options.clients; i++) {
      const random = makeRandom(world.data.seed ^ Math.imul(i + 1, 0x9e3779b1))
      const dice = random.below(10)
      if (dice < 6) this.engine(random)
      else if (dice < 8) this.plain(random)
      else this.byHand(random)
    }
    if (this.options.clients <= 1) return
    this.stranger(makeRandom(world.data.seed ^ 0x51ed270b))
    this.counting(makeRandom(world.data.seed ^ 0x2545f491))
  }
  run(ms: number): void {
    runTasks(this.world, this.tasks, this.world.now + ms)
  }
  finish(mended: boolean): void {
    this.over = true
    if (mended) {
      this.within("clients did not finish", () => this.living === 0)
      this.askEverybody()
      this.readAll()
    }
    this.options.recorded?.(this.history)
    const verdict = checkHistory(operationsOf(this.history.events), kv, {
      limitMs: Number.POSITIVE_INFINITY,
      limitSteps: MOST_STEPS,
    })
    if (verdict.verdict === "not")
      throw new PropertyViolated("Linearizability", explainInWords(verdict.explanation, kv).join("\n"))
  }
  private within(what: string, done: () => boolean): void {
    runTasks(this.world, this.tasks, this.world.now + LAST_ORDERS, done)
    if (!done())
      throw new PropertyViolated("Liveness", `${what} within ${LAST_ORDERS} ms, although all faults are healed`)
  }
  private readonly network = (): ClientNetwork => (this.over ? quiet : this.habits.network)
  private readonly anybody = (): readonly string[] => this.world.names

  // ----------------------------------------------------------------------------------- once faults are healed

  /** Checks that every member executes a write and answers a read, whichever node leads. */
  private askEverybody(): void {
    const { world } = this
    const leader = world.leader()?.runner?.state
    if (leader === undefined) return
    const members = membersOf(configurationOf(leader)).filter((member) =>
      sameMember(member, world.node(member.name).member),
    )
    for (const { name } of members) {
      // If commands are not forwarded, only the leader executes any.
      if (!world.settings.forwardProposals && name !== leader.self.name) continue
      let served = false
      this.tasks.add(
        this.serves(name, () => (served = true)),
        world.now,
      )
      this.within(`${name} does not take a write and answer a read`, () => served)
    }
  }
  private *serves(name: string, served: () => void): StoryWork<void> {
    const client = this.plainClient(() => [name])
    const key = `served.${name}`
    for (;;) {
      yield* client.connected()
      const [wrote, read] = yield* client.send(
        [
          ["SET", key, name],
          ["GET", key],
        ],
        PATIENCE,
      )
      if (
        wrote !== undefined &&
        wrote !== "lost" &&
        wrote.type === "simple" &&
        read !== undefined &&
        read !== "lost" &&
        read.type === "bulk"
      )
        break
      // With redirects a follower executes nothing, and says so.
      if (wrote !== undefined && wrote !== "lost" && wrote.type === "error" && wrote.code === "MOVED") break
      yield 20
    }
    client.hangUp()
    served()
  }
  /** Reads every key once more at the end: this shows whether operations of unknown outcome took effect. */
  private readAll(): void {
    let read = false
    const last = this.engineClient("last", { timeoutMs: LAST_ORDERS })
    const place = ++this.places
    const keys = new Set(this.history.events.map(({ key }) => key ?? ""))
    const ask = this.ask.bind(this)
    const all = function* (): StoryWork<void> {
      for (const key of keys) yield* ask(last, place, { f: "read", key, value: null }, false)
      read = true
    }
    this.tasks.add(all(), this.world.now)
    this.within("keys could not be read", () => read)
  }

  // ------------------------------------------------------------------------------------------------ clients

  private engineClient(name: string, settings: ConstructorParameters<typeof KvClient>[1]): KvClient {
    return new KvClient({ name, services: this.services, servers: this.anybody, network: this.network }, settings)
  }
  private plainClient(servers: () => readonly string[] = this.anybody): PlainClient {
    return new PlainClient({ name: `plain${++this.made}`, services: this.services, servers, network: this.network })
  }

  /**
   * Runs the engine with several operations in progress, in lanes that are each one after the other. Now and then it
   * ends its session and begins another.
   */
  private engine(random: Random): void {
    const { services } = this
    const lanes = 1 + random.below(4)
    const settings = {
      route: random.chance(700) ? ("leader" as const) : ("any" as const),
      window: random.pick([1, 2, 16]) ?? 2,
      timeoutMs: random.pick([700, 3000, 8000]) ?? 3000,
      stallTimeoutMs: random.pick([300, 1000]) ?? 1000,
    }
    const start = (): { client: KvClient; readonly stream: string; sent: number } => {
      const stream = `c${++this.made}`
      return {
        client: new KvClient({ name: stream, services, servers: this.anybody, network: this.network }, settings),
        stream,
        sent: 0,
      }
    }
    let present = start()
    for (let lane = 0; lane < lanes; lane++) {
      const place = ++this.places
      const live = function* (load: Load): StoryWork<void> {
        let seen: string | null = null
        while (!load.over) {
          const { client, stream } = present
          const told: Value | undefined = yield* load.ask(
            client,
            place,
            load.choose(random, tokenOf(stream, ++present.sent), seen),
            random.chance(100),
          )
          if (typeof told === "string") seen = told
          yield load.pause(random)
          if (lane === 0 && random.chance(15)) {
            present.client.leave()
            present = start()
          }
        }
        load.living -= 1
      }
      this.living += 1
      this.tasks.add(live(this), this.world.now)
    }
  }
  /** Sends several commands at a time, now and then many, and never sends one again. */
  private plain(random: Random): void {
    const places = Array.from({ length: 1 + random.below(random.chance(300) ? 10 : 3) }, () => ++this.places)
    const client = this.plainClient()
    const name = `p${this.made}`
    const live = function* (load: Load): StoryWork<void> {
      let seen: string | null = null
      let sent = 0
      while (!load.over) {
        yield* client.connected()
        const stream = `${name}x${client.connections}`
        const first = sent + 1
        const operations = places
          .slice(0, 1 + random.below(places.length))
          .map((place) => ({ place, operation: load.choose(random, tokenOf(stream, ++sent), seen) }))
        const ends = yield* load.askPlainly(client, operations, random.chance(150))
        for (const [i, end] of ends.entries()) {
          const operation = operations[i]?.operation
          if (operation !== undefined) checkNothingBehind(operation, end, stream, first + i)
          if (end.type === "ok" && typeof end.value === "string") seen = end.value
        }
        if (ends.some(({ type }) => type === "not") || random.chance(50)) client.hangUp()
        yield load.pause(random)
      }
      load.living -= 1
    }
    this.living += 1
    this.tasks.add(live(this), this.world.now)
  }
  /** Counts on a key that only it uses, with reads in between, and checks what it sees of its own commands. */
  private counting(random: Random): void {
    const client = this.plainClient()
    const live = function* (load: Load): StoryWork<void> {
      let counted = new CountedKey("own.0")
      for (let connection = 0; !load.over;) {
        yield* client.connected()
        if (client.connections !== connection) {
          connection = client.connections
          counted = new CountedKey(`own.${connection}`)
        }
        const turns = Array.from({ length: 1 + random.below(12) }, () =>
          counted.turn(random.chance(500), random.chance(100)),
        )
        const told = yield* client.send(
          turns.flatMap(({ commands }) => commands),
          PATIENCE,
        )
        let at = -1
        const known = turns.every(({ counts, commands }) =>
          counted.check(counts, told[(at += commands.length)] ?? "lost"),
        )
        if (!known || random.chance(30)) client.hangUp()
        yield load.pause(random)
      }
      load.living -= 1
    }
    this.living += 1
    this.tasks.add(live(this), this.world.now)
  }
  /** Keeps a session of its own with several writes in progress, and moves from node to node. */
  private byHand(random: Random): void {
    const places = Array.from({ length: 1 + random.below(4) }, () => ++this.places)
    const client = new NumberedClient(this.plainClient(), this.world, random)
    const stream = `h${this.made}`
    const live = function* (load: Load): StoryWork<void> {
      let sent = 0
      while (!load.over) {
        const operations = places
          .slice(0, 1 + random.below(places.length))
          .map((place) => ({ place, operation: load.chooseWrite(random, tokenOf(stream, ++sent)) }))
        const open = operations.map(({ place, operation }) => load.invoke(place, operation))
        const told = yield* client.write(
          operations.map(({ operation }) => wordsOf(operation)),
          600,
          load.world.now + 5000,
        )
        for (const [i, { operation }] of operations.entries()) {
          const opened = open[i]
          const end: End = told === null ? { type: "not", why: "no session" } : plainEnd(operation, told[i] ?? "lost")
          if (opened !== undefined) load.settle(opened, end, operation)
        }
        yield load.pause(random)
      }
      load.living -= 1
    }
    this.living += 1
    this.tasks.add(live(this), this.world.now)
  }
  /**
   * Sends writes and closings in sessions of other clients: session numbers are log indexes, so only their secrets have
   * to be guessed.
   */
  private stranger(random: Random): void {
    const client = this.plainClient()
    const live = function* (load: Load): StoryWork<void> {
      for (let sent = 1; !load.over; sent++) {
        yield* client.connected()
        const key = `${1 + random.below(80)}-${Array.from({ length: 32 }, () => random.below(16).toString(16)).join("")}`
        const sequence = 1 + random.below(6)
        yield* client.send(
          [
            ["STEPRAFT", "DO", key, sequence, sequence, "SET", "stolen", tokenOf(STRANGER, sent)],
            ["STEPRAFT", "SESSION", "CLOSE", key],
          ],
          PATIENCE,
        )
        yield 50 + random.below(500)
      }
      load.living -= 1
    }
    this.living += 1
    this.tasks.add(live(this), this.world.now)
  }
  /** Now and then the pause is longer than a session lasts. */
  private pause(random: Random): number {
    return random.chance(20) ? random.below(Math.min(2 * this.habits.idle, 8000)) : random.below(LONGEST_PAUSE)
  }
  private generation(): number {
    return Math.floor(this.used++ / (KEYS * OPERATIONS_PER_KEY))
  }
  private chooseWrite(random: Random, value: string): WorkloadOperation {
    return { f: random.chance(700) ? "append" : "write", key: `${this.generation()}.${random.below(KEYS)}`, value }
  }
  private choose(random: Random, token: string, seen: string | null): WorkloadOperation {
    const generation = this.generation()
    const key = `${generation}.${random.below(KEYS)}`
    const dice = random.below(100)
    if (dice < 40) return { f: "read", key, value: null }
    if (dice < 68) return { f: "append", key, value: token }
    if (dice < 80) return { f: "write", key, value: token }
    if (dice < 89) return { f: "cas", key, value: [random.chance(200) ? null : seen, token] }
    return dice < 94
      ? { f: "delete", key, value: null }
      : { f: "incr", key: `${generation}.n`, value: 1 + random.below(3) }
  }
  private invoke(place: number, { f, key, value }: WorkloadOperation): OpenOperation {
    return this.history.invoke({ process: place, f, key, value })
  }
  private settle(open: OpenOperation, end: End, { f, value }: WorkloadOperation): Value | undefined {
    switch (end.type) {
      case "ok":
        if (f === "append" || f === "write") this.audit.acknowledged(String(value))
        open.ok(end.value)
        return end.value
      case "refused":
        open.fail("precondition")
        return undefined
      case "not":
        open.fail(end.why)
        return undefined
      case "unknown":
        open.info(end.why)
        return undefined
    }
  }
  private *ask(
    client: KvClient,
    place: number,
    operation: WorkloadOperation,
    together: boolean,
  ): StoryWork<Value | undefined> {
    const open = this.invoke(place, operation)
    const words = wordsOf(operation)
    const read = operation.f === "read"
    const task: ClientTask =
      together && !read
        ? { type: "transaction", calls: [words], watches: [] }
        : { type: read ? "read" : "write", args: words }
    const outcome = yield* client.do(task)
    if (task.type === "transaction" && "type" in outcome) {
      const [only] = outcome.type === "array" ? outcome.items : []
      if (only === undefined) throw new KvAnswerWrong(`EXEC of ${words.join(" ")}: ${outcome.type}`)
      return this.settle(open, endOf(operation, only), operation)
    }
    return this.settle(open, engineEnd(operation, outcome), operation)
  }
  private *askPlainly(
    client: PlainClient,
    operations: readonly { readonly place: number; readonly operation: WorkloadOperation }[],
    together: boolean,
  ): StoryWork<readonly End[]> {
    const open = operations.map(({ place, operation }) => this.invoke(place, operation))
    const words = operations.map(({ operation }) => wordsOf(operation))
    const told = yield* client.send(together ? [["MULTI"], ...words, ["EXEC"]] : words, PATIENCE)
    return operations.map(({ operation }, i) => {
      const end = together ? endUnderMulti(operation, told, i) : plainEnd(operation, told[i] ?? "lost")
      const opened = open[i]
      if (opened !== undefined) this.settle(opened, end, operation)
      return end
    })
  }
}

/** EXEC is answered last, for all commands, unless one was refused when it was queued. */
const endUnderMulti = (operation: WorkloadOperation, told: readonly PlainReply[], place: number): End => {
  const exec = told.at(-1) ?? "lost"
  if (exec === "lost" || exec.type !== "array") {
    if (exec !== "lost" && exec.type === "error" && exec.code === "EXECABORT") return { type: "not", why: exec.code }
    return plainEnd(operation, exec)
  }
  const item = exec.items[place]
  if (item === undefined) throw new KvAnswerWrong(`EXEC answers ${exec.items.length} of ${place + 1} or more`)
  return endOf(operation, item)
}

/** The key-value service in a world, with this many clients; used by checkScript. */
export const kvLoad =
  (options: KvLoad) =>
  (seed: number): WorldClients =>
    new Load(options, seed)
