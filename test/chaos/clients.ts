/**
 * Clients that perform random operations on a few keys, one at a time each, and record what they asked and what they
 * were told.
 */
import { setTimeout as sleep } from "node:timers/promises"
import {
  connect,
  NoLeader,
  ServerError,
  SessionExpired,
  TimedOut,
  Unknown,
  type Client,
} from "../../kv/client/index.ts"
import { makeRandom, type Random } from "../../interpreters/simulation/index.ts"
import type { FunctionName, Recorder, Value } from "../../spec/linearizability/index.ts"
import { within, type Cluster } from "../cluster.ts"
import { ConnectionLost, ErrorReply, type RespClient, type RespReply } from "../resp.ts"

interface Operation {
  readonly f: FunctionName
  readonly key: string
  readonly value: Value
}
type Ending =
  | { readonly type: "ok"; readonly value: Value }
  | { readonly type: "fail" | "info"; readonly error: string }
interface Speaker {
  /** Called before an operation is recorded: false if no node can be reached just now. */
  readonly ready: () => Promise<boolean>
  readonly ask: (operation: Operation) => Promise<Ending>
  /**
   * Goes to another node. A paused or cut-off node that gives wrong answers is only noticed by a client that comes to
   * it later.
   */
  readonly move: () => void
  readonly close: () => Promise<void> | void
}

/** Deliberate faults of a client, to test the judge. */
export type Lie =
  /** A client that only reads accepts local reads of its node, but records them as linearizable. */
  | "local-reads"
  /** A write of unknown outcome is sent again, but recorded as one write. */
  | "resend"

export interface Acknowledged {
  readonly sent: number
  readonly answered: number
}
export interface Clients {
  readonly history: Recorder
  /** Writes, in the order of their answers. */
  readonly acknowledged: readonly Acknowledged[]
  readonly counts: { ok: number; fail: number; info: number }
  /** Answers that no client may receive. */
  readonly complaints: readonly string[]
  /** Every key that was ever used. */
  readonly keys: () => readonly string[]
  /** Each client finishes its present operation. */
  readonly stop: () => Promise<void>
  /** Reads every key once more, recorded like all other reads. */
  readonly readAll: () => Promise<ReadonlyMap<string, Value>>
}
export interface ClientsOptions {
  readonly history: Recorder
  readonly clients: number
  readonly seed: number
  /** Milliseconds between two operations of one client. */
  readonly pause: number
  readonly keys: number
  /** After so many operations a new key is used, so that the history of one key stays short. */
  readonly operationsPerKey: number
  /** The first of the plain clients has this fault. */
  readonly lie: Lie | null
}

// ── the commands of operations
// ────────────────────────────────────────────────────────────────────────────────────────

const pairOf = (value: Value): readonly [string | null, string] => {
  if (!Array.isArray(value)) throw new TypeError("a cas has two values")
  const [from, to] = value as readonly Value[]
  return [from === null || from === undefined ? null : String(from), String(to)]
}
const wordsOf = ({ f, key, value }: Operation): readonly (string | number)[] => {
  switch (f) {
    case "read":
      return ["GET", key]
    case "write":
      return ["SET", key, String(value)]
    case "append":
      return ["APPEND", key, String(value)]
    case "delete":
      return ["DEL", key]
    case "incr":
      return ["INCRBY", key, Number(value ?? 1)]
    case "cas": {
      const [from, to] = pairOf(value)
      return from === null ? ["SET", key, to, "NX"] : ["CAS", key, from, to]
    }
  }
}
const precondition = "precondition"
/** The meaning of a reply; undefined if the operation has no such reply. */
const endingOf = ({ f, value }: Operation, reply: unknown): Ending | undefined => {
  const ok = (value: Value): Ending => ({ type: "ok", value })
  switch (f) {
    case "read":
      return typeof reply === "string" || reply === null ? ok(reply) : undefined
    case "write":
      return reply === "OK" ? ok(value) : undefined
    case "append":
      return typeof reply === "number" ? ok(value) : undefined
    case "delete":
      return typeof reply === "number" ? ok(reply === 1) : undefined
    case "incr":
      return typeof reply === "number" ? ok(reply) : undefined
    case "cas": {
      if (reply === 1 || reply === "OK") return ok(value)
      return reply === 0 || reply === null ? { type: "fail", error: precondition } : undefined
    }
  }
}

/** These codes promise that nothing was executed. */
const refusals = new Set(["NOLEADER", "BUSY", "MOVED", "SPACELOW", "LOADING", "TOOLARGE"])

