/**
 * A cluster in one process, in virtual time, from one seed: nodes run the shipped reducer in place, the network
 * loses, duplicates, delays and reorders, disks keep just what was persisted, and anything can crash.
 */
import { defaultSettings, initialState, inPlace, type Configuration, type Effect, type Event, type LogBase, type Member, type Message, type Outcome, type Payload, type Recovered, type Runner, type Settings, type SnapshotRef, type State, type Timer } from "../../core/index.ts"
import { makeAgenda } from "./agenda.ts"
import { crashDisk, entriesOf, makeDisk, settle, type Disk } from "./disk.ts"
import { crashMachine, executeEntries, freshMachine, type Machine } from "./machine.ts"
import { makeRandom, type Random } from "./random.ts"

/** Per-mille chances and millisecond delays of one-way messages. */
export interface NetworkProfile {
  readonly lossPermille: number
  readonly duplicatePermille: number
  readonly delayMin: number
  readonly delayMax: number
  /** Now and then a message takes this much longer: later ones overtake it. */
  readonly longDelayPermille: number
  readonly longDelayMax: number
}
export const reliableNetwork: NetworkProfile = { lossPermille: 0, duplicatePermille: 0, delayMin: 1, delayMax: 1, longDelayPermille: 0, longDelayMax: 0 }
export const lossyNetwork: NetworkProfile = { lossPermille: 100, duplicatePermille: 50, delayMin: 1, delayMax: 26, longDelayPermille: 30, longDelayMax: 800 }

export interface WorldOptions {
  readonly seed: number
  readonly nodes?: number
  readonly settings?: Partial<Settings>
  readonly network?: NetworkProfile
  /** Milliseconds that a Persist takes. */
  readonly disk?: { readonly min: number; readonly max: number }
  /** Told of every step of every node; throws to stop the world. */
  readonly observe?: (step: WorldStep) => void
  /** Told what a node finds on its disk each time it starts, before its first step. */
  readonly started?: (node: string, recovered: Recovered) => void
}
export interface WorldStep {
  readonly at: number
  readonly node: string
  readonly events: readonly Event[]
  /** The state after the step; changed in place by the next one. */
  readonly state: State
  readonly effects: readonly Effect[]
}

export interface WorldNode {
  readonly member: Member
  readonly disk: Disk
  machine: Machine
  /** null: crashed. */
  runner: Runner | null
  /** Counts the lives: what an earlier life planned does not happen in a later one. */
  life: number
  paused: boolean
  inbox: Event[]
  readonly timers: Map<Timer, number>
}

type Happening =
  | { readonly type: "deliver"; readonly from: Member; readonly to: string; readonly message: Message }
  | { readonly type: "event"; readonly node: string; readonly life: number; readonly event: Event }
  | { readonly type: "timer"; readonly node: string; readonly life: number; readonly timer: Timer; readonly due: number }

const SNAPSHOT_CHUNKS = 3

export class World {
  readonly random: Random
  readonly nodes: ReadonlyMap<string, WorldNode>
  readonly settings: Settings
  network: NetworkProfile
  now = 0
  steps = 0
  messages = 0
  entriesSent = 0
  /** Outcome of each ref handed out by propose and read. */
  readonly outcomes = new Map<number, Outcome>()
  private readonly disk: { readonly min: number; readonly max: number }
  private readonly observe: ((step: WorldStep) => void) | undefined
  private readonly started: ((node: string, recovered: Recovered) => void) | undefined
  private readonly agenda = makeAgenda<Happening>()
  private readonly cutLinks = new Set<string>()
  private readonly images = new Map<string, Machine>()
  private nextRef = 1
  private nextImage = 1

  constructor(options: WorldOptions) {
    this.random = makeRandom(options.seed)
    this.settings = { ...defaultSettings, ...options.settings }
    this.network = options.network ?? reliableNetwork
    this.disk = options.disk ?? { min: 1, max: 1 }
    this.observe = options.observe
    this.started = options.started
    const members = Array.from({ length: options.nodes ?? 3 }, (_, i): Member => ({ name: `n${i + 1}`, incarnation: `i${i + 1}` }))
    const configuration: Configuration = { voters: members, outgoing: [], learners: [] }
    const base: LogBase = { index: 0, term: 0, time: 0, configuration }
    this.nodes = new Map(
      members.map((member) => [
        member.name,
        { member, disk: makeDisk(base), machine: freshMachine(base), runner: null, life: 0, paused: false, inbox: [], timers: new Map() },
      ]),
    )
    for (const name of this.nodes.keys()) this.start(name)
  }

