/**
 * Scenarios that read like stories: a cluster in virtual time, and what a tester does to it.
 *
 * Indexes count commands only; no-ops and configuration entries have none. A server takes part while it is connected;
 * `cut` and `join` change that, and only links between connected servers are open. All times are virtual milliseconds.
 */
import {
  configurationOf,
  membersOf,
  sameMember,
  type CommandEntry,
  type Entry,
  type Member,
  type Outcome,
  type Payload,
  type State,
} from "../../../core/index.ts"
import { storedBytes } from "../server/disk.ts"
import { AgreementChecker } from "./agreement.ts"
import { TrafficMeter } from "./meter.ts"
import type { Random } from "../state/random.ts"
import { runTasks, Tasks, type StoryTask, type StoryWork } from "./tasks.ts"
import type { Keep, NetworkName, NetworkProfile, Script, WorldMachine } from "../state/types.ts"
import {
  AGREEMENT_MS,
  SUBMISSION_MS,
  POLL_MS,
  PATIENCE_MS,
  NO_LEADER_MS,
  LEADER_POLLS,
  COMMAND_BYTES,
  commandPayload,
  StoryFailed,
  type ClusterOptions,
  type StoryCommand,
  type ReadResult,
  type Submitted,
} from "./submitted.ts"
import { recordedWorld } from "./script.ts"
import type { World } from "../world.ts"

/** Recent results of a server, for clients that wait for them. */
interface Executed {
  /** Index in the log. */
  readonly index: number
  readonly term: number
  readonly result: unknown
}
const KEPT_RESULTS = 1000

export class Cluster {
  readonly world: World
  /** All actions so far; executed again they give the same world, except for a user's own state machine. */
  readonly script: () => Script
  readonly meter: TrafficMeter
  readonly agreement = new AgreementChecker()
  private readonly connected: Set<string>
  private readonly tasks = new Tasks()
  private readonly results = new Map<string, Executed[]>()
  private inTask = false
  private nextServer = 0
  private made = 0

  constructor(servers: number, options: ClusterOptions = {}) {
    const seed = options.seed ?? 1
    const { agreement } = this
    const meter = new TrafficMeter(options.weigh)
    this.meter = meter
    const { weigh: _, settings, network, disk, apply, snapshots, connections, ...hooks } = options
    const given = { network, disk, apply, snapshots, connections }
    const { world, script } = recordedWorld(
      {
        seed,
        nodes: servers,
        // The tester offers a command to one server after another, so followers must refuse it and not forward it.
        settings: { forwardProposals: false, ...settings },
        ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      },
      {
        ...hooks,
        sent: (from, to, message) => {
          meter.sent(from, to, message)
          options.sent?.(from, to, message)
        },
        delivered: (from, to, message) => {
          meter.delivered(from, to, message)
          options.delivered?.(from, to, message)
        },
        started: (node, recovered, wentBack) => {
          agreement.placed(node, recovered.position ?? NOWHERE)
          options.started?.(node, recovered, wentBack)
        },
        restored: (node, base) => {
          agreement.placed(node, base)
          agreement.compare(node, this.machine(node).digest())
          options.restored?.(node, base)
        },
        applied: (node, entries, results) => {
          agreement.applied(node, entries)
          this.keepResults(node, entries, results)
          agreement.compare(node, this.machine(node).digest())
          options.applied?.(node, entries, results)
        },
      },
    )
    this.world = world
    this.script = script
    this.connected = new Set(this.world.names)
  }

  private keepResults(node: string, entries: readonly Entry[], results: readonly unknown[]): void {
    const kept = this.results.get(node) ?? []
    this.results.set(node, kept)
    entries.forEach(({ index, term }, i) => {
      kept[index % KEPT_RESULTS] = { index, term, result: results[i] }
    })
  }
  /** Ends the story with the expectation that was not met. */
  fail(what: string): never {
    throw new StoryFailed(`${what} (seed ${this.world.data.seed}, at ${this.now} ms)`)
  }

