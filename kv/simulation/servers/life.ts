/**
 * One life of a node of a simulated world: the real service, over a driver's face whose turns the world takes. What the
 * world tells of the node (entries executed, answers, another leader) is handed on as the real driver and state machine do.
 */
import type { Event, Outcome as CoreOutcome, State } from "../../../core/index.ts"
import { type Leadership, leadershipOf, makeAsked } from "../../../interpreters/driver/index.ts"
import { mix, type World, type WorldStep } from "../../../interpreters/simulation/index.ts"
import { NODE_OWNER } from "../../machine/index.ts"
import { announce, type Outcome } from "../../machine/replica.ts"
import { makeService, type RunningService, type ServiceDriver, type ServiceMachine, type ServiceSettings } from "../../service/index.ts"
import type { CommandListener, NodeStatus } from "../../types.ts"
import { Door } from "./door.ts"
import { endpointOf, PORT } from "../endpoint.ts"
import type { Loop, Process } from "./loop.ts"
import { KvWorldMachine } from "./machine.ts"

export interface LifeOptions {
  readonly world: World
  readonly loop: Loop
  readonly name: string
  readonly settings: Partial<ServiceSettings>
  /** Followers answer MOVED instead of forwarding. */
  readonly redirect: boolean
}

interface Told {
  readonly index: number
  readonly outcomes: readonly Outcome[]
}

export class Life implements Process {
  readonly name: string
  readonly service: RunningService
  readonly door: Door
  /** A turn is wanted. */
  woken = false
  private readonly world: World
  private readonly number: number
  private over = false
  private leadership: Leadership = { role: "follower", term: 0, leader: null }
  private listener: CommandListener | null = null
  private readonly before: (() => void)[] = []
  private readonly changed: ((now: Leadership) => void)[] = []
  private readonly applied: ((index: number) => void)[] = []
  private readonly requests = makeAsked()
  private queue: Event[] = []
  /** The service's refs, by those of the world. */
  private readonly refs = new Map<number, number>()
  /** Executed, and not yet told. */
  private told: Told[] = []

  constructor({ world, loop, name, settings, redirect }: LifeOptions) {
    this.world = world
    this.name = name
    const node = world.node(name)
    this.number = node.life
    const { name: self, incarnation } = node.member
    const surroundings = loop.surroundings(this, mix(mix(world.data.seed, node.state.slot), this.number))
    this.service = makeService({
      driver: this.driver(),
      machine: this.machine(),
      owner: `${NODE_OWNER}${self}:${incarnation}`,
      settings,
      status: () => this.status(),
      leader: () => {
        const { leader } = this.leadership
        return leader === null ? null : { id: leader.name, ...endpointOf(leader.name) }
      },
      surroundings,
    })
    this.door = new Door({ loop, process: this, service: this.service, redirect, self: name })
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

  private push(event: Event): void {
    this.queue.push(event)
    this.woken = true
  }
  private driver(): ServiceDriver & { readonly state: () => Readonly<State> } {
    const { requests } = this
    return {
      propose: (payloads, done) => {
        const event = requests.propose(payloads, done)
        if (event === null) return
        requests.seal()
        this.push(event)
        requests.unseal(event)
      },
      read: (done) => {
        requests.seal()
        this.push(requests.read(done))
      },
      wake: () => {
        this.woken = true
      },
      leadership: () => this.leadership,
      beforeTurn: (listener) => void this.before.push(listener),
      onChange: (listener) => void this.changed.push(listener),
      onApplied: (listener) => void this.applied.push(listener),
      state: () => {
        const state = this.world.state(this.name)
        if (state === undefined) throw new Error(`${this.name} is down, and its service still asks`)
        return state
      },
    }
  }
  private get memory(): KvWorldMachine["memory"] {
    const { machine } = this.world.node(this.name)
    if (machine instanceof KvWorldMachine) return machine.memory
    throw new Error(`${this.name} runs another state machine`)
  }
  /** The machine tells this life what it is about to execute; the rest is told once the core knows of it. */
  private watch(): void {
    const nothing = (): void => {}
    this.memory.listen({ executing: (command) => this.listener?.executing?.(command), replied: nothing, opened: nothing, closed: nothing, restored: nothing })
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
    const state = this.driverState()
    const peers = world.names.filter((other) => other !== name)
    return {
      id: name, incarnation: state.self.incarnation, cluster: null, pid: 1, version: "simulated", role: state.role.type, term: state.currentTerm,
      leader: this.leadership.leader?.name ?? null, lastIndex: state.log.lastIndex, commitIndex: state.commitIndex, applied: state.applied,
      snapshotIndex: state.snapshotIndex, logBytes: state.log.bytes, client: `${name}:${PORT}`, peer: name, health: "ok", loading: false, uptimeMs: world.now, lastContactMs: null, clockOffsetMs: null,
      peers: peers.map((id) => ({ id, peer: id, client: `${id}:${PORT}`, connected: true, matchIndex: null, lag: null, lastContactMs: null, clockOffsetMs: null, problem: null })),
      counters: {},
    }
  }
  private driverState(): State {
    const state = this.world.state(this.name)
    if (state === undefined) throw new Error(`${this.name} is down, and tells its status`)
    return state
  }

  // --------------------------------------------------------------------------------------- the world's view

  /** What the driver does once the sockets have been polled. */
  turn(): void {
    this.woken = false
    for (const listener of this.before) listener()
    const events = this.queue
    this.queue = []
    this.requests.seal()
    const { world, name, refs } = this
    for (const event of events) {
      if (event.type !== "Proposed" && event.type !== "ReadRequested") continue
      const ref = world.data.refs + 1
      refs.set(ref, event.ref)
      // What is proposed again is another proposal of the same bytes: the invariants tell them apart.
      if (event.type === "Proposed") world.inject(name, { type: "Proposed", ref, payloads: event.payloads.map((payload) => ({ ...payload })) })
      else world.read(name)
    }
  }
  responded(ref: number, outcome: CoreOutcome): void {
    const asked = this.refs.get(ref)
    if (asked === undefined) return
    this.refs.delete(ref)
    this.requests.respond(asked, outcome)
  }
  /** Entries were executed; whoever waits for them is told once the core is. */
  executed(index: number, outcomes: readonly Outcome[]): void {
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
      announce(this.listener, next.outcomes)
    }
  }
  stepped({ events, state }: WorldStep): void {
    for (const event of events) {
      if (event.type !== "Applied") continue
      this.announceThrough(event.index)
      for (const listener of this.applied) listener(event.index)
    }
    const { role, term, leader } = this.leadership
    const now = leadershipOf(state)
    if (now.role === role && now.term === term && now.leader?.name === leader?.name && now.leader?.incarnation === leader?.incarnation) return
    this.leadership = now
    for (const listener of this.changed) listener(now)
  }
}
