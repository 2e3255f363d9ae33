/**
 * The harness of the acceptance scenarios: a cluster on the simulated network, offered commands the way a service would,
 * and watched at every step.
 *
 * The time that the scenarios call T, in which an election should be over, is 1,000 ms. The default settings fit it: ten
 * heartbeats a second, election timeouts of 500–1,000 ms. A hop and a persist take 1 ms each. All time is virtual.
 */
import { expect, test } from "vitest"
import type { Member, Message, Outcome, Payload, Settings, State } from "../core/index.ts"
import { Writer } from "../interpreters/bytes.ts"
import { isRequest, makeRandom, storedBytes, World, type Keep, type NetworkName, type NetworkProfile, type Random, type WorldHooks, type WorldOptions, type WorldStep } from "../interpreters/simulation/index.ts"
import { writeMessage } from "../interpreters/tcp/codec.ts"
import { HEADER } from "../interpreters/tcp/frame.ts"
import { makeInvariantChecker } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { History } from "./scenario.history.ts"
import { scenarios, type ScenarioId } from "./scenario.ids.ts"

/** T of the scenarios: what an election may take. */
export const T = 1000
/** No scenario may take longer than this, in virtual time. */
const LONGEST = 120_000

/**
 * Whoever acts beside others: yields how many milliseconds to sleep, returns when done. Tasks of one harness take turns
 * in virtual time; between two yields nothing else happens.
 */
export type Task<Result = void> = Generator<number, Result, undefined>

export interface HarnessOptions {
  /** Default 3. */
  readonly servers?: number
  readonly seed?: number
  readonly network?: NetworkProfile | NetworkName
  readonly settings?: Partial<Settings>
  /** Of a command on its way and in the log. */
  readonly commandBytes?: number
  /** The service takes a snapshot each time that it has executed ten commands more. */
  readonly snapshots?: boolean
  /** What else the world is made of. */
  readonly world?: Omit<WorldOptions, "seed" | "nodes" | "network" | "settings">
  readonly hooks?: WorldHooks
  /** How long the story may take; default 120 s. */
  readonly longest?: number
}

/** What the harness was asked to see and did not. Violated invariants have an error of their own. */
export class ScenarioFailed extends Error {
  override readonly name = "ScenarioFailed"
}

/** Counts what passes the network, as the course's network does: requests when they are sent, replies when they arrive. */
export class Traffic {
  /** By type: frames sent and delivered, and the bytes of those that count as they would leave a socket. */
  readonly sent = new Map<Message["type"], number>()
  readonly delivered = new Map<Message["type"], number>()
  readonly weight = new Map<Message["type"], number>()
  /** By receiver: requests that were delivered. */
  readonly incoming = new Map<string, number>()
  private readonly writer = new Writer()

  private weigh(message: Message): void {
    this.writer.reset()
    writeMessage(this.writer, message, message.type === "InstallSnapshot" ? new Uint8Array() : null)
    this.weight.set(message.type, (this.weight.get(message.type) ?? 0) + this.writer.length + HEADER)
  }
  onSent(message: Message): void {
    this.sent.set(message.type, (this.sent.get(message.type) ?? 0) + 1)
    if (isRequest(message)) this.weigh(message)
  }
  onDelivered(to: string, message: Message): void {
    this.delivered.set(message.type, (this.delivered.get(message.type) ?? 0) + 1)
    if (isRequest(message)) this.incoming.set(to, (this.incoming.get(to) ?? 0) + 1)
    else this.weigh(message)
  }
  get requests(): number {
    return total(this.incoming)
  }
  get frames(): number {
    return total(this.delivered)
  }
  get bytes(): number {
    return total(this.weight)
  }
}
const total = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((sum, count) => sum + count, 0)

const COMMAND_BYTES = 16
/** What the core counts for a command beside its bytes. */
const ENTRY_HEAD = 48

export class Harness {
  readonly world: World
  /** For the choices of the story. */
  readonly random: Random
  readonly history = new History()
  readonly traffic = new Traffic()
  private readonly commandBytes: number
  private readonly away = new Set<string>()
  private offered = 10_000
  private turn = 0

  constructor({ servers = 3, seed = 1, network = "reliable", settings = {}, commandBytes = COMMAND_BYTES, snapshots = false, world = {}, hooks = {} }: HarnessOptions) {
    const check = makeInvariantChecker()
    this.commandBytes = commandBytes
    this.random = makeRandom(seed ^ 0x2545f491)
    const observe = (step: WorldStep): void => {
      hooks.observe?.(step)
      check(step)
      this.history.observe(step)
    }
    this.world = new World({
      ...world,
      ...hooks,
      seed,
      nodes: servers,
      network,
      settings: { forwardProposals: false, ...(snapshots ? { snapshotBytes: 10 * (commandBytes + ENTRY_HEAD) - 1, tailBytes: 0 } : {}), ...settings },
      observe,
      applied: (name, entries, results) => {
        const { machine, position } = this.world.node(name)
        this.history.compare(name, position.index, machine.digest())
        hooks.applied?.(name, entries, results)
      },
      restored: (name, base) => {
        this.history.compare(name, base.index, this.world.node(name).machine.digest())
        hooks.restored?.(name, base)
      },
      sent: (from, to, message) => {
        this.traffic.onSent(message)
        hooks.sent?.(from, to, message)
      },
      delivered: (from, to, message) => {
        this.traffic.onDelivered(to.name, message)
        hooks.delivered?.(from, to, message)
      },
    })
  }

