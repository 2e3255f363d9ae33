/**
 * Clients of the key-value service in a simulated world: sessions, one operation at a time, tried again at one server
 * after another until its reply is there; or given up, and then nobody knows. What they ask and see is recorded.
 *
 * A client is a generator that yields what it waits for, in virtual time: a Cluster, or whoever drives the world, drives it.
 */
import type { Outcome, Payload } from "../../core/index.ts"
import { payloadOf } from "../../interpreters/bytes.ts"
import type { Work, World, WorldHooks } from "../../interpreters/simulation/index.ts"
import { encodeCommand } from "../machine/index.ts"
import { hexOf } from "../sessionKey.ts"
import type { Call, Command, Reply, SessionKey } from "../types.ts"
import { KvWorldMachine, kvWorldMachine, simulatedSecret, type KvResult } from "./machine.ts"

/** Between a client and the servers. */
export interface ClientNetwork {
  readonly hop: number
  /** Requests and replies that are lost. */
  readonly lossPermille: number
  /** How long a client waits for an answer before it tries another server. */
  readonly patience: number
}
export const goodNetwork: ClientNetwork = { hop: 1, lossPermille: 0, patience: 400 }

/** What a server answered; null: it did not, or the answer was lost. */
type Answer = { readonly type: "reply"; readonly reply: Reply } | { readonly type: "refused" } | null

const encode = (command: Command): Payload => payloadOf(encodeCommand(command))

const keyOf = (node: string, session: number, sequence: number): string => `${node} ${session} ${sequence}`

/** The service's side: what each server tells its clients. One for each world, its hooks given to it. */
export class KvService {
  /** Replies as each server executed them, for as long as somebody waits. */
  private readonly replies = new Map<string, Reply | null>()
  private readonly opened = new Map<string, number | null>()
  private readonly outcomes = new Map<number, Outcome | null>()
  private readonly reads = new Map<number, { readonly call: Call; reply: Reply | null }>()
  private world: World | null = null

  /** Of the world that this serves; `then` gets its hooks too. */
  hooks(then: WorldHooks = {}): WorldHooks {
    return {
      ...then,
      machine: kvWorldMachine(),
      applied: (node, entries, results) => {
        for (const result of results as readonly KvResult[]) this.note(node, result)
        then.applied?.(node, entries, results)
      },
      responded: (node, ref, outcome) => {
        if (this.outcomes.has(ref)) this.outcomes.set(ref, outcome)
        const read = this.reads.get(ref)
        // At this moment the state machine holds all that was acknowledged before the read was asked for.
        if (read !== undefined && outcome.type === "ReadReady") read.reply = this.machine(node).memory.read(read.call)
        then.responded?.(node, ref, outcome)
      },
    }
  }
  attach(world: World): void {
    this.world = world
  }
  private get there(): World {
    if (this.world === null) throw new Error("the service is attached to no world")
    return this.world
  }
  machine(node: string): KvWorldMachine {
    const { machine } = this.there.node(node)
    if (machine instanceof KvWorldMachine) return machine
    throw new Error(`${node} runs another state machine`)
  }
  private note(node: string, result: KvResult): void {
    if (result?.type === "replied") {
      const key = keyOf(node, result.session, result.sequence)
      if (this.replies.has(key)) this.replies.set(key, result.reply)
    } else if (result?.type === "opened") {
      const key = `${node} ${hexOf(result.secret)}`
      if (this.opened.has(key)) this.opened.set(key, result.session)
    }
  }

  private *until(end: number, done: () => boolean): Work<void> {
    if (!done()) yield { until: done, limit: Math.max(0, end - this.there.now) }
  }
  /** Proposes at the server and waits until it has executed what came of it. */
  private *propose(node: string, command: Command, executed: () => boolean, end: number): Work<"executed" | "refused" | "late"> {
    const world = this.there
    const { life } = world.node(node)
    const ref = world.propose(node, [encode(command)])
    this.outcomes.set(ref, world.outcomes.get(ref) ?? null)
    const refused = (): boolean => this.outcomes.get(ref)?.type === "ProposalRefused"
    const gone = (): boolean => world.state(node) === undefined || world.node(node).life !== life
    yield* this.until(end, () => executed() || refused() || gone())
    const was = executed() ? "executed" : refused() ? "refused" : "late"
    this.outcomes.delete(ref)
    return was
  }
  *execute(node: string, { id: session, secret }: SessionKey, sequence: number, call: Call, end: number): Work<Answer> {
    const key = keyOf(node, session, sequence)
    this.replies.set(key, null)
    const command: Command = { type: "Execute", session, secret, sequence, lowest: sequence, exec: false, watches: [], calls: [call] }
    const was = yield* this.propose(node, command, () => this.replies.get(key) !== null, end)
    const reply = this.replies.get(key) ?? null
    this.replies.delete(key)
    return reply !== null ? { type: "reply", reply } : was === "refused" ? { type: "refused" } : null
  }
  *open(node: string, owner: string, secret: Uint8Array, end: number): Work<SessionKey | null> {
    const key = `${node} ${hexOf(secret)}`
    this.opened.set(key, null)
    yield* this.propose(node, { type: "OpenSession", owner, secret }, () => this.opened.get(key) !== null, end)
    const session = this.opened.get(key) ?? null
    this.opened.delete(key)
    return session === null ? null : { id: session, secret }
  }
  *read(node: string, call: Call, end: number): Work<Answer> {
    const world = this.there
    const waiting: { readonly call: Call; reply: Reply | null } = { call, reply: null }
    // The ref is the world's next one: an answer can come before `read` returns.
    const ref = world.data.refs + 1
    this.reads.set(ref, waiting)
    this.outcomes.set(ref, null)
    world.read(node)
    const { life } = world.node(node)
    const refused = (): boolean => this.outcomes.get(ref)?.type === "ReadRefused"
    yield* this.until(end, () => waiting.reply !== null || refused() || world.state(node) === undefined || world.node(node).life !== life)
    const was = refused()
    this.reads.delete(ref)
    this.outcomes.delete(ref)
    return waiting.reply !== null ? { type: "reply", reply: waiting.reply } : was ? { type: "refused" } : null
  }
}

