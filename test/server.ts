/**
 * One server over the pure interface, for tests that read as sentences: give it a past, let something happen, check
 * what it does. Its disk and its state machine answer at once unless `slow`; then `persisted()` and `applied()` do.
 */
import {
  configurationOf,
  defaultSettings,
  initialState,
  membersOf,
  stepAll,
  type Configuration,
  type Effect,
  type EffectType,
  type Entry,
  type Event,
  type LogBase,
  type Member,
  type Message,
  type MessageType,
  type Outcome,
  type Payload,
  type Progress,
  type Settings,
  type SnapshotRef,
  type State,
  type Timer,
} from "../core/index.ts"
import { chained } from "./chained.ts"

export type MessageOf<T extends MessageType> = Extract<Message, { readonly type: T }>
export type EffectOf<T extends EffectType> = Extract<Effect, { readonly type: T }>

export const member = (name: string, incarnation = "1"): Member => ({ name, incarnation })
export const members = (names: string): readonly Member[] => Array.from(names, (name) => member(name))
/** `voting("abc")`, or joint: `voting("abc", "cde")`. */
export const voting = (voters: string, outgoing = ""): Configuration => ({
  voters: members(voters),
  outgoing: members(outgoing),
  learners: [],
})
export const payload = (id = 1, size = 10): Payload => ({ bytes: new Uint8Array(size), checksum: id })

/** Commands of these terms, one after the other from `first` on. */
export const entries = (first: number, terms: readonly number[], size = 10): readonly Entry[] =>
  chained(
    terms.map((term, i) => ({
      kind: "command",
      index: first + i,
      term,
      time: 0,
      payload: payload((first + i) * 100 + term, size),
    })),
  )

/** Completed for the receiving server: as if the sender's log were its own, as far as index and term agree. */
const UNSEALED = Number.NaN
/** For a log whose entries through `index` all have one term. */
const chainThrough = (index: number, term: number): number =>
  index > 100
    ? 0
    : (entries(
        1,
        Array.from({ length: index }, () => term),
      ).at(-1)?.chain ?? 0)
const chainIn = ({ log }: State, index: number, term: number): number => log.chainAt(index) ?? chainThrough(index, term)
const sealedBase = <B extends LogBase>(state: State, base: B): B =>
  Number.isNaN(base.chain) ? { ...base, chain: chainIn(state, base.index, base.term) } : base
const sealedMessage = (state: State, message: Message): Message => {
  if (message.type === "AppendEntries" && Number.isNaN(message.prevLogChain)) {
    const prevLogChain = chainIn(state, message.prevLogIndex, message.prevLogTerm)
    return { ...message, prevLogChain, entries: chained(message.entries, prevLogChain) }
  }
  if (message.type === "AppendAccepted" && Number.isNaN(message.verifiedChain))
    return { ...message, verifiedChain: state.log.chainAt(message.verifiedIndex) ?? 0 }
  return message.type === "InstallSnapshot" ? { ...message, snapshot: sealedBase(state, message.snapshot) } : message
}
const sealed = (state: State, event: Event): Event => {
  if (event.type === "MessageReceived") return { ...event, message: sealedMessage(state, event.message) }
  if (event.type === "SnapshotTaken") return { ...event, base: sealedBase(state, event.base) }
  return event.type === "SnapshotOpened" || event.type === "SnapshotRestored"
    ? { ...event, snapshot: sealedBase(state, event.snapshot) }
    : event
}

export interface Given {
  readonly name?: string
  readonly voters?: string
  readonly configuration?: Configuration
  readonly term?: number
  readonly vote?: string | null
  /** Terms of the entries after the base. */
  readonly log?: readonly number[]
  readonly size?: number
  readonly base?: { readonly index: number; readonly term: number; readonly chain?: number }
  /**
   * The index through which the state machine has executed (and so the server knows as committed); null: the state
   * machine is lost.
   */
  readonly applied?: number | { readonly index: number; readonly term: number } | null
  readonly bootId?: number
  readonly slow?: boolean
  readonly settings?: Partial<Settings>
}

/** The terms of a whole log, or of a message's entries. */
export const termsOf = (list: readonly Entry[]): readonly number[] => list.map((entry) => entry.term)

export class Server {
  state: State
  /** The effects of the last event. */
  effects: readonly Effect[] = []
  readonly slow: boolean
  private nextRef = 1

  constructor(given: Given) {
    const {
      name = "a",
      voters = "abc",
      term = 1,
      vote = null,
      log = [],
      size = 10,
      base = { index: 0, term: 0 },
      applied = base.index,
    } = given
    const configuration = given.configuration ?? voting(voters)
    const start = base.chain ?? chainThrough(base.index, base.term)
    const held = chained(entries(base.index + 1, log, size), start)
    const position = (at: { readonly index: number; readonly term: number }): LogBase => ({
      ...at,
      time: 0,
      chain:
        at.index === base.index ? start : (held[at.index - base.index - 1]?.chain ?? chainThrough(at.index, at.term)),
      configuration,
    })
    const termAt = (index: number): number =>
      index === base.index ? base.term : (log[index - base.index - 1] ?? base.term)
    this.slow = given.slow ?? false
    this.state = initialState(
      { ...defaultSettings, ...given.settings },
      {
        self: member(name),
        bootId: given.bootId ?? 7,
        hardState: { term, vote: vote === null ? null : member(vote) },
        base: position(base),
        entries: held,
        position:
          applied === null
            ? null
            : position(typeof applied === "number" ? { index: applied, term: termAt(applied) } : applied),
      },
    )
  }