  // ------------------------------------------------------------------------------------------- looking

  get now(): number {
    return this.world.now
  }
  get servers(): readonly string[] {
    return this.world.names
  }
  get live(): readonly string[] {
    return this.servers.filter((name) => this.isUp(name))
  }
  isUp(name: string): boolean {
    return this.world.state(name) !== undefined
  }
  isConnected(name: string): boolean {
    return !this.away.has(name)
  }
  /** Of a server that is up. */
  state(name: string): State {
    const state = this.world.state(name)
    if (state === undefined) throw new ScenarioFailed(`${name} is down`)
    return state
  }
  leads(name: string): boolean {
    return this.world.state(name)?.role.type === "leader"
  }
  /** The servers after this one, in a circle. */
  after(name: string): readonly string[] {
    const at = this.servers.indexOf(name)
    return [...this.servers.slice(at + 1), ...this.servers.slice(0, at)]
  }
  others(...names: readonly string[]): readonly string[] {
    return this.servers.filter((name) => !names.includes(name))
  }
  pick(names: readonly string[] = this.servers): string {
    const name = this.random.pick(names)
    if (name === undefined) throw new ScenarioFailed("nobody to choose from")
    return name
  }
  member(name: string): Member {
    return this.world.node(name).member
  }
  /** Bytes of log and hard state on its disk. */
  stored(name: string): number {
    return storedBytes(this.world.node(name).disk)
  }
  /** How many live servers have executed the command of this number, and what it is. */
  executed(command: number): { readonly count: number; readonly value: number | undefined } {
    return { count: this.live.filter((name) => this.history.hasExecuted(name, command)).length, value: this.history.valueAt(command) }
  }
  fail(what: string): never {
    throw new ScenarioFailed(`at ${this.now} ms: ${what}`)
  }

  // -------------------------------------------------------------------------------------------- faults

  run(ms: number): void {
    this.world.run(ms)
  }
  /** A link carries frames if both of its ends are connected. */
  disconnect(...names: readonly string[]): void {
    for (const name of names) this.away.add(name)
    this.link()
  }
  connect(...names: readonly string[]): void {
    for (const name of names) this.away.delete(name)
    this.link()
  }
  connectAll(): void {
    this.connect(...this.servers)
  }
  private link(): void {
    this.world.heal()
    for (const name of this.away) this.world.isolate(name)
  }
  /** Down and out of the network; some of what was on its way to the disk is there. */
  crash(name: string, keep: Keep = "random"): void {
    this.disconnect(name)
    this.world.crash(name, keep)
  }
  /** Up and in the network; a server that is up crashes first. */
  restart(...names: readonly string[]): void {
    for (const name of names) this.crash(name)
    for (const name of names) {
      this.world.start(name)
      this.connect(name)
    }
  }

  // ------------------------------------------------------------------------------------------- clients

  /** A command that nobody has offered yet. */
  fresh(): number {
    return this.offered++
  }
  command(value: number): Payload {
    return { bytes: new Uint8Array(this.commandBytes), checksum: value }
  }
  /** Offers a command: which one it would be, and in which term, if that server takes it as leader. */
  offer(server: string, value = this.fresh()): { readonly command: number; readonly term: number } | null {
    if (!this.isUp(server)) return null
    const ref = this.world.propose(server, [this.command(value)])
    const outcome = this.world.outcomes.get(ref)
    if (outcome?.type !== "ProposalAppended") return null
    const { log } = this.state(server)
    const known = Math.min(Math.max(log.base.index, this.state(server).applied), outcome.first)
    const later = log.slice(known + 1, outcome.first, Number.POSITIVE_INFINITY)
    return { command: this.history.commandsThrough(known) + later.filter(({ kind }) => kind === "command").length, term: outcome.term }
  }
  offers(server: string, count: number): void {
    for (let i = 0; i < count; i++) this.offer(server)
  }

  /** Asks a server for a linearizable read; asks for its answer, if there is one. */
  read(server: string): () => Outcome | undefined {
    const ref = this.world.read(server)
    return () => this.world.outcomes.get(ref)
  }