  get now(): number {
    return this.world.now
  }
  /** Advances the world and all its clients. */
  run(ms: number): void {
    this.goOn(this.now + ms)
  }
  /** Runs until `holds` is true, for at most `limit`; returns whether it is. */
  runUntil(holds: () => boolean, limit: number): boolean {
    this.goOn(this.now + limit, holds)
    return holds()
  }
  private goOn(end: number, enough?: () => boolean): void {
    if (this.inTask) throw new Error("inside a task, time advances by yield")
    this.asTask(() => runTasks(this.world, this.tasks, end, enough))
  }
  private asTask<T>(then: () => T): T {
    const outer = this.inTask
    this.inTask = true
    try {
      return then()
    } finally {
      this.inTask = outer
    }
  }
  /** Starts a client, which runs at once and continues as time advances. An exception in it stops the story. */
  go<T>(work: StoryWork<T>): StoryTask<T> {
    return this.asTask(() => this.tasks.add(work, this.now))
  }
  /** Waits until all are done and returns their results. Fails after `limit`. */
  finish<T>(tasks: readonly StoryTask<T>[], limit = 120_000): readonly T[] {
    if (!this.runUntil(() => tasks.every(({ done }) => done), limit))
      this.fail(`${tasks.filter(({ done }) => !done).length} of ${tasks.length} clients did not finish`)
    return tasks.map((task) => task.result())
  }
  /** Runs clients concurrently to their ends. */
  together<T>(works: readonly StoryWork<T>[], limit?: number): readonly T[] {
    return this.finish(
      works.map((work) => this.go(work)),
      limit,
    )
  }
  /** Runs a client to its end. */
  do<T>(work: StoryWork<T>, limit?: number): T {
    const task = this.go(work)
    this.finish([task], limit)
    return task.result()
  }

  // ----------------------------------------------------------------------------------------- the servers

  get names(): readonly string[] {
    return this.world.names
  }
  /** Random numbers for the story's own choices. */
  get random(): Random {
    return this.world.random
  }
  /** Servers that are up. */
  get live(): readonly string[] {
    return this.names.filter((name) => this.isUp(name))
  }
  isConnected(name: string): boolean {
    return this.connected.has(name)
  }
  isUp(name: string): boolean {
    return this.world.state(name) !== undefined
  }
  /** Connected servers. */
  get present(): readonly string[] {
    return this.names.filter((name) => this.connected.has(name))
  }
  /** A random server that is none of these. */
  other(...than: readonly string[]): string {
    return this.others(...than)[0] ?? this.fail("there is no other server")
  }
  others(...than: readonly string[]): readonly string[] {
    return this.names.filter((name) => !than.includes(name))
  }
  /** A random one of these servers. */
  any(names: readonly string[] = this.names): string {
    return this.random.pick(names) ?? this.fail("there is nobody to choose from")
  }
  /** The state of a server, which must be up. */
  state(name: string): State {
    return this.world.state(name) ?? this.fail(`${name} is down`)
  }
  machine(name: string): WorldMachine {
    return this.world.node(name).machine
  }
  private checkNames(names: readonly string[]): void {
    for (const name of names)
      if (!this.names.includes(name)) this.fail(`there is no server ${name} among ${this.names.join(", ")}`)
  }
  /** Disconnects servers from the network. */
  cut(...names: readonly string[]): void {
    this.checkNames(names)
    for (const name of names) {
      this.connected.delete(name)
      this.world.isolate(name)
    }
  }
  /** Connects servers to all others that are connected. */
  join(...names: readonly string[]): void {
    this.checkNames(names)
    for (const name of names) {
      this.connected.add(name)
      for (const other of this.present) {
        this.world.act({ type: "join", from: name, to: other })
        this.world.act({ type: "join", from: other, to: name })
      }
    }
  }
  /** Creates new servers, connected. They are members once the leader has been asked to add them. */
  add(...names: readonly string[]): void {
    for (const name of names) {
      this.world.act({ type: "add", name })
      this.join(name)
    }
  }
  /** Separates two sides that cannot reach each other; all servers are connected. */
  partition(side: readonly string[]): void {
    this.checkNames(side)
    this.heal()
    this.world.partition(side)
  }
  heal(): void {
    for (const name of this.names) this.connected.add(name)
    this.world.heal()
  }
  /** Disconnects and crashes servers; their disks keep what was durable. */
  crash(...names: readonly string[]): void {
    this.crashKeeping("random", ...names)
  }
  crashKeeping(keep: Keep, ...names: readonly string[]): void {
    this.cut(...names)
    for (const name of names) this.world.crash(name, keep)
  }
  /** Starts servers from their disks, not connected. */
  start(...names: readonly string[]): void {
    this.crash(...names)
    for (const name of names) this.world.start(name)
  }
  /** Crashes, starts and connects servers. */
  restart(...names: readonly string[]): void {
    this.start(...names)
    this.join(...names)
  }
  network(profile: NetworkProfile | NetworkName): void {
    this.world.network = profile
  }

