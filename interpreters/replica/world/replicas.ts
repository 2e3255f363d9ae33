/**
 * Replicas in a simulated world. Every server that is up runs the real service of a replica (sessions, retries, read
 * barriers) until it stops. Whoever runs the world must run `serve` along with it.
 */
import type { StoryWork, World, WorldHooks, WorldStep } from "../../simulation/index.ts"
import { mix } from "../../simulation/index.ts"
import type { ExecutionReport } from "../machine/execution.ts"
import { makeReplicaService, type ServiceAnswer, type ReplicaService } from "../service.ts"
import type { ReplicaSettings } from "../session/parts.ts"
import { WorldDriver } from "./driver.ts"
import { Loop, type LoopProcess } from "./loop.ts"
import { numbered, ReplicaWorldMachine, type EntryExecuted } from "./machine.ts"

interface Announced {
  readonly index: number
  readonly told: readonly ExecutionReport[]
}

/** One server, from a start to its end. */
export class ReplicaBoot implements LoopProcess {
  private readonly world: World
  private readonly face: WorldDriver
  private readonly service: ReplicaService
  private listener: (told: readonly ExecutionReport[] | null) => void = () => {}
  /** Entries that were executed and not yet reported. */
  private waiting: Announced[] = []
  private over = false

  constructor(world: World, loop: Loop, name: string, settings: Partial<ReplicaSettings>) {
    this.world = world
    const node = world.node(name)
    this.face = new WorldDriver(world, name)
    this.service = makeReplicaService({
      driver: this.face.driver,
      machine: { listen: (to) => void (this.listener = to), executor: () => this.machine.executor },
      owner: `${name}:${node.member.incarnation}`,
      settings,
      surroundings: loop.surroundings(this, mix(mix(world.data.seed, node.state.slot), node.boot)),
      compareEvery: null,
      voters: () => world.names.length,
      failed: (error) => {
        throw error
      },
    })
  }
  private get machine(): ReplicaWorldMachine<unknown, unknown, unknown> {
    const { machine } = this.world.node(this.face.name)
    if (machine instanceof ReplicaWorldMachine) return machine as ReplicaWorldMachine<unknown, unknown, unknown>
    throw new Error(`${this.face.name} runs another state machine`)
  }
  ended(): boolean {
    return this.over
  }
  asleep(): boolean {
    return this.world.node(this.face.name).paused
  }
  end(): void {
    this.over = true
  }
  get woken(): boolean {
    return this.face.woken && !this.asleep()
  }
  turn(): void {
    this.face.turn()
  }

  /** Executes command `id`, encoded by the machine's codec. */
  execute(id: number, bytes: Uint8Array, done: (answer: ServiceAnswer) => void): void {
    this.service.execute({ type: "command", bytes: numbered(id, bytes) }, done)
  }
  /**
   * `done` gets null once the state here holds everything that was acknowledged before the call, and the index that it
   * has reached.
   */
  read(done: (refusal: ServiceAnswer | null, position: number) => void): void {
    this.service.barrier((refusal) => done(refusal, this.machine.position().index))
  }

  responded(...answer: Parameters<WorldDriver["responded"]>): void {
    this.face.responded(...answer)
  }
  executed(index: number, told: readonly ExecutionReport[]): void {
    this.waiting.push({ index, told })
  }
  restored(): void {
    this.announce(Number.POSITIVE_INFINITY)
    this.listener(null)
  }
  private announce(through: number): void {
    while (this.waiting.length > 0 && (this.waiting[0]?.index ?? 0) <= through)
      this.listener(this.waiting.shift()?.told ?? [])
  }
  stepped(step: WorldStep): void {
    this.face.stepped(step, (through) => this.announce(through))
  }
}

export class WorldReplicas {
  readonly loop = new Loop(() => this.world.now)
  private readonly settings: Partial<ReplicaSettings>
  private readonly boots = new Map<string, ReplicaBoot>()
  private there: World | null = null
  private readonly isWanted = (): boolean =>
    this.loop.busy || Array.from(this.boots.values()).some(({ woken }) => woken)

  constructor(settings: Partial<ReplicaSettings> = {}) {
    this.settings = settings
  }
  /** Hooks for the world in which these replicas run. */
  readonly hooks: Required<Pick<WorldHooks, "started" | "stopped" | "applied" | "restored" | "responded" | "observe">> =
    {
      // At the creation of a world its servers start before this object is attached to it.
      started: (node) => {
        if (this.there !== null) this.begin(node)
      },
      stopped: (node) => this.end(node),
      applied: (node, entries, results) => {
        const told = (results as readonly EntryExecuted<unknown, unknown, unknown>[]).flatMap((result) =>
          result.told === null ? [] : [result.told],
        )
        this.boots.get(node)?.executed(entries.at(-1)?.index ?? 0, told)
      },
      restored: (node) => this.boots.get(node)?.restored(),
      responded: (node, ref, outcome) => this.boots.get(node)?.responded(ref, outcome),
      observe: (step) => this.boots.get(step.node)?.stepped(step),
    }
  attach(world: World): void {
    this.there = world
    for (const name of world.names) if (world.state(name) !== undefined) this.begin(name)
  }
  get world(): World {
    if (this.there === null) throw new Error("the replicas are attached to no world")
    return this.there
  }
  /** The running server of that name; null: it is down. */
  find(name: string): ReplicaBoot | null {
    return this.boots.get(name) ?? null
  }
  private begin(name: string): void {
    this.end(name)
    this.boots.set(name, new ReplicaBoot(this.world, this.loop, name, this.settings))
  }
  private end(name: string): void {
    this.boots.get(name)?.end()
    this.boots.delete(name)
  }
  /** Runs for as long as the world does. */
  *serve(): StoryWork<never> {
    for (;;) {
      // Run everything that can run before time advances.
      do {
        this.loop.run()
        for (const boot of this.boots.values()) if (boot.woken) boot.turn()
      } while (this.isWanted())
      yield { until: this.isWanted, limit: this.loop.next - this.world.now }
    }
  }
}
