/**
 * A client that keeps a session by hand, as kv/README.md tells users of other languages to do: it sends unanswered
 * requests again, under the same numbers, to the next node that it reaches. It relies on every answer.
 */
import type { Random, StoryWork, World } from "../../interpreters/simulation/index.ts"
import { PropertyViolated } from "../../spec/index.ts"
import type { PlainClient, PlainReply } from "./clients.ts"

/** As far as that node knows it was not executed, or the outcome is unknown: worth another attempt at another node. */
const again = new Set(["UNKNOWN", "NOLEADER", "BUSY", "MOVED", "LOADING", "SPACELOW"])
/** The pause between two attempts. */
const PAUSE = 10

export class NumberedClient {
  private readonly plain: PlainClient
  private readonly world: World
  /** Now and then it leaves a node after an answer, and continues at another one. */
  private readonly random: Random
  private key: string | null = null
  private next = 1
  constructor(plain: PlainClient, world: World, random: Random) {
    this.plain = plain
    this.world = world
    this.random = random
  }

  /** False if no node answers within `patience`. */
  private *opened(patience: number): StoryWork<boolean> {
    if (this.key !== null) return true
    yield* this.plain.connected()
    const [told] = yield* this.plain.send([["STEPRAFT", "SESSION", "OPEN", "by hand"]], patience)
    if (told === undefined || told === "lost" || told.type !== "bulk") {
      this.plain.hangUp()
      return false
    }
    this.key = Buffer.from(told.bytes).toString()
    this.next = 1
    return true
  }
  /** Sends writes, all in progress at once, until each has its answer or the time is up; null: not sent at all. */
  *write(
    requests: readonly (readonly string[])[],
    patience: number,
    until: number,
  ): StoryWork<readonly PlainReply[] | null> {
    if (!(yield* this.opened(patience))) return null
    const first = this.next
    this.next += requests.length
    const answers: PlainReply[] = []
    while (answers.length < requests.length && this.world.now < until) {
      yield* this.plain.connected()
      const lowest = first + answers.length
      const rest = requests.slice(answers.length)
      const told = yield* this.plain.send(
        rest.map((words, i) => ["STEPRAFT", "DO", this.key ?? "", lowest + i, lowest, ...words]),
        patience,
        this.random.chance(400) ? 1 : rest.length,
      )
      if (this.took(told, answers, lowest) || answers.length === requests.length) break
      this.plain.hangUp()
      yield PAUSE
    }
    if (answers.length < requests.length) this.key = null
    return [...answers, ...requests.slice(answers.length).map((): PlainReply => "lost")]
  }
  /** Whether the reply says that the session has ended. */
  private took(told: readonly PlainReply[], answers: PlainReply[], first: number): boolean {
    for (const [i, reply] of told.entries()) {
      if (reply === "lost") return false
      if (reply.type === "error") {
        if (reply.code === "SESSIONEXPIRED") return true
        if (reply.code === "OUTOFORDER" && i === 0)
          throw new PropertyViolated(
            "ExactlyOnce",
            `number ${first} of a session is answered as out of order, although all before it have been acknowledged`,
          )
        if (reply.code === "OUTOFORDER" || again.has(reply.code)) return false
      }
      answers.push(reply)
    }
    return false
  }
}