  // -------------------------------------------------------------------------------------------- leaders

  /** The connected servers that claim to lead, by term. */
  private leaders(): ReadonlyMap<number, readonly string[]> {
    const byTerm = new Map<number, string[]>()
    for (const name of this.present) {
      const state = this.world.state(name)
      if (state?.role.type === "leader") byTerm.set(state.currentTerm, [...(byTerm.get(state.currentTerm) ?? []), name])
    }
    for (const [term, names] of byTerm) if (names.length > 1) this.fail(`${names.join(" and ")} lead term ${term}`)
    return byTerm
  }
  /** The connected leader of the latest term; fails if there is none within ten polls of half a second. */
  leader(): string {
    for (let i = 0; i < LEADER_POLLS; i++) {
      this.run(450 + this.world.random.below(100))
      const leaders = this.leaders()
      const name = leaders.get(Math.max(...leaders.keys()))?.[0]
      if (name !== undefined) return name
    }
    return this.fail("no leader")
  }
  /** The connected leader of the latest term at this moment. */
  leaderNow(): string | undefined {
    const leaders = this.leaders()
    return leaders.get(Math.max(...leaders.keys()))?.[0]
  }
  /** Fails if a connected server claims to lead. */
  nobodyLeads(): void {
    for (const [term, names] of this.leaders()) this.fail(`${names.join()} leads term ${term}, but no server should`)
  }
  /** Whether the server itself claims to lead. */
  leads(name: string): boolean {
    return this.world.state(name)?.role.type === "leader"
  }
  /** The term that all connected servers are in; fails if they disagree. */
  term(): number {
    const terms = new Set(this.present.filter((name) => this.isUp(name)).map((name) => this.state(name).currentTerm))
    const [term] = terms
    return terms.size === 1 && term !== undefined ? term : this.fail(`the terms differ: ${[...terms].join()}`)
  }

  // ------------------------------------------------------------------------------------------- commands

