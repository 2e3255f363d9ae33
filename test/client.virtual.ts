/**
 * A client over virtual connections, in virtual time: the real engine's requests are answered by a store whose answers
 * are all that correct nodes could give, however unlucky. A million runs take minutes.
 */
import { makeCore, type Core, type CoreSettings } from "../kv/client/core.ts"
import type { NodeConnection, Dial } from "../kv/client/connection.ts"
import { SessionExpired, Unknown } from "../kv/client/errors.ts"
import { isReply, type ReplyOrError, type ClientTask } from "../kv/client/operation.ts"
import type { Surroundings } from "../interpreters/surroundings.ts"
import type { Reply } from "../kv/types.ts"

/**
 * What happens to one request at its node. If nothing is executed, this copy is never executed later, unless it is
 * late.
 */
export type Fate =
  | "serve"
  /** The connection breaks, before or after the request was executed. */
  | "cutBefore"
  | "cutAfter"
  /** The connection breaks, and the request is still executed some time later. */
  | "cutLate"
  /** The node cannot tell: executed, or not, or later. */
  | "unknownDone"
  | "unknownNot"
  | "unknownLate"
  /** The connection breaks, and the reply is no longer kept. */
  | "forget"
  /** No answer to this request, nor to any later one on the connection. */
  | "mute"
  /** Not proposed. */
  | "noLeader"
  | "busy"
  | "spaceLow"
  | "tooLarge"
  /** An error unknown to the client: the node did not propose it. */
  | "strange"
  /** The command itself ends in an error, and its number is used. */
  | "error"
  | "costly"
  /** The node misses an earlier number: this copy was not executed. */
  | "outOfOrder"
  /** The same, and an older copy is still in flight. */
  | "outOfOrderLate"
  /** The session ends first. */
  | "expire"

export const fates: readonly Fate[] = [
  "cutBefore",
  "cutAfter",
  "forget",
  "cutLate",
  "unknownDone",
  "unknownNot",
  "unknownLate",
  "mute",
  "noLeader",
  "busy",
  "spaceLow",
  "tooLarge",
  "strange",
  "error",
  "costly",
  "outOfOrder",
  "outOfOrderLate",
  "expire",
]

interface SessionState {
  next: number
  readonly replies: Map<number, Reply>
}
const error = (code: string, text = "it says"): Reply => ({ type: "error", code, text })
const OK: Reply = { type: "simple", text: "OK" }

class Store {
  text = ""
  /** Tokens in the order of their execution. */
  readonly executed: string[] = []
  readonly sessions = new Map<string, SessionState>()
  opened = 0
  /** Copies that are executed later. */
  readonly late: (readonly string[])[] = []

  expire(): void {
    this.sessions.clear()
  }
  private run(words: readonly string[]): Reply {
    const [name = "", , value = ""] = words
    if (name === "GET") return { type: "bulk", bytes: Buffer.from(this.text) }
    if (name !== "APPEND") return { type: "integer", value: 0 }
    this.executed.push(value)
    this.text += value
    return { type: "integer", value: this.text.length }
  }
  carryOut(words: readonly string[], instead?: Reply): Reply {
    if (words[0] !== "STEPRAFT") return this.run(words)
    const [, what, key = "", number = "", lowest = ""] = words
    if (what === "SESSION") {
      if (key === "CLOSE") return this.sessions.delete(number) ? OK : error("SESSIONEXPIRED")
      this.opened += 1
      const made = `${this.opened}-key`
      this.sessions.set(made, { next: 1, replies: new Map() })
      return { type: "bulk", bytes: Buffer.from(made) }
    }
    const session = this.sessions.get(key)
    const sequence = Number(number)
    if (session === undefined) return error("SESSIONEXPIRED")
    for (const kept of session.replies.keys())
      if (kept < Number(lowest) && kept < session.next) session.replies.delete(kept)
    if (sequence < session.next) return session.replies.get(sequence) ?? error("FORGOTTEN")
    if (sequence > session.next) return error("OUTOFORDER")
    session.next += 1
    const reply = instead ?? this.run(words.slice(5))
    session.replies.set(sequence, reply)
    return reply
  }
}

/** Time advances from event to event. */
export class Time {
  now = 0
  private count = 0
  private readonly events: { readonly at: number; readonly order: number; run: (() => void) | null }[] = []
  after(millis: number, run: () => void): { readonly cancel: () => void } {
    const event = { at: this.now + millis, order: this.count++, run: run as (() => void) | null }
    let place = this.events.length
    while (place > 0 && (this.events[place - 1]?.at ?? 0) > event.at) place--
    this.events.splice(place, 0, event)
    return {
      cancel: () => {
        event.run = null
      },
    }
  }
  /** Runs until the limit, or until `done`. */
  run(limit: number, done: () => boolean): void {
    while (!done()) {
      const event = this.events.shift()
      if (event === undefined || event.at > limit) return
      this.now = Math.max(this.now, event.at)
      event.run?.()
    }
  }
}

