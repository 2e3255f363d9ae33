/**
 * A service over a log that loses, delays, doubles and overwrites, with the real state machine. The test controls time.
 * `Faulty` is what happens to one proposal.
 */
import { vi } from "vitest"
import {
  Log,
  type Entry,
  type Index,
  type Member,
  type Payload,
  type ProposalOutcome,
  type ProposalRefusal,
  type ReadOutcome,
  type State,
} from "../core/index.ts"
import type { DriverLeadership } from "../interpreters/driver/driver.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { encodeCommand, MemoryMachine } from "../kv/machine/index.ts"
import { makeService, type RunningService, type ServiceDriver, type ServiceSettings } from "../kv/service/index.ts"
import { realSurroundings } from "../interpreters/surroundings.ts"
import { parseSessionKey } from "../kv/sessionKey.ts"
import type { Command, NodeStatus, Reply, SessionKey } from "../kv/types.ts"

export type Faulty =
  | "append"
  /** Appended, but the answer is lost on the way. */
  | "appendUnknown"
  /** The same, and nobody reports it until a leader change. */
  | "appendSilent"
  /** Appended, and reported only after a while: perhaps when it was executed already. */
  | "appendTold"
  | "appendTwice"
  | "drop"
  | "dropSilent"
  /** Reported as lost, but it arrives much later. */
  | "late"
  | ProposalRefusal

interface Proposal {
  readonly payloads: readonly Payload[]
  readonly done: (outcome: ProposalOutcome) => void
}
const self: Member = { name: "n1", incarnation: "i1" }
const others: readonly Member[] = [
  { name: "n2", incarnation: "i2" },
  { name: "n3", incarnation: "i3" },
]
const nobody = { voters: [], outgoing: [], learners: [] }

export class FakeWorld {
  readonly machine: MemoryMachine
  /** Executes everything, for comparison; never used by the service. */
  readonly truth: MemoryMachine
  readonly service: RunningService
  entries: Entry[] = []
  commit = 0
  proposals: Proposal[] = []
  silent: Proposal[] = []
  late: (readonly Payload[])[] = []
  untold: (() => void)[] = []
  /**
   * The places of others' commands; and, by sequence, the places where commands of clients' sessions that this node
   * proposed were not executed.
   */
  private readonly foreignAt = new Set<number>()
  readonly ownRefused = new Map<number, number[]>()
  reads: ((outcome: ReadOutcome) => void)[] = []
  proposed = 0
  leadership: DriverLeadership = { role: "follower", term: 1, leader: null }
  time = 0
  private applied = 0
  /** This node's log starts after this. */
  private base = 0
  private readonly turns: (() => void)[] = []
  private readonly changes: ((now: DriverLeadership) => void)[] = []
  private readonly appliers: ((index: Index) => void)[] = []