  /** Offers a command to one server; returns its index in the log, or null if that server does not lead. */
  offer(name: string, command: StoryCommand): { readonly index: number; readonly term: number } | null {
    const outcome = this.offered(name, command)
    const state = this.world.state(name)
    if (outcome?.type !== "ProposalAppended" || state === undefined) return null
    return { index: this.agreement.indexOf(state, outcome.first), term: outcome.term }
  }
  private offered(name: string, command: StoryCommand): Outcome | undefined {
    return this.world.outcomes.get(this.world.propose(name, [commandPayload(command)]))
  }
  /** A command that differs from all earlier ones. */
  fresh(bytes = COMMAND_BYTES): Payload {
    this.made += 1
    return { bytes: new Uint8Array(bytes), checksum: this.made }
  }
  /** How many of the servers that are up have executed command `index`, and what it is. */
  committed(index: number): { readonly count: number; readonly command: CommandEntry | undefined } {
    let count = 0
    for (const name of this.names) if (this.isUp(name) && this.agreement.executedBy(name) >= index) count += 1
    return { count, command: this.agreement.command(index) }
  }
  /** Waits until `by` servers have executed command `index`: returns it, or null if a server passes `term` first. */
  wait(index: number, by: number, term = Number.POSITIVE_INFINITY, limit = PATIENCE_MS): CommandEntry | null {
    const isThere = (): boolean => this.committed(index).count >= by
    const isOver = (): boolean => this.live.some((name) => this.state(name).currentTerm > term)
    this.runUntil(() => isThere() || isOver(), limit)
    if (isThere()) return this.agreement.command(index) ?? null
    return isOver() ? null : this.fail(`${this.committed(index).count} servers executed command ${index}, not ${by}`)
  }
  private isCommitted(index: number, command: Payload, by: number): boolean {
    const found = this.committed(index)
    return found.count >= by && found.command?.payload.checksum === command.checksum
  }
  /** Like `one`, for clients. */
  *agree(command: StoryCommand, by: number, retry = true): StoryWork<number> {
    const payload = commandPayload(command)
    const end = this.now + AGREEMENT_MS
    while (this.now < end) {
      const index = this.offerToAny(payload)
      if (index === null) {
        yield NO_LEADER_MS
        continue
      }
      for (const until = this.now + SUBMISSION_MS; this.now < until; yield POLL_MS)
        if (this.isCommitted(index, payload, by)) return index
      if (!retry) break
    }
    return this.fail(
      `${by} servers did not agree on ${typeof command === "object" ? "a command" : JSON.stringify(command)}`,
    )
  }
  private offerToAny(payload: Payload): number | null {
    for (let i = 0; i < this.names.length; i++) {
      this.nextServer = (this.nextServer + 1) % this.names.length
      const name = this.names[this.nextServer]
      if (name === undefined || !this.connected.has(name) || !this.isUp(name)) continue
      const offer = this.offer(name, payload)
      if (offer !== null) return offer.index
    }
    return null
  }
  /** Gets a command executed by `by` servers within 10 s; returns its index. Without retry, one attempt is made. */
  one(command: StoryCommand, by: number, retry = true): number {
    return this.do(this.agree(command, by, retry))
  }
  /** What a server has executed, oldest first. */
  executed(name: string): readonly CommandEntry[] {
    return this.agreement.commands.slice(0, this.agreement.executedBy(name))
  }
  /** For clients: proposes at a server, and waits for its answer. Followers forward if the settings say so. */
  *propose(name: string, command: StoryCommand, limit = SUBMISSION_MS): StoryWork<Outcome | "stopped" | "timeout"> {
    return yield* this.outcomeOf(name, this.world.propose(name, [commandPayload(command)]), this.now + limit)
  }
  /** For clients: proposes at a server, and waits there for the result. */
  *submit(name: string, command: StoryCommand, limit = SUBMISSION_MS): StoryWork<Submitted> {
    const end = this.now + limit
    const outcome = yield* this.propose(name, command, limit)
    if (typeof outcome === "string") return { type: "unknown", reason: outcome }
    if (outcome.type === "ProposalRefused")
      return { type: "refused", reason: outcome.reason, leader: outcome.leader?.name ?? null }
    if (outcome.type !== "ProposalAppended") return { type: "unknown", reason: "answer" }
    const { first, term } = outcome
    const node = this.world.node(name)
    const { boot } = node
    const gone = (): boolean => !this.isUp(name) || node.boot !== boot
    const there = (): boolean => node.position.index >= first
    // Another leader has truncated the entry here. It may still be in another log, but this server cannot know. (A
    // forwarded command may not have reached this log yet.)
    let held = false
    const replaced = (): boolean => {
      const log = this.world.state(name)?.log
      const here = log?.termAt(first)
      held ||= here === term
      return log !== undefined && log.base.index < first && here !== term && (held || here !== undefined)
    }
    if (!there()) yield { until: () => there() || gone() || replaced(), limit: Math.max(end - this.now, 0) }
    if (!there() && replaced()) return { type: "unknown", reason: "replaced" }
    if (!there()) return { type: "unknown", reason: gone() ? "stopped" : "timeout" }
    const executed = this.results.get(name)?.[first % KEPT_RESULTS]
    if (executed?.index !== first) return { type: "unknown", reason: "restored" }
    return executed.term === term
      ? { type: "executed", index: this.agreement.commandsThrough(first), result: executed.result }
      : { type: "unknown", reason: "replaced" }
  }
  /** For clients: waits until the state machine of a server may be read. */
  *read(name: string, limit = SUBMISSION_MS): StoryWork<ReadResult> {
    const outcome = yield* this.outcomeOf(name, this.world.read(name), this.now + limit)
    if (typeof outcome === "string") return { type: "unknown", reason: outcome }
    if (outcome.type === "ReadReady") return { type: "ready" }
    return {
      type: "refused",
      reason: outcome.type === "ReadRefused" ? outcome.reason : outcome.type,
      leader: outcome.type === "ReadRefused" ? (outcome.leader?.name ?? null) : null,
    }
  }
  private *outcomeOf(name: string, ref: number, end: number): StoryWork<Outcome | "stopped" | "timeout"> {
    const { outcomes } = this.world
    const { boot } = this.world.node(name)
    const gone = (): boolean => !this.isUp(name) || this.world.node(name).boot !== boot
    if (!outcomes.has(ref)) yield { until: () => outcomes.has(ref) || gone(), limit: Math.max(end - this.now, 0) }
    return outcomes.get(ref) ?? (gone() ? "stopped" : "timeout")
  }