/** Connects to one node after the other; when a connection is lost, outstanding operations have an unknown outcome. */
const plainSpeaker = (cluster: Cluster, first: number, lie: Lie | null, complain: (text: string) => void): Speaker => {
  const answerLimit = 4000
  let at = first
  let client: RespClient | null = null
  const leave = (): void => {
    client?.close()
    client = null
    at++
  }
  const ready = async (): Promise<boolean> => {
    if (client !== null && !client.closed()) return true
    const opened = await within(
      1000,
      cluster.connect(cluster.ids[at % cluster.ids.length] ?? "").catch(() => null),
    )
    if (opened === null) {
      at++
      return false
    }
    client = opened
    if (lie === "local-reads")
      await within(
        1000,
        client.call("READONLY").catch(() => null),
      )
    return true
  }
  /** One reply; or a string, the reason why there is none. */
  const call = async (words: readonly (string | number)[]): Promise<{ readonly reply: RespReply } | string> => {
    if (client === null) return "no connection"
    const answer = client.call(...words).then(
      (reply) => ({ reply }),
      (error: unknown) => {
        if (error instanceof ConnectionLost) return error.message
        throw error
      },
    )
    return (await within(answerLimit, answer)) ?? `no answer for ${answerLimit} ms`
  }
  const ask = async (operation: Operation, again = 0): Promise<Ending> => {
    const words = wordsOf(operation)
    const answer = await call(words)
    const lost = async (error: string): Promise<Ending> => {
      leave()
      if (lie === "resend" && again < 20 && operation.f !== "read") {
        await sleep(100)
        if (await ready()) return ask(operation, again + 1)
      }
      return { type: operation.f === "read" ? "fail" : "info", error }
    }
    if (typeof answer === "string") return lost(answer)
    const { reply } = answer
    if (reply instanceof ErrorReply) {
      if (reply.code === "UNKNOWN") return lost(reply.code)
      if (!refusals.has(reply.code)) {
        complain(`${words.join(" ")} was answered ${reply.text}`)
        return lost(reply.text)
      }
      leave()
      return { type: again === 0 ? "fail" : "info", error: reply.code }
    }
    const ending = endingOf(operation, reply)
    if (ending !== undefined) return ending
    complain(`${words.join(" ")} was answered ${JSON.stringify(reply)}`)
    return lost("not an answer")
  }
  return { ready, ask, move: leave, close: leave }
}

/** Our own client: it retries by itself in a session, so an unknown outcome is rare: the time was up. */
const sessionSpeaker = (cluster: Cluster, number: number, complain: (text: string) => void): Speaker => {
  const endpoints = cluster.members.map(({ clientPort }) => `127.0.0.1:${clientPort}`)
  let client: Client | null = null
  const say = (to: Client, { f, key, value }: Operation): Promise<unknown> => {
    switch (f) {
      case "read":
        return to.get(key)
      case "write":
        return to.set(key, String(value)).then((done) => (done ? "OK" : null))
      case "append":
        return to.append(key, String(value))
      case "delete":
        return to.del(key)
      case "incr":
        return to.incr(key, Number(value ?? 1))
      case "cas":
        return to.cas(key, ...pairOf(value)).then((done) => (done ? 1 : 0))
    }
  }
  return {
    ready: async () => {
      // Half of them give up soon, half wait out most faults; half go to the leader, half let a follower forward.
      client ??= await connect({
        endpoints,
        timeoutMs: number % 2 === 0 ? 2500 : 8000,
        connectTimeoutMs: 500,
        stallTimeoutMs: 2000,
        route: number % 4 < 2 ? "leader" : "any",
      }).catch(() => null)
      return client !== null
    },
    ask: async (operation) => {
      if (client === null) return { type: "fail", error: "no connection" }
      const read = operation.f === "read"
      try {
        const reply = await say(client, operation)
        const ending = endingOf(operation, reply)
        if (ending !== undefined) return ending
        complain(`${operation.f} ${operation.key} was answered ${JSON.stringify(reply)}`)
        return { type: read ? "fail" : "info", error: "not an answer" }
      } catch (thrown) {
        if (!(thrown instanceof Error)) throw thrown
        const error = `${thrown.name}: ${thrown.message}`
        const possible = !(
          thrown instanceof NoLeader ||
          thrown instanceof TimedOut ||
          (thrown instanceof ServerError && refusals.has(thrown.code))
        )
        if (possible && !(thrown instanceof Unknown || thrown instanceof SessionExpired))
          complain(`${operation.f} ${operation.key} failed: ${error}`)
        return { type: read || !possible ? "fail" : "info", error }
      }
    },
    // It decides by itself where to go.
    move: () => undefined,
    close: () => client?.close(),
  }
}

// ── choosing operations
// ───────────────────────────────────────────────────────────────────────────────────────────────

const kinds = ["register", "text", "number"] as const
interface Slot {
  readonly kind: (typeof kinds)[number]
  readonly number: number
  generation: number
  used: number
  /** Recent values of the key, certain or possible: expected values for cas. */
  recent: readonly (string | null)[]
}
const keyOf = ({ kind, number, generation }: Slot): string => `${kind}${number}.${generation}`