  /** Has a command executed by `count` servers, within 10 s; answers its number. Without retry the first offer must do. */
  *agreeing(value: number, count: number, retry = true): Task<number> {
    const end = this.now + 10_000
    while (this.now < end) {
      let command: number | undefined
      for (let i = 0; i < this.servers.length && command === undefined; i++) {
        const name = this.servers[this.turn++ % this.servers.length] ?? ""
        if (this.isConnected(name)) command = this.offer(name, value)?.command
      }
      if (command === undefined) {
        yield 50
        continue
      }
      for (const patience = this.now + 2000; this.now < patience; yield 20) {
        const seen = this.executed(command)
        if (seen.count >= count && seen.value === value) return command
      }
      if (!retry) this.fail(`${value} was not executed by ${count} servers within 2 s`)
    }
    this.fail(`${value} was not executed by ${count} servers within 10 s`)
  }
  one(count: number, value = this.fresh(), retry = true): number {
    return this.finish(this.agreeing(value, count, retry))
  }
  /** Until `count` servers have executed the command of this number; null if the term is over before. */
  wait(command: number, count: number, term?: number): number | null {
    for (let i = 0, pause = 10; i < 30 && this.executed(command).count < count; i++, pause = Math.min(pause * 2, 1000)) {
      this.run(pause)
      if (term !== undefined && this.live.some((name) => this.state(name).currentTerm > term)) return null
    }
    const { count: seen, value } = this.executed(command)
    if (seen < count || value === undefined) this.fail(`command ${command} was executed by ${seen} servers, not ${count}`)
    return value
  }

  // ------------------------------------------------------------------------------------------- leaders

  /** The leader of the highest term among connected servers, within 5 s. */
  leader(): string {
    for (let i = 0; i < 10; i++) {
      this.run(this.random.between(450, 549))
      const leaders = new Map<number, string>()
      for (const name of this.servers) {
        if (!this.isConnected(name) || !this.leads(name)) continue
        const { currentTerm } = this.state(name)
        if (leaders.has(currentTerm)) this.fail(`${name} and ${leaders.get(currentTerm)} both lead term ${currentTerm}`)
        leaders.set(currentTerm, name)
      }
      const last = leaders.get(Math.max(...leaders.keys()))
      if (last !== undefined) return last
    }
    this.fail("there is no leader")
  }
  noLeader(): void {
    const leader = this.servers.find((name) => this.isConnected(name) && this.leads(name))
    if (leader !== undefined) this.fail(`${leader} leads, and nobody should`)
  }
  /** The one term that all connected servers are in. */
  term(): number {
    const terms = new Set(this.live.filter((name) => this.isConnected(name)).map((name) => this.state(name).currentTerm))
    const [term] = terms
    if (terms.size !== 1 || term === undefined) this.fail(`servers are in terms ${[...terms].join(", ")}`)
    return term
  }

  // --------------------------------------------------------------------------------------------- tasks

  /** Runs tasks side by side until all are done; answers their results in their order. */
  together<Result>(tasks: readonly Task<Result>[]): readonly Result[] {
    const results = new Map<number, Result>()
    const wakes = tasks.map(() => this.now)
    while (results.size < tasks.length) {
      let next = -1
      for (let i = 0; i < tasks.length; i++) if (!results.has(i) && (next < 0 || (wakes[i] ?? 0) < (wakes[next] ?? 0))) next = i
      const wake = wakes[next] ?? this.now
      if (wake > this.now) this.run(wake - this.now)
      const turn = tasks[next]?.next()
      if (turn?.done === true) results.set(next, turn.value)
      else wakes[next] = this.now + (turn?.value ?? 0)
    }
    return tasks.flatMap((_, i) => results.get(i) ?? [])
  }
  finish<Result>(task: Task<Result>): Result {
    for (let turn = task.next(); ; turn = task.next()) {
      if (turn.done === true) return turn.value
      this.run(turn.value)
    }
  }
}

export type Story = (it: Harness) => void

const tell = (options: HarnessOptions, story: Story): Harness => {
  const it = new Harness(options)
  story(it)
  expect(it.now).toBeLessThanOrEqual(options.longest ?? LONGEST)
  return it
}

/** A test named by its ID. */
export const scenario = (id: ScenarioId, options: HarnessOptions, story: Story): void => {
  test(`${id} ${scenarios[id]}`, () => {
    tell(options, story)
  })
}

/**
 * The same story for many seeds, in the long suite: how many pass. What breaks an invariant fails for good; what merely
 * takes too long counts, and at most `missesPermille` may.
 */
export const scenarioOverSeeds = (id: ScenarioId, options: HarnessOptions, story: Story, missesPermille: number, seeds = 200): void => {
  if (!full) return
  test(`${id} ${scenarios[id]}, pass rate over ${seeds} seeds`, { timeout: 1_800_000 }, () => {
    const missed: string[] = []
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        tell({ ...options, seed }, story)
      } catch (error) {
        if (!(error instanceof ScenarioFailed)) throw new Error(`seed ${seed}`, { cause: error })
        missed.push(`seed ${seed} ${error.message}`)
      }
    }
    console.log(`${id}: ${seeds - missed.length} of ${seeds} seeds pass`)
    expect(missed.length, missed.join("\n")).toBeLessThanOrEqual((seeds * missesPermille) / 1000)
  })
}
