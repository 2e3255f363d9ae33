/**
 * The key-value service of a simulated world. Every running node has the real service and the connections of the real
 * server, until the node stops. The code that runs the world must run `serve` along with it. Requests of the services
 * become actions of the world, so that a recorded script replays without the services.
 */
import type { StoryWork, World, WorldHooks } from "../../../interpreters/simulation/index.ts"
import { DEFAULT_IDLE } from "../../machine/index.ts"
import type { ServiceSettings } from "../../service/index.ts"
import { Boot } from "./boot.ts"
import { Loop } from "../../../interpreters/replica/world/index.ts"
import { KvWorldMachine, kvWorldMachine, type KvResult, type KvWitness } from "./machine.ts"

export interface KvServicesOptions {
  readonly settings?: Partial<ServiceSettings>
  readonly redirect?: boolean
  /** How long idle sessions last, on the replicated clock. */
  readonly idle?: number
  readonly witness?: KvWitness
}

export class KvServices {
  readonly loop = new Loop(() => this.world.now)
  private readonly options: KvServicesOptions
  private readonly boots = new Map<string, Boot>()
  private there: World | null = null

  constructor(options: KvServicesOptions = {}) {
    this.options = options
  }

  /** The hooks of the served world; they also call those in `then`. */
  hooks(then: WorldHooks = {}): WorldHooks {
    const { idle = DEFAULT_IDLE, witness = null } = this.options
    return {
      ...then,
      machine: kvWorldMachine(idle, witness),
      started: (node, recovered, wentBack) => {
        then.started?.(node, recovered, wentBack)
        // When the world is created, its nodes start before this object is attached to it.
        if (this.there !== null) this.begin(node)
      },
      stopped: (node, why) => {
        this.end(node)
        then.stopped?.(node, why)
      },
      applied: (node, entries, results) => {
        const last = entries.at(-1)
        const outcomes = (results as readonly KvResult[]).flatMap((result) => (result === null ? [] : [result]))
        if (last !== undefined) this.boots.get(node)?.executed(last.index, outcomes)
        then.applied?.(node, entries, results)
      },
      restored: (node, base) => {
        this.boots.get(node)?.restored()
        then.restored?.(node, base)
      },
      responded: (node, ref, outcome) => {
        this.boots.get(node)?.responded(ref, outcome)
        then.responded?.(node, ref, outcome)
      },
      observe: (step) => {
        then.observe?.(step)
        this.boots.get(step.node)?.stepped(step)
      },
    }
  }
  attach(world: World): void {
    this.there = world
    for (const name of world.names) if (world.state(name) !== undefined) this.begin(name)
  }
  get world(): World {
    if (this.there === null) throw new Error("the services are attached to no world")
    return this.there
  }
  /** The running node, or null while it is down. */
  find(name: string): Boot | null {
    return this.boots.get(name) ?? null
  }
  machine(node: string): KvWorldMachine {
    const { machine } = this.world.node(node)
    if (machine instanceof KvWorldMachine) return machine
    throw new Error(`${node} runs another state machine`)
  }

  private begin(name: string): void {
    this.end(name)
    const { settings = {}, redirect = false } = this.options
    this.boots.set(name, new Boot({ world: this.world, loop: this.loop, name, settings, redirect }))
  }
  private end(name: string): void {
    this.boots.get(name)?.end()
    this.boots.delete(name)
  }

  private wanted(): boolean {
    if (this.loop.busy) return true
    for (const boot of this.boots.values()) if (boot.woken && !boot.asleep()) return true
    return false
  }
  private readonly isWanted = (): boolean => this.wanted()
  /** Runs everything that can run before time advances. */
  private settle(): void {
    do {
      this.loop.run()
      for (const boot of this.boots.values()) if (boot.woken && !boot.asleep()) boot.turn()
    } while (this.wanted())
  }
  /** Runs for as long as the world does. */
  *serve(): StoryWork<never> {
    for (;;) {
      this.settle()
      yield { until: this.isWanted, limit: this.loop.next - this.world.now }
    }
  }
}
