/** The mutable interface: one state, changed by every action. For soaks, scenarios and properties, where speed matters. */
import type { Event, LogBase, Member, Outcome, Payload, State } from "../../core/index.ts"
import { act, runTo, stepOne } from "./act.ts"
import { fingerprint } from "./state/fingerprint.ts"
import { foldInPlace, leaderOf, nodeOf, type Fold } from "./state/fold.ts"
import { nextPlannedAt } from "./planned.ts"
import { makeWorld } from "./make.ts"
import { copyWorld } from "./pure.ts"
import { makeRandom, type Random } from "./state/random.ts"
import type {
  Action,
  DiskState,
  Keep,
  NetworkName,
  NetworkProfile,
  NodeState,
  WorldHooks,
  WorldMachine,
  WorldOptions,
  WorldState,
} from "./state/types.ts"

/** A live view of one node. */
export class WorldNode {
  private readonly world: WorldState
  readonly name: string
  constructor(world: WorldState, name: string) {
    this.world = world
    this.name = name
  }
  get state(): NodeState {
    return nodeOf(this.world, this.name)
  }
  get member(): Member {
    return this.state.member
  }
  get disk(): DiskState {
    return this.state.disk
  }
  get machine(): WorldMachine {
    return this.state.machine
  }
  get position(): LogBase {
    return this.machine.position()
  }
  /** null: down. */
  get runner(): { readonly state: State } | null {
    const { core } = this.state
    return core === null ? null : { state: core }
  }
  get boot(): number {
    return this.state.boot
  }
  get paused(): boolean {
    return this.state.paused
  }
}

/** How many answers are kept; hooks are called with all of them. */
const KEPT_OUTCOMES = 10_000

export class World {
  readonly data: WorldState
  /** For choices of the code that drives the world; the world itself draws nothing from it. */
  readonly random: Random
  /** The latest answers to refs of propose, read and change. */
  readonly outcomes = new Map<number, Outcome>()
  private readonly fold: Fold
  private readonly views = new Map<string, WorldNode>()

  /** A new world, or one that continues from a copy of `from`. */
  constructor(options: WorldOptions & WorldHooks, from?: WorldState) {
    const hooks: WorldHooks = {
      ...options,
      responded: (node, ref, outcome) => {
        this.keep(ref, outcome)
        options.responded?.(node, ref, outcome)
      },
    }
    this.random = makeRandom(options.seed)
    this.data = from === undefined ? makeWorld(options, hooks) : copyWorld(from)
    this.fold = foldInPlace(this.data, hooks)
  }
  private keep(ref: number, outcome: Outcome): void {
    const { outcomes } = this
    outcomes.set(ref, outcome)
    if (outcomes.size <= KEPT_OUTCOMES) return
    const [oldest] = outcomes.keys()
    if (oldest !== undefined) outcomes.delete(oldest)
  }

  // ----------------------------------------------------------------------------------------- looking at it

  get now(): number {
    return this.data.now
  }
  get steps(): number {
    return this.data.steps
  }
  get messages(): number {
    return this.data.messages
  }
  get entriesSent(): number {
    return this.data.entriesSent
  }
  get settings(): WorldState["settings"] {
    return this.data.settings
  }
  get names(): readonly string[] {
    return this.data.names
  }
  get nodes(): ReadonlyMap<string, WorldNode> {
    return new Map(this.names.map((name) => [name, this.node(name)]))
  }
  get network(): NetworkProfile {
    return this.data.network
  }
  set network(profile: NetworkProfile | NetworkName) {
    this.act({ type: "network", profile })
  }
  node(name: string): WorldNode {
    let view = this.views.get(name)
    if (view === undefined) {
      nodeOf(this.data, name)
      view = new WorldNode(this.data, name)
      this.views.set(name, view)
    }
    return view
  }
  /** undefined while it is down. */
  state(name: string): State | undefined {
    return nodeOf(this.data, name).core ?? undefined
  }
  /** The live leader of the highest term. */
  leader(): WorldNode | undefined {
    const name = leaderOf(this.data)?.name
    return name === undefined ? undefined : this.node(name)
  }
  /** The time of the next planned event. */
  get next(): number | undefined {
    return nextPlannedAt(this.fold)
  }
  /** The present state, for the immutable interface: later actions here do not change it. */
  snapshot(): WorldState {
    return copyWorld(this.data)
  }
  /** A 32-bit hash of everything that nodes know; equal worlds have equal hashes, on every engine. */
  hash(): number {
    return fingerprint(this.data)
  }

  // --------------------------------------------------------------------------------------------- acting

  act(action: Action): void {
    act(this.fold, action)
  }
  start(name: string): void {
    this.act({ type: "start", node: name })
  }
  crash(name: string, keep: Keep = "random"): void {
    this.act({ type: "crash", node: name, keep })
  }
  /** A paused node does nothing; events for it wait. */
  pause(name: string): void {
    this.act({ type: "pause", node: name })
  }
  resume(name: string): void {
    this.act({ type: "resume", node: name })
  }
  /** A node's state machine reports damage. */
  damage(name: string): void {
    this.act({ type: "damage", node: name })
  }
  /** Cuts the direction from `from` to `to`; the other stays open. */
  cutOneWay(from: string, to: string): void {
    this.act({ type: "cut", from, to })
  }
  cut(a: string, b: string): void {
    this.cutOneWay(a, b)
    this.cutOneWay(b, a)
  }
  isolate(name: string): void {
    this.act({ type: "isolate", node: name })
  }
  reconnect(name: string): void {
    this.act({ type: "reconnect", node: name })
  }
  partition(side: readonly string[]): void {
    this.act({ type: "partition", side })
  }
  heal(): void {
    this.act({ type: "heal" })
  }
  propose(name: string, payloads: readonly Payload[]): number {
    const ref = this.data.refs + 1
    this.inject(name, { type: "Proposed", ref, payloads })
    return ref
  }
  read(name: string): number {
    this.act({ type: "read", node: name })
    return this.data.refs
  }
  change(name: string, voters: readonly string[], learners: readonly string[] = []): number {
    this.act({ type: "change", node: name, voters, learners })
    return this.data.refs
  }
  inject(name: string, event: Event): void {
    this.act({ type: "inject", node: name, event })
  }

  // ------------------------------------------------------------------------------------------------ time

  /** Executes the next planned event; false if there is none through `end`. */
  step(end = Number.POSITIVE_INFINITY): boolean {
    // The action is recorded even if an observer stops the world, so that the script leads to this point.
    let happened = true
    try {
      happened = stepOne(this.fold, end)
      return happened
    } finally {
      if (happened) this.fold.hooks.acted?.({ type: "step", count: 1 })
    }
  }
  /** Virtual milliseconds. */
  run(ms: number): void {
    this.act({ type: "run", ms })
  }
  /** Runs until `done` holds, for at most `limit` virtual milliseconds; returns whether it holds. */
  runUntil(done: () => boolean, limit: number): boolean {
    const { fold } = this
    const end = this.now + limit
    let count = 0
    let held = done()
    try {
      while (!held) {
        count += 1
        if (!stepOne(fold, end)) {
          count -= 1
          break
        }
        held = done()
      }
    } finally {
      if (count > 0) fold.hooks.acted?.({ type: "step", count })
    }
    if (held) return true
    if (end > this.now) fold.hooks.acted?.({ type: "run", ms: end - this.now })
    runTo(fold, Math.max(end, this.now))
    return done()
  }
}