  /** All events as one batch. */
  happens(...events: readonly Event[]): this {
    this.effects = []
    this.run(events.map((event) => sealed(this.state, event)))
    return this
  }
  private run(events: readonly Event[]): void {
    const [state, effects] = stepAll(this.state, events)
    this.state = state
    this.effects = [...this.effects, ...effects]
    if (this.slow) return
    for (const effect of effects) {
      if (effect.type === "Persist") this.run([{ type: "Persisted", seq: effect.seq }])
      if (effect.type === "Apply") this.run([{ type: "Applied", index: effect.entries.at(-1)?.index ?? 0 }])
    }
  }

  expire(timer: Timer): this {
    return this.happens({ type: "TimerExpired", timer })
  }
  receive(from: string | Member, ...messages: readonly Message[]): this {
    const sender = typeof from === "string" ? member(from) : from
    return this.happens(...messages.map((message): Event => ({ type: "MessageReceived", from: sender, message })))
  }
  /** Returns the ref of the outcome. */
  propose(...payloads: readonly Payload[]): number {
    const ref = this.nextRef++
    this.happens({ type: "Proposed", ref, payloads: payloads.length === 0 ? [payload()] : payloads })
    return ref
  }
  read(): number {
    const ref = this.nextRef++
    this.happens({ type: "ReadRequested", ref })
    return ref
  }
  /** The oldest outstanding Persist completes, or `count` of them; without an argument, all. */
  persisted(count = Number.POSITIVE_INFINITY): this {
    this.effects = []
    for (let i = 0; i < count; i++) {
      const oldest = this.state.durability.outstanding[0]
      if (oldest === undefined) break
      this.run([{ type: "Persisted", seq: oldest.seq }])
    }
    return this
  }
  applied(): this {
    return this.happens({ type: "Applied", index: this.state.applying })
  }

  /** Wins an election of the next term with the votes of everybody. */
  elect(): this {
    const others = membersOf(configurationOf(this.state)).filter(({ name }) => name !== this.state.self.name)
    this.expire("election")
    if (this.state.role.type === "follower") this.expire("election")
    if (this.state.role.type === "preCandidate")
      this.each(others, { type: "RequestPreVoteReply", term: this.term + 1, granted: true })
    let effects = this.effects
    while (this.slow && this.state.durability.outstanding.length > 0)
      effects = [...effects, ...this.persisted().effects]
    if (this.state.role.type === "candidate")
      effects = [...effects, ...this.each(others, voteReply(this.term, true)).effects]
    this.effects = effects
    if (this.state.role.type !== "leader") throw new Error(`${this.state.self.name} was not elected`)
    return this
  }
  private each(from: readonly Member[], message: Message): this {
    let effects = this.effects
    for (const sender of from) effects = [...effects, ...this.receive(sender, message).effects]
    this.effects = effects
    return this
  }

  get term(): number {
    return this.state.currentTerm
  }
  get role(): State["role"]["type"] {
    return this.state.role.type
  }
  get vote(): string | null {
    return this.state.votedFor?.name ?? null
  }
  get log(): readonly number[] {
    return termsOf(this.state.log.toArray())
  }
  get commit(): number {
    return this.state.commitIndex
  }
  get leader(): string | null {
    return this.state.role.type === "follower" ? (this.state.role.leader?.name ?? null) : null
  }
  progress(name: string): Progress {
    const progress = this.state.role.type === "leader" ? this.state.role.progress[name] : undefined
    if (progress === undefined) throw new Error(`no progress of ${name}: ${this.role}`)
    return progress
  }

  /** Effects of the last event, of one type. */
  did<T extends EffectType>(type: T): readonly EffectOf<T>[] {
    return this.effects.filter((effect): effect is EffectOf<T> => effect.type === type)
  }
  sent<T extends MessageType>(type: T, to?: string): readonly MessageOf<T>[] {
    return this.did("Send")
      .filter((effect) => to === undefined || effect.to.name === to)
      .map(({ message }) => message)
      .filter((message): message is MessageOf<T> => message.type === type)
  }
  /** The last message of that type, which must exist. */
  last<T extends MessageType>(type: T, to?: string): MessageOf<T> {
    const message = this.sent(type, to).at(-1)
    if (message === undefined)
      throw new Error(
        `no ${type} was sent; but ${
          this.did("Send")
            .map((effect) => effect.message.type)
            .join() || "nothing"
        } was`,
      )
    return message
  }
  receivers(type: MessageType): string {
    return this.did("Send")
      .filter(({ message }) => message.type === type)
      .map(({ to }) => to.name)
      .join("")
  }
  outcome(ref: number): Outcome | undefined {
    return this.did("Respond").find((effect) => effect.ref === ref)?.outcome
  }
  noted(rule: EffectOf<"Note">["rule"]): boolean {
    return this.did("Note").some((effect) => effect.rule === rule)
  }
  /** The last setting of the timer, or null if it was not set. */
  timer(timer: Timer): { readonly min: number; readonly max: number } | null {
    const set = this.did("SetTimer").findLast((effect) => effect.timer === timer)
    return set === undefined ? null : { min: set.min, max: set.max }
  }
}