export const surroundingsIn = (time: Time, random: () => number, whose = 0): Surroundings => {
  let secrets = 0
  return {
    now: () => time.now,
    after: (millis, run) => time.after(millis, run),
    every: (millis, run) => {
      let alarm = time.after(millis, again)
      function again(): void {
        alarm = time.after(millis, again)
        run()
      }
      return { cancel: () => alarm.cancel() }
    },
    soon: (run) => void time.after(0, run),
    random,
    secret: (bytes) => (whose * 65_536 + ++secrets).toString(16).padStart(2 * bytes, "0"),
  }
}

export interface Scripted {
  /** In the order in which requests reach nodes; later ones are all served. */
  readonly fates: readonly Fate[]
  readonly window: number
  readonly seed: number
  readonly operations: readonly {
    readonly read: boolean
    /** Virtual milliseconds after the one before it. */
    readonly pause: number
    readonly patience: number
    /** After so long nobody waits for it any more. */
    readonly abandoned: number | null
  }[]
}

/** Virtual milliseconds: much more than all delays together. */
export const PATIENT = 10_000

export const wordsOf = (request: Buffer): string[] =>
  request
    .toString("latin1")
    .split("\r\n")
    .filter((_, at) => at > 0 && at % 2 === 0)

/** The violation, or nothing. */
export const runScript = ({ fates: list, window, seed, operations }: Scripted): string[] => {
  const time = new Time()
  const store = new Store()
  let dice = seed | 1
  const random = (): number => {
    dice = Math.imul(dice ^ (dice >>> 15), dice | 1)
    dice ^= dice + Math.imul(dice ^ (dice >>> 7), dice | 61)
    return ((dice ^ (dice >>> 14)) >>> 0) / 4294967296
  }
  const surroundings = surroundingsIn(time, random)
  let at = 0
  const dial: Dial = (endpoint, _, events) => {
    let over = false
    let mute = false
    let waiting = 0
    let since = 0
    const end = (reason: string): void => {
      if (over) return
      over = true
      events.down(reason)
    }
    const answer = (reply: Reply, replied: (reply: Reply) => void): void => {
      time.after(1, () => {
        if (over) return
        waiting--
        since = time.now
        replied(reply)
      })
    }
    /** One request at one node. */
    const meet = (words: readonly string[], replied: (reply: Reply) => void): void => {
      if (over || mute) return
      if (store.late.length > 0 && random() < 0.3) store.carryOut(store.late.shift() ?? [])
      const fate = words[0] === "PING" ? "serve" : (list[at++] ?? "serve")
      const numbered = words[0] === "STEPRAFT" && words[1] === "DO"
      switch (fate) {
        case "serve":
          return answer(store.carryOut(words), replied)
        case "cutBefore":
          return end("cut")
        case "cutAfter":
          store.carryOut(words)
          return end("cut")
        case "forget":
          store.carryOut(words)
          if (numbered) store.sessions.get(words[2] ?? "")?.replies.clear()
          return end("cut")
        case "cutLate":
          store.late.push(words)
          return end("cut")
        case "mute":
          store.carryOut(words)
          mute = true
          return
        case "unknownDone":
          store.carryOut(words)
          return answer(error("UNKNOWN"), replied)
        case "unknownNot":
          return answer(error("UNKNOWN"), replied)
        case "unknownLate":
          store.late.push(words)
          return answer(error("UNKNOWN"), replied)
        case "noLeader":
          return answer(error("NOLEADER"), replied)
        case "busy":
          return answer(error("BUSY"), replied)
        case "spaceLow":
          return answer(error("SPACELOW"), replied)
        case "tooLarge":
          return answer(error("TOOLARGE"), replied)
        case "strange":
          return answer(error("STRANGE"), replied)
        case "error":
          return answer(
            numbered ? store.carryOut(words, error("RESULT", "WRONGTYPE it says")) : store.carryOut(words),
            replied,
          )
        case "costly":
          return answer(
            numbered ? store.carryOut(words, error("RESULT", "TOOLARGE this cost too much")) : store.carryOut(words),
            replied,
          )
        case "outOfOrder":
          return answer(numbered ? error("OUTOFORDER") : store.carryOut(words), replied)
        case "outOfOrderLate":
          if (numbered) store.late.push(words)
          return answer(numbered ? error("OUTOFORDER") : store.carryOut(words), replied)
        case "expire":
          store.expire()
          return answer(store.carryOut(words), replied)
      }
    }
    time.after(1, () => {
      if (!over) events.up()
    })
    const connection: NodeConnection = {
      endpoint,
      send: (request, replied) => {
        if (waiting++ === 0) since = time.now
        const words = wordsOf(request)
        time.after(1, () => meet(words, replied))
      },
      silentMs: () => (waiting === 0 ? 0 : time.now - since),
      drop: () => {
        over = true
      },
    }
    return connection
  }

  const settings: CoreSettings = {
    endpoints: [
      { host: "a", port: 1 },
      { host: "b", port: 2 },
    ],
    route: "any",
    timeoutMs: 20_000,
    connectTimeoutMs: 100,
    stallTimeoutMs: 60,
    backoffMs: [0, 8],
    window,
  }
  const core: Core = makeCore(settings, surroundings, dial)
  const ends: (ReplyOrError | "abandoned" | undefined)[] = operations.map(() => undefined)
  /** The writes that had succeeded when a read was sent. */
  const seen = operations.map(() => 0)
  const wrong: string[] = []
  let left = operations.length
  let when = 0
  const end = (i: number, outcome: ReplyOrError | "abandoned"): void => {
    if (ends[i] !== undefined) {
      wrong.push(`${i} ended twice`)
      return
    }
    ends[i] = outcome
    left--
  }
  operations.forEach(({ read, pause, patience, abandoned }, i) => {
    when += pause
    time.after(when, () => {
      seen[i] = store.executed.length
      const task: ClientTask = read
        ? { type: "read", args: ["GET", "k"] }
        : { type: "write", args: ["APPEND", "k", `${i};`] }
      const giveUp = core.submit(task, patience, (outcome) => end(i, outcome))
      if (abandoned === null) return
      time.after(abandoned, () => {
        if (ends[i] !== undefined) return
        giveUp()
        end(i, "abandoned")
      })
    })
  })
  time.run(60_000, () => left === 0)
  if (left > 0) wrong.push("not all have an end")
  const late = (): void => {
    for (const words of store.late.splice(0)) store.carryOut(words)
  }
  const before = new Set(store.executed)
  late()
  ends.forEach((outcome, i) => {
    // Removed when the reply arrives, at the latest.
    if (
      outcome !== undefined &&
      outcome !== "abandoned" &&
      !isReply(outcome) &&
      outcome instanceof SessionExpired &&
      !before.has(`${i};`) &&
      store.executed.includes(`${i};`)
    )
      wrong.push(`${i} was executed after its session had expired`)
  })
  judge(operations, ends, store, wrong)
  return wrong
}

