/**
 * The real client and the real service of three nodes over one log, step by step in virtual time: copies of two writes meet,
 * and the client meets nodes that have not executed them yet.
 */
import { afterEach, beforeEach, expect, test } from "vitest"
import { Log, type Entry, type Member, type Payload, type ProposalOutcome, type State } from "../core/index.ts"
import { makeCore, type Core } from "../kv/client/core.ts"
import type { NodeConnection, ConnectionEvents, Dial } from "../kv/client/connection.ts"
import { isReply, type ReplyOrError } from "../kv/client/operation.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { makeService, type RunningService } from "../kv/service/index.ts"
import { parseSessionKey } from "../kv/sessionKey.ts"
import type { NodeStatus, Reply } from "../kv/types.ts"
import { surroundingsIn, Time, wordsOf } from "./client.virtual.ts"

const leader: Member = { name: "n0", incarnation: "i" }
const nobody = { voters: [], outgoing: [], learners: [] }

interface Proposal {
  readonly payloads: readonly Payload[]
  readonly done: (outcome: ProposalOutcome) => void
}

/** Nothing happens to proposals, and nothing is executed, unless the story says so. */
class Node {
  readonly machine = new MemoryMachine()
  readonly service: RunningService
  readonly proposals: Proposal[] = []
  /** Requests of clients that have no answer. */
  asked: string[] = []
  applied = 0
  private readonly turns: (() => void)[] = []
  private readonly appliers: ((index: number) => void)[] = []
  private readonly connections = new Set<ConnectionEvents>()
  private readonly log: Entry[]
  private readonly time: Time
  constructor(name: string, log: Entry[], time: Time) {
    this.log = log
    this.time = time
    const turn = (): void => {
      for (const each of this.turns) each()
    }
    this.service = makeService({
      driver: {
        propose: (payloads, done) => void this.proposals.push({ payloads, done }),
        read: () => {},
        wake: () => void time.after(0, turn),
        leadership: () => ({ role: name === leader.name ? "leader" : "follower", term: 1, leader }),
        beforeTurn: (listener) => this.turns.push(listener),
        onChange: () => {},
        onApplied: (listener) => this.appliers.push(listener),
        replicatedTime: () => 0,
        state: () =>
          ({
            log: Log.of({ index: 0, term: 0, time: 0, chain: 0, configuration: nobody }, log),
            clock: { time: 0, at: 0, monotonic: 0 },
          }) as unknown as State,
      },
      machine: this.machine,
      owner: `node:${name}`,
      status: () => ({}) as NodeStatus,
      leader: () => null,
      surroundings: surroundingsIn(time, () => 0.5, Number(name.slice(1)) + 1),
      // So that nothing is tried again by itself within the story.
      settings: { stallMs: 60_000 },
    })
  }
  /** The oldest proposal reaches the log. */
  append(): void {
    const { payloads, done } = this.take()
    const first = this.log.length + 1
    payloads.forEach((payload, i) =>
      this.log.push({ kind: "command", index: first + i, term: 1, time: 0, chain: 0, payload }),
    )
    done({ type: "ProposalAppended", first, term: 1 })
  }
  private take(): Proposal {
    const proposal = this.proposals.shift()
    if (proposal === undefined) throw new Error("nothing was proposed")
    return proposal
  }
  apply(through = this.log.length): void {
    if (through <= this.applied) return
    this.machine.applyNow(this.log.slice(this.applied, through))
    this.applied = through
    for (const listener of this.appliers) listener(through)
  }
  cut(): void {
    for (const events of this.connections) {
      this.connections.delete(events)
      events.down("cut")
    }
  }
  connect(endpoint: NodeConnection["endpoint"], events: ConnectionEvents): NodeConnection {
    this.connections.add(events)
    this.time.after(1, () => {
      if (this.connections.has(events)) events.up()
    })
    return {
      endpoint,
      send: (request, replied) => {
        const words = wordsOf(request)
        this.asked.push(words.join(" "))
        this.serve(words, (reply) => {
          this.asked = this.asked.filter((each) => each !== words.join(" "))
          this.time.after(1, () => {
            if (this.connections.has(events)) replied(reply)
          })
        })
      },
      silentMs: () => 0,
      drop: () => void this.connections.delete(events),
    }
  }
  private serve([, what, key = "", sequence, lowest, ...call]: string[], done: (reply: Reply) => void): void {
    if (what === "STATUS") return done({ type: "null" })
    if (what === "SESSION") return this.service.openSession("client", done)
    const session = parseSessionKey(key)
    if (session === null) throw new Error(`${key} is no key`)
    this.service.writeInSession(
      session,
      Number(sequence),
      Number(lowest),
      [call.map((word) => Buffer.from(word))],
      false,
      [],
      done,
    )
  }
}