  constructor(settings: Partial<ServiceSettings> = {}, sessionIdle = 3_600_000, log?: (message: string) => void) {
    this.machine = new MemoryMachine(sessionIdle)
    this.truth = new MemoryMachine(sessionIdle)
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] })
    const driver: ServiceDriver = {
      propose: (payloads, done) => {
        this.proposed += payloads.length
        this.proposals.push({ payloads, done })
      },
      read: (done) => this.reads.push(done),
      wake: () => {},
      leadership: () => this.leadership,
      beforeTurn: (listener) => this.turns.push(listener),
      onChange: (listener) => this.changes.push(listener),
      onApplied: (listener) => this.appliers.push(listener),
    }
    this.service = makeService({
      driver: {
        ...driver,
        replicatedTime: () => this.time,
        state: () =>
          ({
            log: Log.of(
              {
                index: this.base,
                term: this.entries[this.base - 1]?.term ?? 0,
                time: 0,
                chain: 0,
                configuration: nobody,
              },
              this.entries.slice(this.base),
            ),
            clock: { time: this.time, at: 0, monotonic: 0 },
          }) as unknown as State,
      },
      machine: this.machine,
      owner: "node:n1:i1",
      settings,
      ...(log === undefined ? {} : { log }),
      status: () => ({}) as NodeStatus,
      leader: () => null,
      surroundings: { ...realSurroundings, now: () => this.time },
    })
  }

  private append(payloads: readonly Payload[]): number {
    const first = this.entries.length + 1
    payloads.forEach((payload, i) =>
      this.entries.push({
        kind: "command",
        index: first + i,
        term: this.leadership.term,
        time: this.time,
        chain: 0,
        payload,
      }),
    )
    return first
  }

  /** One turn of the driver: waiting commands are proposed. */
  turn(): void {
    for (const turn of this.turns) turn()
  }
  advance(millis: number): void {
    this.time += millis
    for (const tell of this.untold.splice(0)) tell()
    vi.advanceTimersByTime(millis)
    this.turn()
  }
  /** Something happens to the oldest open proposal. */
  meet(what: Faulty): void {
    const proposal = this.proposals.shift()
    if (proposal === undefined) return
    const { payloads, done } = proposal
    const { leader, term } = this.leadership
    if (leader === null) return done({ type: "ProposalRefused", reason: "noLeader", leader })
    switch (what) {
      case "append":
        return done({ type: "ProposalAppended", first: this.append(payloads), term })
      case "appendTold": {
        const first = this.append(payloads)
        this.untold.push(() => done({ type: "ProposalAppended", first, term }))
        return
      }
      case "appendTwice": {
        const first = this.append(payloads)
        this.append(payloads)
        return done({ type: "ProposalAppended", first, term })
      }
      case "appendUnknown":
        this.append(payloads)
        return done({ type: "ProposalUnknown", leader })
      case "appendSilent":
        this.append(payloads)
        this.silent.push(proposal)
        return
      case "drop":
        return done({ type: "ProposalUnknown", leader })
      case "dropSilent":
        this.silent.push(proposal)
        return
      case "late":
        this.late.push(payloads)
        return done({ type: "ProposalUnknown", leader })
      case "notLeader":
      case "noLeader":
      case "busy":
      case "tooLarge":
      case "spaceLow":
      case "exhausted":
      case "transferring":
      case "notReady":
      case "changePending":
      case "invalidChange":
        return done({ type: "ProposalRefused", reason: what, leader })
    }
  }
  /** A command of another client, through another node. */
  foreign(command: Command): number {
    const index = this.append([payloadOf(encodeCommand(command))])
    this.foreignAt.add(index)
    return index
  }
  /** A proposal that was reported lost reaches the leader. */
  arriveLate(): void {
    const payloads = this.late.shift()
    if (payloads !== undefined && this.leadership.leader !== null) this.append(payloads)
  }
  commitSome(count: number): void {
    const to = Math.min(this.entries.length, this.commit + count)
    for (const told of this.truth.applyNow(this.entries.slice(this.commit, to))) {
      if (told.type !== "replied" || told.secret === null || told.executed || this.foreignAt.has(told.index)) continue
      this.ownRefused.set(told.sequence, [...(this.ownRefused.get(told.sequence) ?? []), told.index])
    }
    this.commit = to
  }
  applySome(count: number): void {
    const to = Math.min(this.commit, this.applied + count)
    if (to === this.applied) return
    this.machine.applyNow(this.entries.slice(this.applied, to))
    this.applied = to
    for (const listener of this.appliers) listener(to)
  }
  /**
   * A snapshot of the leader replaces this node's state and the start of its log: the entries in between are never
   * reported.
   */
  restore(): void {
    if (this.applied === this.commit) return
    this.base = this.commit
    this.applied = this.commit
    this.machine.restoreNow([this.truth.imageNow()])
  }
  /** A snapshot of this node's own: executed entries need not stay in the log. */
  trim(): void {
    this.base = Math.max(this.base, this.applied)
  }
  /** `lost`: how many uncommitted entries the new leader does not have. */
  elect(who: number | null, lost: number): void {
    const kept = Math.max(this.commit, this.entries.length - lost)
    this.entries = this.entries.slice(0, kept)
    for (const index of this.foreignAt) if (index > kept) this.foreignAt.delete(index)
    const term = this.leadership.term + 1
    const leader = who === null ? null : ([self, ...others][who % 3] ?? null)
    this.leadership = { role: leader === self ? "leader" : "follower", term, leader }
    if (leader !== null) this.entries.push({ kind: "noop", index: kept + 1, term, time: this.time, chain: 0 })
    const silent = this.silent
    this.silent = []
    for (const proposal of silent) proposal.done({ type: "ProposalUnknown", leader })
    for (const listener of this.changes) listener(this.leadership)
  }
  /** No faults from here on, for so long, under this leader: 0 is the node itself. */
  heal(millis: number, who = 1): void {
    this.elect(who, 0)
    for (let passed = 0; passed < millis; passed += 10) {
      while (this.late.length > 0) this.arriveLate()
      while (this.proposals.length > 0) this.meet("append")
      this.commitSome(Number.POSITIVE_INFINITY)
      this.applySome(Number.POSITIVE_INFINITY)
      this.answerReads({ type: "ReadReady", index: this.commit })
      this.advance(10)
    }
  }
  answerReads(outcome: ReadOutcome): void {
    const reads = this.reads
    this.reads = []
    for (const done of reads) done(outcome)
  }
  /** Whether commands in the session would be executed, in truth. */
  isOpen({ id, secret }: SessionKey): boolean {
    return this.truth.replyOf(id, secret, 1).type !== "expired"
  }
  /** The value of a key, in truth. */
  value(key: string): string {
    const reply = this.truth.read([Buffer.from("GET"), Buffer.from(key)])
    return reply.type === "bulk" ? Buffer.from(reply.bytes).toString() : ""
  }
  end(): void {
    this.service.stop()
    vi.useRealTimers()
  }
}

export const call = (...words: string[]): Buffer[] => words.map((word) => Buffer.from(word))
/** The reply to an opening; null: an error. */
export const keyIn = (reply: Reply): SessionKey | null =>
  reply.type === "bulk" ? parseSessionKey(Buffer.from(reply.bytes).toString()) : null
/** A session that nobody has opened. */
export const noSession: SessionKey = { id: 0, secret: new Uint8Array(16) }
export const codeOf = (reply: Reply | undefined): string | null => (reply?.type === "error" ? reply.code : null)