const nextOperation = (random: Random, slot: Slot, token: string): Operation => {
  const key = keyOf(slot)
  const dice = random.below(100)
  const operation = (f: FunctionName, value: Value = null): Operation => ({ f, key, value })
  switch (slot.kind) {
    case "register":
      if (dice < 40) return operation("read")
      if (dice < 65) return operation("write", token)
      return dice < 92 ? operation("cas", [random.pick(slot.recent) ?? null, token]) : operation("delete")
    case "text":
      if (dice < 45) return operation("read")
      return dice < 98 ? operation("append", `${token};`) : operation("write", `${token};`)
    case "number":
      if (dice < 45) return operation("read")
      return dice < 97 ? operation("incr", random.below(4) === 0 ? random.between(-5, 5) : 1) : operation("delete")
  }
}

export const startClients = (cluster: Cluster, options: ClientsOptions): Clients => {
  const { history } = options
  const acknowledged: Acknowledged[] = []
  const complaints: string[] = []
  const counts = { ok: 0, fail: 0, info: 0 }
  const used = new Set<string>()
  const control = { stopping: false }
  let processes = 0
  const complain = (text: string): void => void complaints.push(text)
  const slots = Array.from({ length: options.keys }, (_, number): Slot => ({
    kind: kinds[number % kinds.length] ?? "register",
    number,
    generation: 0,
    used: 0,
    recent: [null],
  }))

  /** A client that did not learn the outcome stops: its operation stays open, and a new process continues. */
  const carryOut = async (
    speaker: Speaker,
    process: number,
    operation: Operation,
  ): Promise<Ending & { readonly process: number }> => {
    const sent = performance.now()
    const open = history.invoke({ process, ...operation })
    const ending = await speaker.ask(operation)
    // A cas that found another value has its answer.
    counts[ending.type === "fail" && ending.error === precondition ? "ok" : ending.type]++
    switch (ending.type) {
      case "ok":
        open.ok(ending.value)
        if (operation.f !== "read") acknowledged.push({ sent, answered: performance.now() })
        return { ...ending, process }
      case "fail":
        open.fail(ending.error)
        return { ...ending, process }
      case "info":
        open.info(ending.error)
        return { ...ending, process: ++processes }
    }
  }

  const runClient = async (number: number): Promise<void> => {
    const random = makeRandom(options.seed * 1000 + number)
    const lie = number === 1 ? options.lie : null
    const speaker =
      number % 2 === 1 ? plainSpeaker(cluster, number, lie, complain) : sessionSpeaker(cluster, number / 2, complain)
    let process = ++processes
    for (let count = 0; !control.stopping;) {
      if (!(await speaker.ready())) {
        await sleep(20)
        continue
      }
      const slot = random.pick(slots)
      if (slot === undefined) throw new Error("there are no keys")
      if (++slot.used > options.operationsPerKey) {
        slot.used = 1
        slot.generation++
        slot.recent = [null]
      }
      const drawn = nextOperation(random, slot, `${number}.${++count}`)
      const operation: Operation = lie === "local-reads" ? { f: "read", key: drawn.key, value: null } : drawn
      used.add(operation.key)
      const { generation } = slot
      const ending = await carryOut(speaker, process, operation)
      process = ending.process
      if (slot.kind === "register" && slot.generation === generation) {
        const held =
          operation.f === "cas"
            ? pairOf(operation.value)[1]
            : operation.f === "write"
              ? String(operation.value)
              : operation.f === "read" && ending.type === "ok"
                ? (ending.value as string | null)
                : null
        if (ending.type !== "fail") slot.recent = [...slot.recent.slice(-2), held]
      }
      if (lie === null && random.chance(30)) speaker.move()
      if (ending.type !== "ok") await sleep(20)
      if (options.pause > 0) await sleep(options.pause)
    }
    await speaker.close()
  }
  const all = Promise.all(Array.from({ length: options.clients }, (_, number) => runClient(number)))
  all.catch((error: unknown) =>
    complain(`a client ended: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  )

  return {
    history,
    acknowledged,
    counts,
    complaints,
    keys: () => [...used],
    stop: async () => {
      control.stopping = true
      await all.catch(() => undefined)
    },
    readAll: async () => {
      const values = new Map<string, Value>()
      const waiting = [...used]
      const reader = async (number: number): Promise<void> => {
        const speaker = plainSpeaker(cluster, number, null, complain)
        const process = ++processes
        for (let key = waiting.pop(); key !== undefined; key = waiting.pop())
          for (let tries = 0; !values.has(key); tries++) {
            if (tries === 100) throw new Error(`${key} cannot be read although nothing is wrong any more`)
            if (await speaker.ready()) {
              const ending = await carryOut(speaker, process, { f: "read", key, value: null })
              if (ending.type === "ok") values.set(key, ending.value)
            }
            if (!values.has(key)) await sleep(100)
          }
        await speaker.close()
      }
      await Promise.all(Array.from({ length: 6 }, (_, number) => reader(number)))
      return values
    },
  }
}