  node(name: string): WorldNode {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`there is no node ${name}`)
    return node
  }
  /** undefined while it is down. */
  state(name: string): State | undefined {
    return this.node(name).runner?.state
  }
  get names(): readonly string[] {
    return [...this.nodes.keys()]
  }
  /** The live leader of the highest term. */
  leader(): WorldNode | undefined {
    let best: WorldNode | undefined
    for (const node of this.nodes.values()) {
      const state = node.runner?.state
      if (state?.role.type === "leader" && state.currentTerm > (best?.runner?.state.currentTerm ?? -1)) best = node
    }
    return best
  }

  // --------------------------------------------------------------------------------------------- faults

  start(name: string): void {
    const node = this.node(name)
    if (node.runner !== null) return
    node.life += 1
    const { disk, machine, member } = node
    const recovered: Recovered = {
      self: member,
      life: this.random.below(0x40000000),
      hardState: disk.hardState,
      base: disk.log.base,
      entries: entriesOf(disk),
      position: machine.damaged ? null : machine.position,
    }
    this.started?.(name, recovered)
    node.runner = inPlace(initialState(this.settings, recovered))
    this.feed(node, [{ type: "Started" }])
  }
  crash(name: string): void {
    const node = this.node(name)
    if (node.runner === null) return
    node.runner = null
    node.timers.clear()
    node.inbox = []
    node.paused = false
    crashDisk(node.disk, this.random)
    node.machine = crashMachine(node.machine, this.random)
  }
  /** A paused node does nothing; what reaches it waits. */
  pause(name: string): void {
    this.node(name).paused = true
  }
  resume(name: string): void {
    const node = this.node(name)
    node.paused = false
    const waiting = node.inbox
    node.inbox = []
    if (waiting.length > 0) this.feed(node, waiting)
  }
  /** The state machine of a live node finds damage in itself. */
  damage(name: string): void {
    const node = this.node(name)
    node.machine = { ...node.machine, damaged: true }
    if (node.runner !== null) this.feed(node, [{ type: "MachineDamaged" }])
  }
  /** Nothing gets from `from` to `to` any more; the other way stays open. */
  cutOneWay(from: string, to: string): void {
    this.cutLinks.add(`${from}>${to}`)
  }
  cut(a: string, b: string): void {
    this.cutOneWay(a, b)
    this.cutOneWay(b, a)
  }
  isolate(name: string): void {
    for (const other of this.nodes.keys()) if (other !== name) this.cut(name, other)
  }
  reconnect(name: string): void {
    for (const link of this.cutLinks) {
      const [from, to] = link.split(">")
      if (from === name || to === name) this.cutLinks.delete(link)
    }
  }
  partition(side: readonly string[]): void {
    for (const a of this.nodes.keys()) for (const b of this.nodes.keys()) if (side.includes(a) !== side.includes(b)) this.cutOneWay(a, b)
  }
  heal(): void {
    this.cutLinks.clear()
  }

  // -------------------------------------------------------------------------------------------- clients

  propose(name: string, payloads: readonly Payload[]): number {
    const ref = this.nextRef++
    this.inject(name, { type: "Proposed", ref, payloads })
    return ref
  }
  read(name: string): number {
    const ref = this.nextRef++
    this.inject(name, { type: "ReadRequested", ref })
    return ref
  }
  inject(name: string, event: Event): void {
    const node = this.node(name)
    if (node.runner !== null) this.receive(node, event)
  }

  // ------------------------------------------------------------------------------------------------ time

  /** The next thing that is planned happens; false if nothing is. */
  step(): boolean {
    const next = this.agenda.next()
    if (next === undefined) return false
    this.now = Math.max(this.now, next.at)
    const { item } = next
    switch (item.type) {
      case "deliver": {
        if (this.cutLinks.has(`${item.from.name}>${item.to}`)) break
        this.receive(this.node(item.to), { type: "MessageReceived", from: item.from, message: item.message })
        break
      }
      case "event": {
        const node = this.node(item.node)
        if (node.life === item.life && node.runner !== null) {
          if (item.event.type === "Persisted") settle(node.disk, item.event.seq)
          this.receive(node, item.event)
        }
        break
      }
      case "timer": {
        const node = this.node(item.node)
        if (node.life !== item.life || node.timers.get(item.timer) !== item.due) break
        node.timers.delete(item.timer)
        this.receive(node, { type: "TimerExpired", timer: item.timer })
        break
      }
    }
    return true
  }
  /** Virtual milliseconds. */
  run(duration: number): void {
    const end = this.now + duration
    for (let at = this.agenda.peek(); at !== undefined && at <= end; at = this.agenda.peek()) this.step()
    this.now = end
  }
  /** Until `done` holds, at most `limit` virtual milliseconds; true if it came to hold. */
  runUntil(done: () => boolean, limit: number): boolean {
    const end = this.now + limit
    while (!done()) {
      const at = this.agenda.peek()
      if (at === undefined || at > end) {
        this.now = end
        return done()
      }
      this.step()
    }
    return true
  }

  private receive(node: WorldNode, event: Event): void {
    if (node.runner === null) return
    if (node.paused) node.inbox.push(event)
    else this.feed(node, [event])
  }

  private feed(node: WorldNode, events: readonly Event[]): void {
    const { runner } = node
    if (runner === null) return
    const clock: Event = { type: "ClockAdvanced", time: this.now }
    const batch = [clock, ...events]
    const effects = runner.run(batch)
    this.steps += 1
    this.observe?.({ at: this.now, node: node.member.name, events: batch, state: runner.state, effects })
    for (const effect of effects) this.execute(node, effect)
  }

  private later(node: WorldNode, delay: number, event: Event): void {
    this.agenda.add(this.now + delay, { type: "event", node: node.member.name, life: node.life, event })
  }

  private execute(node: WorldNode, effect: Effect): void {
    switch (effect.type) {
      case "Send":
        this.transmit(node.member, effect.to, effect.message)
        break
      case "Persist":
        node.disk.pending.push(effect)
        this.later(node, this.random.between(this.disk.min, this.disk.max), { type: "Persisted", seq: effect.seq })
        break
      case "Apply": {
        node.machine = executeEntries(node.machine, effect.entries)
        this.later(node, this.random.between(0, 2), { type: "Applied", index: node.machine.position.index })
        break
      }
      case "Respond":
        this.outcomes.set(effect.ref, effect.outcome)
        break
      case "SetTimer": {
        const due = this.now + this.random.between(effect.min, effect.max)
        node.timers.set(effect.timer, due)
        this.agenda.add(due, { type: "timer", node: node.member.name, life: node.life, timer: effect.timer, due })
        break
      }
      case "CancelTimer":
        node.timers.delete(effect.timer)
        break
      case "TakeSnapshot":
        node.machine = { ...node.machine, durable: node.machine.position, durableDigest: node.machine.digest }
        this.later(node, this.random.between(1, 20), { type: "SnapshotTaken", base: node.machine.position })
        break
      case "OpenSnapshot": {
        const id = `${node.member.name}.${this.nextImage++}`
        this.images.set(id, node.machine)
        this.later(node, 1, { type: "SnapshotOpened", to: effect.to, snapshot: { id, ...node.machine.position } })
        break
      }
      case "CloseSnapshot":
        break
      case "StoreChunk":
        this.later(node, 1, { type: "ChunkStored", id: effect.snapshot.id, nextOffset: effect.offset + 1, last: effect.last })
        break
      case "RestoreSnapshot":
        this.restore(node, effect.snapshot)
        break
      case "Note":
        break
    }
  }

  private restore(node: WorldNode, snapshot: SnapshotRef): void {
    const image = this.images.get(snapshot.id)
    if (image === undefined) {
      this.later(node, 1, { type: "SnapshotRejected", id: snapshot.id })
      return
    }
    node.machine = { ...image, durable: image.position, durableDigest: image.digest, damaged: false }
    this.later(node, this.random.between(1, 10), { type: "SnapshotRestored", snapshot })
  }

  private transmit(from: Member, to: Member, sent: Message): void {
    const { network, random } = this
    this.messages += 1
    if (sent.type === "AppendEntries") this.entriesSent += sent.entries.length
    if (this.cutLinks.has(`${from.name}>${to.name}`) || random.chance(network.lossPermille)) return
    const message = sent.type === "InstallSnapshot" ? { ...sent, length: 1, last: sent.offset === SNAPSHOT_CHUNKS - 1 } : sent
    const copies = random.chance(network.duplicatePermille) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      let delay = random.between(network.delayMin, network.delayMax)
      if (random.chance(network.longDelayPermille)) delay += random.below(network.longDelayMax + 1)
      this.agenda.add(this.now + delay, { type: "deliver", from, to: to.name, message })
    }
  }
}