export interface KvClientOptions {
  readonly name: string
  readonly service: KvService
  readonly world: World
  /** Whom it may ask; asked anew for every try. */
  readonly servers: () => readonly string[]
  readonly network?: () => ClientNetwork
  /** Milliseconds until an operation is given up, its outcome unknown. Default: never. */
  readonly giveUp?: number
}
/** null: given up. */
export type Got = Reply | null

/** The service answered something that no client of ours should see. */
export class KvAnswerWrong extends Error {
  override readonly name = "KvAnswerWrong"
}

export class KvClient {
  private readonly options: KvClientOptions
  private session: SessionKey | null = null
  private sequence = 0
  private openings = 0
  private at: number
  constructor(options: KvClientOptions) {
    this.options = options
    this.at = options.world.random.below(64)
  }
  private get net(): ClientNetwork {
    return this.options.network?.() ?? goodNetwork
  }

  /** One try at one server: a request, its execution there, a reply; each may be lost. */
  private *attempt(ask: (node: string, end: number) => Work<Answer>): Work<Answer> {
    const { world, servers } = this.options
    const { hop, lossPermille, patience } = this.net
    const end = world.now + patience
    const names = servers()
    const node = names[this.at % Math.max(names.length, 1)]
    const next = (): void => {
      this.at += 1
    }
    yield hop
    if (node === undefined || world.state(node) === undefined) {
      next()
      yield 20
      return null
    }
    if (world.random.chance(lossPermille)) {
      yield patience
      return null
    }
    const answer = yield* ask(node, end)
    if (answer === null || answer.type === "refused") {
      next()
      yield 10
      return null
    }
    if (world.random.chance(lossPermille)) {
      yield Math.max(1, end - world.now)
      return null
    }
    yield hop
    return answer
  }
  private *retry(ask: (node: string, end: number) => Work<Answer>): Work<Got> {
    const { world, giveUp = Number.POSITIVE_INFINITY } = this.options
    for (const end = world.now + giveUp; world.now < end; ) {
      const answer = yield* this.attempt(ask)
      if (answer?.type === "reply") return answer.reply
    }
    return null
  }
  private *opened(): Work<SessionKey | null> {
    if (this.session !== null) return this.session
    const { name, service } = this.options
    const secret = simulatedSecret(`${name}.${this.openings}`)
    const reply = yield* this.retry(function* (node, end) {
      const session = yield* service.open(node, name, secret, end)
      return session === null ? null : { type: "reply", reply: { type: "integer", value: session.id } }
    })
    if (reply?.type === "integer") this.session = { id: Number(reply.value), secret }
    return this.session
  }

  /** Exactly once, or given up: then it may have happened, or may still happen until the next session is open. */
  *write(...words: readonly string[]): Work<Got> {
    const session = yield* this.opened()
    if (session === null) return null
    const call = words.map((word) => Buffer.from(word))
    const sequence = this.sequence + 1
    const { service } = this.options
    const reply = yield* this.retry((node, end) => service.execute(node, session, sequence, call, end))
    if (reply === null) {
      // A sequence number may not be used for something else: the next operation begins a new session.
      this.session = null
      this.sequence = 0
      this.openings += 1
      return null
    }
    if (reply.type === "error") throw new KvAnswerWrong(`${words.join(" ")}: ${reply.code} ${reply.text}`)
    this.sequence = sequence
    return reply
  }
  /** Linearizable. */
  *read(...words: readonly string[]): Work<Got> {
    const call = words.map((word) => Buffer.from(word))
    const { service } = this.options
    return yield* this.retry((node, end) => service.read(node, call, end))
  }
}

export const textOf = (reply: Reply): string | null => {
  switch (reply.type) {
    case "bulk":
      return Buffer.from(reply.bytes).toString()
    case "integer":
      return String(reply.value)
    case "simple":
      return reply.text
    case "null":
      return null
    case "error":
    case "array":
    case "map":
      throw new KvAnswerWrong(`a ${reply.type} where a value should be`)
  }
}
