/**
 * One start of a node in a simulated world: the real service over a driver whose turns are run by the world. The node's
 * events in the world (entries executed, answers, another leader) are passed on as the real driver and state machine
 * would.
 */
import type { Outcome } from "../../../core/index.ts"
import { committedLevel, HIGHEST_LEVEL } from "../../../interpreters/features.ts"
import { WorldDriver, type Loop, type LoopProcess } from "../../../interpreters/replica/world/index.ts"
import { mix, type World, type WorldStep } from "../../../interpreters/simulation/index.ts"
import { NODE_OWNER } from "../../machine/index.ts"
import { notifyListener, type MachineOutcome } from "../../machine/executor.ts"
import { makeService, type RunningService, type ServiceMachine, type ServiceSettings } from "../../service/index.ts"
import type { CommandListener, NodeStatus } from "../../types.ts"
import { SimulatedListener } from "./listener.ts"
import { endpointOf, PORT } from "../endpoint.ts"
import { KvWorldMachine } from "./machine.ts"

export interface BootOptions {
  readonly world: World
  readonly loop: Loop
  readonly name: string
  readonly settings: Partial<ServiceSettings>
  /** Followers answer MOVED instead of forwarding. */
  readonly redirect: boolean
}

interface ExecutedBatch {
  readonly index: number
  readonly outcomes: readonly MachineOutcome[]
}

export class Boot implements LoopProcess {
  readonly name: string
  readonly service: RunningService
  readonly door: SimulatedListener
  private readonly face: WorldDriver
  private readonly world: World
  private readonly number: number
  private over = false
  private listener: CommandListener | null = null
  /** Batches that were executed and not yet reported to the service. */
  private told: ExecutedBatch[] = []

  constructor({ world, loop, name, settings, redirect }: BootOptions) {
    this.world = world
    this.name = name
    this.face = new WorldDriver(world, name)
    const node = world.node(name)
    this.number = node.boot
    const { name: self, incarnation } = node.member
    const surroundings = loop.surroundings(this, mix(mix(world.data.seed, node.state.slot), this.number))
    this.service = makeService({
      driver: this.face.driver,
      machine: this.machine(),
      owner: `${NODE_OWNER}${self}:${incarnation}`,
      settings,
      status: () => this.status(),
      leader: () => {
        const { leader } = this.face.leadership
        return leader === null ? null : { id: leader.name, ...endpointOf(leader.name) }
      },
      surroundings,
    })
    this.door = new SimulatedListener({ loop, process: this, service: this.service, redirect, self: name })
  }

  /** True if a turn was requested. */
  get woken(): boolean {
    return this.face.woken
  }
  ended(): boolean {
    return this.over
  }
  asleep(): boolean {
    return this.world.node(this.name).paused
  }
  end(): void {
    this.over = true
    this.door.end()
  }

  // ------------------------------------------------------------------------------------- the service's view

  private get memory(): KvWorldMachine["memory"] {
    const { machine } = this.world.node(this.name)
    if (machine instanceof KvWorldMachine) return machine.memory
    throw new Error(`${this.name} runs another state machine`)
  }
  /** The machine calls this before it executes an entry; results are reported once the core knows of them. */
  private watch(): void {
    const nothing = (): void => {}
    this.memory.listen({
      executing: (command) => this.listener?.executing?.(command),
      replied: nothing,
      opened: nothing,
      closed: nothing,
      restored: nothing,
    })
  }
  private machine(): ServiceMachine {
    return {
      listen: (listener) => {
        this.listener = listener
        this.watch()
      },
      replyOf: (...place) => this.memory.replyOf(...place),
      earliestDeadline: () => this.memory.earliestDeadline(),
      read: (call) => this.memory.read(call),
      keyspace: () => this.memory.keyspace(),
      version: (key) => this.memory.version(key),
      now: () => this.memory.now(),
    }
  }
  private status(): NodeStatus {
    const { world, name } = this
    const state = this.face.state()
    const peers = world.names.filter((other) => other !== name)
    return {
      id: name,
      incarnation: state.self.incarnation,
      cluster: null,
      pid: 1,
      version: "simulated",
      features: { level: committedLevel(state), highest: HIGHEST_LEVEL, heldBy: null },
      role: state.role.type,
      term: state.currentTerm,
      leader: this.face.leadership.leader?.name ?? null,
      lastIndex: state.log.lastIndex,
      commitIndex: state.commitIndex,
      applied: state.applied,
      snapshotIndex: state.snapshotIndex,
      logBytes: state.log.bytes,
      client: `${name}:${PORT}`,
      peer: name,
      http: null,
      health: "ok",
      loading: false,
      uptimeMs: world.now,
      lastContactMs: null,
      clockOffsetMs: null,
      details: null,
      peers: peers.map((id) => ({
        id,
        peer: id,
        client: `${id}:${PORT}`,
        connected: true,
        matchIndex: null,
        lag: null,
        lastContactMs: null,
        clockOffsetMs: null,
        version: "simulated",
        highestLevel: HIGHEST_LEVEL,
        problem: null,
      })),
      counters: {},
    }
  }

  // --------------------------------------------------------------------------------------- the world's view

  turn(): void {
    this.face.turn()
  }
  responded(ref: number, outcome: Outcome): void {
    this.face.responded(ref, outcome)
  }
  /** Entries were executed; waiting callers are answered once the core knows. */
  executed(index: number, outcomes: readonly MachineOutcome[]): void {
    this.told.push({ index, outcomes })
  }
  restored(): void {
    this.watch()
    this.announceThrough(Number.POSITIVE_INFINITY)
    this.listener?.restored()
  }
  private announceThrough(index: number): void {
    while (this.told.length > 0) {
      const next = this.told[0]
      if (next === undefined || next.index > index) return
      this.told.shift()
      notifyListener(this.listener, next.outcomes)
    }
  }
  stepped(step: WorldStep): void {
    this.face.stepped(step, (index) => this.announceThrough(index))
  }
}
