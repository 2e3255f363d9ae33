/**
 * Ordinary clients beside the hostile ones: SET, GET, INCR and APPEND of keys that no other client writes, with a
 * history of the replies.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { makeHistory, type FunctionName, type Value } from "../../spec/linearizability/index.ts"
import { linearizability } from "../chaos/judge.ts"
import { within, type Cluster } from "../cluster.ts"
import { ErrorReply, type RespClient, type RespReply } from "../resp.ts"

const clients = 3
const pauseMs = 10
const perKey = 200
const answerLimit = 10_000
/** After an attack the store must be readable within this time. */
const judgeMs = 40_000
/** Errors that promise that nothing was executed. */
const refusals = new Set(["NOLEADER", "BUSY", "MOVED", "SPACELOW", "TOOLARGE"])
const isRefusal = ({ code, text }: ErrorReply): boolean =>
  refusals.has(code) || text.startsWith("ERR max number of clients")

export interface Timed {
  readonly at: number
  readonly ms: number
}
export interface Polite {
  /** The number of operations that succeeded, however often each was tried. */
  readonly done: readonly Timed[]
  readonly counts: { ok: number; unknown: number; refused: number; reconnected: number }
  readonly codes: Readonly<Record<string, number>>
  readonly stop: () => Promise<void>
  /** What is wrong with the replies, and with the data of each of these nodes. */
  readonly judge: (ids: readonly string[]) => Promise<readonly string[]>
  /** As `judge`, but only for the data of the nodes. */
  readonly compare: (ids: readonly string[]) => Promise<readonly string[]>
}

export const quantile = (timed: readonly Timed[], share: number): number => {
  const sorted = timed.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

export const startPolite = (cluster: Cluster): Polite => {
  const history = makeHistory()
  const done: Timed[] = []
  const counts = { ok: 0, unknown: 0, refused: 0, reconnected: 0 }
  const codes: Record<string, number> = {}
  const keys = new Set<string>()
  const final = new Map<string, RespReply>()
  const control = { stopping: false }

  const speaker = (first: number) => {
    let at = first
    let open: RespClient | null = null
    const leave = (): void => {
      open?.close()
      open = null
      at++
      counts.reconnected++
    }
    /** null: the outcome is unknown. */
    const call = async (words: readonly (string | number)[]): Promise<RespReply | undefined> => {
      if (open === null || open.closed()) {
        open =
          (await within(
            2000,
            cluster.connect(cluster.ids[at % cluster.ids.length] ?? "").catch(() => null),
          )) ?? null
        if (open === null) {
          leave()
          await sleep(10)
          return new ErrorReply("BUSY no connection")
        }
      }
      const asked = open.call(...words).catch(() => undefined)
      const answer = await Promise.race([asked, sleep(answerLimit, undefined)])
      if (answer === undefined) leave()
      return answer
    }
    return { call, leave }
  }

  const run = async (name: string, first: number): Promise<void> => {
    const { call, leave } = speaker(first)
    let life = 0
    for (let number = 0; !control.stopping; number++) {
      const part = Math.floor(number / perKey)
      const token = `${name}.${number}`
      const operations: readonly (readonly [FunctionName, string, Value, readonly (string | number)[]])[] = [
        ["write", `polite:set:${part % 2}:${part}`, token, ["SET", `polite:set:${part % 2}:${part}`, token]],
        ["read", `polite:set:${part % 2}:${part}`, null, ["GET", `polite:set:${part % 2}:${part}`]],
        ["incr", `polite:incr:${part}`, 1, ["INCR", `polite:incr:${part}`]],
        [
          "append",
          `polite:append:${name}:${part}`,
          `${token};`,
          ["APPEND", `polite:append:${name}:${part}`, `${token};`],
        ],
      ]
      const [f, key, value, words] =
        operations[number % operations.length] ?? (["read", "polite", null, ["GET", "polite"]] as const)
      keys.add(key)
      const operation = history.invoke({ process: `${name}:${life}`, f, key, value })
      const at = performance.now()
      for (;;) {
        const reply = await call(words)
        if (reply instanceof ErrorReply) codes[reply.code] = (codes[reply.code] ?? 0) + 1
        if (reply instanceof ErrorReply && isRefusal(reply)) {
          counts.refused++
          // After half a minute of refusals the command is given up.
          if (control.stopping || performance.now() - at > 30_000) {
            operation.fail(reply.text)
            break
          }
          leave()
          await sleep(20)
          continue
        }
        if (reply === undefined || reply instanceof ErrorReply) {
          counts.unknown++
          operation.info(reply?.text ?? "no answer")
          life++
          break
        }
        counts.ok++
        done.push({ at, ms: performance.now() - at })
        operation.ok(f === "read" || f === "incr" ? (reply as Value) : value)
        break
      }
      await sleep(pauseMs)
    }
    leave()
  }
  const running = Promise.all(Array.from({ length: clients }, (_, at) => run(`p${at}`, at)))

  const compare = async (ids: readonly string[]): Promise<readonly string[]> => {
    const wrong: string[] = []
    for (const id of ids) {
      const client = await cluster.connect(id)
      await client.call("READONLY")
      for (const [key, value] of final) {
        const held = await client.call("GET", key)
        if (held !== value)
          wrong.push(
            `${id} holds ${JSON.stringify(held)} under ${key}, the last read of all gave ${JSON.stringify(value)}`,
          )
      }
      client.close()
    }
    return wrong
  }
  return {
    done,
    counts,
    codes,
    compare,
    stop: async () => {
      control.stopping = true
      await running
    },
    judge: async (ids) => {
      const { call } = speaker(0)
      const deadline = performance.now() + judgeMs
      const readAll = async (): Promise<string | null> => {
        for (const key of keys) {
          const operation = history.invoke({ process: "last", f: "read", key, value: null })
          let reply = await call(["GET", key])
          while ((reply === undefined || reply instanceof ErrorReply) && performance.now() < deadline) {
            await sleep(100)
            reply = await call(["GET", key])
          }
          if (reply === undefined || reply instanceof ErrorReply)
            return `${key} cannot be read at the end: ${reply?.text ?? "no answer"}`
          operation.ok(reply as Value)
          final.set(key, reply)
        }
        return null
      }
      let different: readonly string[] = []
      // A command with an unknown outcome may still be executed between the last read and the look at the nodes: then
      // everything is read again.
      for (let round = 0; round < 3 && (round === 0 || different.length > 0); round++) {
        const unreadable = await readAll()
        if (unreadable !== null) return [unreadable]
        await cluster.settled(ids)
        different = await compare(ids)
      }
      return [...linearizability(history.events), ...different]
    },
  }
}