const judge = (
  operations: Scripted["operations"],
  ends: readonly (ReplyOrError | "abandoned" | undefined)[],
  store: Store,
  wrong: string[],
): void => {
  const times = new Map<string, number>()
  for (const token of store.executed) times.set(token, (times.get(token) ?? 0) + 1)
  for (const [token, count] of times) if (count > 1) wrong.push(`${token} was executed ${count} times: ${store.text}`)
  const acknowledged: number[] = []
  ends.forEach((outcome, i) => {
    if (outcome === undefined || outcome === "abandoned") return
    const executed = times.has(`${i};`)
    // Most of that time is without faults.
    if (!isReply(outcome) && (operations[i]?.patience ?? 0) >= PATIENT && / in time /.test(outcome.message))
      wrong.push(`${i} ran out of time: ${outcome.message}`)
    if (isReply(outcome)) {
      if (operations[i]?.read === true) {
        const text = outcome.type === "bulk" ? Buffer.from(outcome.bytes).toString() : ""
        for (const earlier of acknowledged)
          if (!text.includes(`${earlier};`)) wrong.push(`read ${i} does not see write ${earlier}, which came before it`)
        return
      }
      acknowledged.push(i)
      if (!executed) wrong.push(`${i} was acknowledged and is not there`)
      else if (outcome.type !== "integer" || !store.text.slice(0, Number(outcome.value)).endsWith(`${i};`))
        wrong.push(`${i} has the answer of another`)
      return
    }
    if (outcome instanceof Unknown || outcome instanceof SessionExpired || operations[i]?.read === true) return
    if (executed) wrong.push(`${i} ended as ${outcome.name} (${outcome.message}) and was executed`)
  })
  const order = acknowledged.map((i) => store.executed.indexOf(`${i};`))
  if (order.some((place, n) => n > 0 && place < (order[n - 1] ?? 0)))
    wrong.push(`acknowledged out of order: ${store.text}`)
}