let time = new Time()
let log: Entry[] = []
let nodes: readonly [Node, Node, Node]
beforeEach(() => {
  time = new Time()
  log = []
  nodes = [new Node("n0", log, time), new Node("n1", log, time), new Node("n2", log, time)]
})
afterEach(() => {
  for (const { service } of nodes) service.stop()
})
const pass = (millis: number): void => {
  let over = false
  time.after(millis, () => (over = true))
  time.run(time.now + millis, () => over)
}
const client = (): Core => {
  const dial: Dial = (endpoint, _, events) => nodes[endpoint.port as 0 | 1 | 2].connect(endpoint, events)
  const endpoints = [0, 1, 2].map((port) => ({ host: "n", port }))
  return makeCore(
    {
      endpoints,
      route: "any",
      timeoutMs: 100_000,
      connectTimeoutMs: 1000,
      stallTimeoutMs: 60_000,
      backoffMs: [1, 2],
      window: 16,
    },
    surroundingsIn(time, () => 0),
    dial,
  )
}
const text = (): string => {
  const whole = new MemoryMachine()
  whole.applyNow(log)
  const reply = whole.read([Buffer.from("GET"), Buffer.from("k")])
  return reply.type === "bulk" ? Buffer.from(reply.bytes).toString() : ""
}
const append = (core: Core, token: string, ends: (string | number)[]): void => {
  const done = (outcome: ReplyOrError): void =>
    void ends.push(
      isReply(outcome) ? (outcome.type === "integer" ? Number(outcome.value) : outcome.type) : outcome.name,
    )
  core.submit({ type: "write", args: ["APPEND", "k", token] }, undefined, done)
}

test("two writes of which the second is appended first, then both; the client leaves with the first answer and meets nodes that lag: each once", () => {
  const [a, b, c] = nodes
  for (const node of nodes) {
    pass(1)
    node.append()
  }
  for (const node of nodes) node.apply()
  const core = client()
  const ends: (string | number)[] = []
  append(core, "1;", ends)
  pass(10)
  a.append()
  a.apply()
  for (const node of [b, c]) node.apply()
  pass(10)
  append(core, "2;", ends)
  pass(10)
  // The first is lost, the second appended: out of order. Then both again.
  expect(a.proposals).toHaveLength(2)
  const [first] = a.proposals.splice(0, 1)
  a.append()
  const outOfOrder = log.length
  first?.done({ type: "ProposalUnknown", leader })
  pass(100)
  a.append()
  a.apply(outOfOrder + 1)
  pass(3)
  expect(ends).toEqual([2])
  a.cut()
  for (const node of [b, c, b]) {
    pass(10)
    if (node.asked.length === 0) continue
    // It executes only now what others have known for long.
    node.apply(outOfOrder)
    pass(10)
  }
  for (let round = 0; round < 10; round++) {
    for (const node of nodes) {
      pass(50)
      while (node.proposals.length > 0) node.append()
      node.apply()
    }
  }
  expect(text()).toBe("1;2;")
  expect(ends).toEqual([2, 4])
  expect(log.length).toBeLessThan(20)
})
