/**
 * Clients of a user's machine in a world: each executes commands and reads at random servers, one after another, over
 * the sessions that `replicate` uses. Every answer must be the result of exactly one execution; and a command or a read
 * that begins after another one was answered must come after it in the log. Because all commands have one order, that
 * is linearizability.
 */
import { WorldReplicas, type EntryExecuted } from "../../interpreters/replica/world/index.ts"
import {
  runTasks,
  makeRandom,
  Tasks,
  type Random,
  type StoryWork,
  type World,
} from "../../interpreters/simulation/index.ts"
import { PropertyViolated, type WorldClients } from "../scripts/index.ts"

export interface MachineClients {
  readonly clients: number
  /** The bytes of any command, in the machine's codec. */
  readonly command: (random: Random) => Uint8Array
}

/** Higher than all command ids that scripts use. */
const FIRST_ID = 2 ** 32
/** A server that stays up answers everything within this time. */
const PATIENCE = 15_000
const LAST_ORDERS = 60_000
const SETTLED = 5000
const sameBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, i) => byte === other[i])

class Clients implements WorldClients {
  readonly hooks: WorldClients["hooks"]
  private readonly replicas: WorldReplicas
  private readonly tasks = new Tasks()
  private readonly options: MachineClients
  /** The entry in which each command was executed, and its result. */
  private readonly executed = new Map<number, { readonly index: number; readonly bytes: Uint8Array | null }>()
  /** Commands of which a client was told that they will never be executed. */
  private readonly refused = new Set<number>()
  /** The highest log index that any client was told. */
  private told = 0
  private sent = FIRST_ID
  private living = 0
  private over = false
  /** Requests without an answer; each function returns whether it has been answered by now, or its server has ended. */
  private readonly open = new Set<() => boolean>()

  constructor(options: MachineClients, seed: number) {
    this.options = options
    const random = makeRandom(seed ^ 0x7f4a7c15)
    // Now and then a server gives up before what it has proposed is executed.
    this.replicas = new WorldReplicas({
      writeTimeout: random.pick([500, 3000, 10_000]) ?? 10_000,
      readTimeout: random.pick([500, 5000]) ?? 5000,
      stallMs: random.pick([200, 1000]) ?? 1000,
    })
    const { hooks } = this.replicas
    this.hooks = {
      ...hooks,
      applied: (node, entries, results) => {
        for (const result of results as readonly EntryExecuted<unknown, unknown, unknown>[])
          if (result.executed !== null) this.note(result.executed)
        hooks.applied(node, entries, results)
      },
    }
  }
  private note({
    id,
    entry: { index },
    outcome,
  }: NonNullable<EntryExecuted<unknown, unknown, unknown>["executed"]>): void {
    if (id < FIRST_ID) return
    const known = this.executed.get(id)
    if (known !== undefined && known.index !== index)
      throw new PropertyViolated(
        "ExactlyOnce",
        `command ${id - FIRST_ID} is executed as entry ${known.index}, and again as entry ${index}`,
      )
    if (this.refused.has(id))
      throw new PropertyViolated(
        "ExactlyOnce",
        `command ${id - FIRST_ID} is executed as entry ${index}, although its client was told that it never would be`,
      )
    this.executed.set(id, { index, bytes: outcome.type === "result" ? outcome.bytes : null })
  }
  private get world(): World {
    return this.replicas.world
  }
  command(): Uint8Array {
    // This is no client's command: it is executed and changes nothing.
    return new Uint8Array(1)
  }
  join(world: World): void {
    this.replicas.attach(world)
    this.tasks.add(this.replicas.serve(), world.now)
    for (let i = 0; i < this.options.clients; i++) {
      this.living += 1
      this.tasks.add(this.live(makeRandom(world.data.seed ^ Math.imul(i + 1, 0x9e3779b1))), world.now)
    }
  }
  run(ms: number): void {
    runTasks(this.world, this.tasks, this.world.now + ms)
  }
  finish(mended: boolean): void {
    this.over = true
    if (!mended) return
    runTasks(this.world, this.tasks, this.world.now + LAST_ORDERS, () => this.settled())
    // Servers that started late may still have to open their sessions.
    this.run(SETTLED)
    if (!this.settled())
      throw new PropertyViolated(
        "Liveness",
        `${this.living} clients are not finished, and ${this.open.size} requests have no answer within ${LAST_ORDERS} ms, although everything is repaired`,
      )
  }
  private settled(): boolean {
    for (const isOver of this.open) if (isOver()) this.open.delete(isOver)
    return this.living === 0 && this.open.size === 0
  }
  /** After a while a client continues without its answer; at the end it is checked that the answer came anyway. */
  private *answer(isOver: () => boolean): StoryWork<void> {
    this.open.add(isOver)
    yield { until: isOver, limit: PATIENCE }
    if (isOver()) this.open.delete(isOver)
  }

  private *live(random: Random): StoryWork<void> {
    while (!this.over) {
      yield random.below(300)
      const server = random.pick(this.world.names) ?? ""
      if (random.chance(700)) yield* this.execute(server, this.options.command(random))
      else yield* this.read(server)
    }
    this.living -= 1
  }
  private *execute(server: string, bytes: Uint8Array): StoryWork<void> {
    const boot = this.replicas.find(server)
    if (boot === null) return
    const id = ++this.sent
    const since = this.told
    let answered = false
    boot.execute(id, bytes, (answer) => {
      answered = true
      if (answer.type === "failed") {
        if (answer.error.name !== "NotExecuted") return
        if (this.executed.has(id))
          throw new PropertyViolated(
            "ExactlyOnce",
            `command ${id - FIRST_ID} was executed, but its client is told that it was not`,
          )
        this.refused.add(id)
        return
      }
      const found = this.executed.get(id)
      if (found === undefined)
        throw new PropertyViolated(
          "ExactlyOnce",
          `command ${id - FIRST_ID} has a result, but no server has executed it`,
        )
      if (answer.type === "result" && (found.bytes === null || !sameBytes(answer.bytes, found.bytes)))
        throw new PropertyViolated(
          "ExactlyOnce",
          `command ${id - FIRST_ID} was executed as entry ${found.index}, but its client gets another result`,
        )
      if (found.index <= since)
        throw new PropertyViolated(
          "Linearizability",
          `command ${id - FIRST_ID} is entry ${found.index}, although entry ${since} had been answered before it was sent`,
        )
      this.told = Math.max(this.told, found.index)
    })
    yield* this.answer(() => answered || boot.ended())
  }
  private *read(server: string): StoryWork<void> {
    const boot = this.replicas.find(server)
    if (boot === null) return
    const since = this.told
    let answered = false
    boot.read((refusal, position) => {
      answered = true
      if (refusal !== null) return
      if (position < since)
        throw new PropertyViolated(
          "Linearizability",
          `a read at ${server} sees the state through entry ${position}, although entry ${since} had been answered before it was asked for`,
        )
    })
    yield* this.answer(() => answered || boot.ended())
  }
}

/** Used as `companions` in the checks of a script. */
export const machineClients =
  (options: MachineClients) =>
  (seed: number): WorldClients =>
    new Clients(options, seed)
