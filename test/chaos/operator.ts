/**
 * An operator who cares for the members while the nemesis is at work: asks any running node, again and again, until the
 * change is done.
 */
import { rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { MemberList } from "../../interpreters/members/index.ts"
import { within, type Cluster } from "../cluster.ts"
import { flipBit, lastSegment, recordsOf } from "../damage.ts"
import { ErrorReply } from "../resp.ts"

const LIMIT_MS = 120_000
const WAIT_MS = 3000

export interface Operator {
  /** Sends STEPRAFT …, until a node says that it is done. */
  readonly verb: (...words: readonly string[]) => Promise<void>
  /** Waits until it votes, with another directory than that. */
  readonly votes: (id: string, before: string) => Promise<void>
  /** The directory with which it votes. */
  readonly incarnationOf: (id: string) => Promise<string>
  /** One disk is lost at a time: the next one only after the one before was replaced. */
  readonly alone: (work: () => Promise<void>) => Promise<void>
}

const ask = async (cluster: Cluster, id: string, words: readonly string[]): Promise<string | ErrorReply> => {
  const client = await cluster.connect(id)
  try {
    const reply = await client.call("STEPRAFT", ...words)
    return reply instanceof ErrorReply ? reply : typeof reply === "string" ? reply : JSON.stringify(reply)
  } finally {
    client.close()
  }
}

export const makeOperator = (cluster: Cluster): Operator => {
  let last: Promise<void> = Promise.resolve()
  /** Asks one node after the other; `take` evaluates the answer, null: ask again. */
  const until = async <A>(words: readonly string[], take: (reply: string) => A | null): Promise<A> => {
    const end = performance.now() + LIMIT_MS
    let said = "nobody answered"
    for (let turn = 0; performance.now() < end; turn++) {
      const id = cluster.ids[turn % cluster.ids.length] ?? ""
      const reply = cluster.running(id)
        ? await within(WAIT_MS + 2000, ask(cluster, id, words)).catch((error: unknown) => new ErrorReply(String(error)))
        : null
      const taken = typeof reply === "string" ? take(reply) : null
      if (taken !== null) return taken
      if (reply !== null) said = typeof reply === "string" ? reply : reply.text
      await sleep(100)
    }
    throw new Error(`STEPRAFT ${words.join(" ")} was not done within ${LIMIT_MS / 1000} s: ${said}`)
  }
  const voterOf =
    (id: string) =>
    (reply: string): string | null => {
      const { leader, changing, members } = JSON.parse(reply) as MemberList
      if (leader === null || changing) return null
      return members.find(({ name, role }) => name === id && role === "voter")?.incarnation ?? null
    }
  const list = ["MEMBER", "LIST"]
  return {
    verb: async (...words) => void (await until([...words, "WAIT", String(WAIT_MS)], (reply) => reply)),
    votes: async (id, before) =>
      void (await until(list, (reply) => {
        const now = voterOf(id)(reply)
        return now === before ? null : now
      })),
    incarnationOf: (id) => until(list, voterOf(id)),
    alone: (work) => {
      last = last.then(work, work)
      return last
    },
  }
}

export const wipe = (data: string): void => rmSync(data, { recursive: true, force: true })

/** In the middle of the log. Remains of an earlier damage are removed, as by an operator who has looked at them. */
export const damage = (data: string): void => {
  rmSync(`${data}/damaged`, { recursive: true, force: true })
  const segment = lastSegment(data)
  const records = recordsOf(segment)
  flipBit(segment, (records[Math.floor(records.length / 2)]?.start ?? 0) + 40)
}