export const server = (given: Given = {}): Server => new Server(given)
/** A server that follows `b` in its term. */
export const follower = (given: Given = {}): Server => {
  const it = server(given)
  it.receive("b", append({ term: it.term }))
  return it
}
/** A server that has just won an election: the log of `given`, then its no-op. */
export const leader = (given: Given = {}): Server => server(given).elect()

// -------------------------------------------------------------------------------------- messages, with defaults

export const append = (
  over: {
    readonly term?: number
    readonly prev?: readonly [index: number, term: number]
    readonly entries?: readonly number[]
    readonly size?: number
    readonly commit?: number
    readonly round?: number
  } = {},
): MessageOf<"AppendEntries"> => {
  const [prevLogIndex, prevLogTerm] = over.prev ?? [0, 0]
  return {
    type: "AppendEntries",
    term: over.term ?? 1,
    prevLogIndex,
    prevLogTerm,
    prevLogChain: UNSEALED,
    entries: entries(prevLogIndex + 1, over.entries ?? [], over.size),
    leaderCommit: over.commit ?? 0,
    round: over.round ?? 0,
    time: 0,
    settled: false,
  }
}
export const accepted = (
  index: number,
  over: Partial<MessageOf<"AppendAccepted">> = {},
): MessageOf<"AppendAccepted"> => ({
  type: "AppendAccepted",
  term: 2,
  verifiedIndex: index,
  verifiedChain: UNSEALED,
  matchIndex: index,
  round: 0,
  condition: "ready",
  wall: 0,
  leaderTime: 0,
  ...over,
})
export const rejected = (
  prevLogIndex: number,
  conflictTerm: number,
  conflictIndex: number,
  over: Partial<MessageOf<"AppendRejected">> = {},
): MessageOf<"AppendRejected"> => ({
  type: "AppendRejected",
  term: 2,
  prevLogIndex,
  conflictTerm,
  conflictIndex,
  round: 0,
  ...over,
})
export const requestVote = (
  term: number,
  [lastLogIndex, lastLogTerm]: readonly [number, number] = [0, 0],
  transfer = false,
): MessageOf<"RequestVote"> => ({ type: "RequestVote", term, lastLogIndex, lastLogTerm, transfer })
export const requestPreVote = (
  term: number,
  [lastLogIndex, lastLogTerm]: readonly [number, number] = [0, 0],
): MessageOf<"RequestPreVote"> => ({ type: "RequestPreVote", term, lastLogIndex, lastLogTerm })
export const voteReply = (term: number, granted: boolean): MessageOf<"RequestVoteReply"> => ({
  type: "RequestVoteReply",
  term,
  granted,
  wall: 0,
  time: 0,
})
export const preVoteReply = (term: number, granted: boolean): MessageOf<"RequestPreVoteReply"> => ({
  type: "RequestPreVoteReply",
  term,
  granted,
})

export const snapshotAt = (
  index: number,
  term: number,
  id = `s${index}`,
  configuration = voting("abc"),
): SnapshotRef => ({ id, index, term, time: 0, chain: UNSEALED, configuration })
export const install = (
  snapshot: SnapshotRef,
  offset: number,
  last: boolean,
  over: Partial<MessageOf<"InstallSnapshot">> = {},
): MessageOf<"InstallSnapshot"> => ({
  type: "InstallSnapshot",
  term: 1,
  snapshot,
  offset,
  length: 1,
  last,
  round: 0,
  ...over,
})
export const installReply = (
  id: string,
  status: MessageOf<"InstallSnapshotReply">["status"],
  nextOffset = 0,
  over: Partial<MessageOf<"InstallSnapshotReply">> = {},
): MessageOf<"InstallSnapshotReply"> => ({
  type: "InstallSnapshotReply",
  term: 2,
  id,
  round: 0,
  status,
  nextOffset,
  ...over,
})

/** One of each type that carries a term somebody has. */
export const everyMessageOf = (term: number): readonly Message[] => [
  requestVote(term),
  voteReply(term, false),
  preVoteReply(term, false),
  append({ term }),
  accepted(0, { term }),
  rejected(0, 0, 1, { term }),
  install(snapshotAt(5, 1), 0, false, { term }),
  installReply("s", "more", 0, { term }),
  { type: "ReadIndex", term, bootId: 1, number: 1 },
  { type: "ReadIndexReply", term, bootId: 1, number: 1, readIndex: null },
  { type: "ForwardProposal", term, ref: 1, bootId: 1, payloads: [] },
  { type: "ForwardProposalReply", term, ref: 1, bootId: 1, outcome: { type: "ProposalUnknown", leader: null } },
  { type: "TimeoutNow", term },
]