  // ------------------------------------------------------------------------------------------- members

  /** For clients: asks the leader for these members until they are committed and no change is pending, at most 10 s. */
  *reconfigure(voters: readonly string[], learners: readonly string[] = []): StoryWork<void> {
    for (const end = this.now + AGREEMENT_MS; this.now < end; yield POLL_MS) {
      const leader = this.world.leader()?.name
      if (leader === undefined) continue
      if (this.hasMembers(leader, voters, learners)) return
      const strange = voters.filter(
        (name) =>
          !membersOf(configurationOf(this.state(leader))).some((member) =>
            sameMember(member, this.world.node(name).member),
          ),
      )
      // Refused while an earlier change is pending, perhaps this one, and until new voters have caught up.
      if (strange.length === 0) this.world.change(leader, voters, learners)
      else this.world.act({ type: "addLearners", node: leader, names: strange })
    }
    this.fail(`${voters.join()} did not become the voters, and ${learners.join() || "nobody"} the learners`)
  }
  private hasMembers(name: string, voters: readonly string[], learners: readonly string[]): boolean {
    const { configurations, commitIndex } = this.state(name)
    const last = configurations.at(-1)
    const same = (names: readonly string[], members: readonly Member[]): boolean =>
      names.length === members.length && members.every((member) => names.includes(member.name))
    return (
      last !== undefined &&
      last.index <= commitIndex &&
      last.configuration.outgoing.length === 0 &&
      same(voters, last.configuration.voters) &&
      same(learners, last.configuration.learners)
    )
  }
  /** Like `reconfigure`, for code outside of clients. */
  change(voters: readonly string[], learners: readonly string[] = []): void {
    this.do(this.reconfigure(voters, learners))
  }

  // --------------------------------------------------------------------------------------------- figures

  /** RPCs sent so far, to all servers or to one. */
  rpcs(to?: string): number {
    return this.meter.count({ kind: "request", ...(to === undefined ? {} : { to }) }).sent
  }
  /** Bytes sent so far, requests and replies. */
  bytes(): number {
    return this.meter.count().sentBytes
  }
  /** Bytes of log and hard state on a server's disk. */
  stateBytes(name: string): number {
    return storedBytes(this.world.node(name).disk)
  }
}

const NOWHERE = { index: 0, term: 0 }

/** A cluster of this many servers, all connected, before its first election. */
export const cluster = (servers: number, options: ClusterOptions = {}): Cluster => new Cluster(servers, options)
