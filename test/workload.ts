/**
 * Clients that append unique tokens for as long as a test needs them, and a check of the final contents of a store:
 * every acknowledged token exactly once, every refused one never, one of unknown outcome at most once; the tokens of
 * one client in the order in which it sent them; no read older than what its reader was told before.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { contents, digestOf, until, within, type Cluster } from "./cluster.ts"
import { ConnectionLost, ErrorReply, type RespClient, type RespReply } from "./resp.ts"

/** Answers that promise that nothing was executed, and that trying again may help. */
const refusals = new Set([
  "NOLEADER",
  "BUSY",
  "MOVED",
  "SPACELOW",
  "LOADING",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "NOTLEADER",
  "TRANSFERRING",
])

/** What a session tries again: refusals, unknown outcomes, and commands that came out of order. */
const retried = new Set([...refusals, "UNKNOWN", "LOST", "NOTSENT", "OUTOFORDER"])

interface Attempt {
  readonly token: string
  readonly key: string
  readonly client: string
  /** Order among the client's tokens. */
  readonly number: number
  /** Exactly-once: within a session the outcome always becomes known, so the order is strict. */
  readonly session: boolean
  outcome: "pending" | "acknowledged" | "refused" | "unknown"
}
export interface Acknowledgement {
  readonly sent: number
  readonly answered: number
  readonly session: boolean
}
export interface Workload {
  readonly attempts: readonly Attempt[]
  readonly acknowledgements: readonly Acknowledgement[]
  /** Answers that must never be given: stale reads, unexpected errors. */
  readonly complaints: readonly string[]
  /** When the next write that was sent after `time` was acknowledged. */
  readonly nextAfter: (time: number, session?: boolean) => Promise<number>
  /** Lets every client finish its operation. Sessions need a serving cluster for that. */
  readonly stop: () => Promise<void>
}
export interface WorkloadOptions {
  readonly sessions?: number
  readonly plain?: number
  /** Sessions that send several writes at once, and all unanswered ones again when a connection is lost. */
  readonly pipelining?: number
  /** The pause between two writes of one client. */
  readonly pause?: number
  readonly name?: string
}

const perKey = 200
const sharedKeys = 4
const batch = 16
const answerLimit = 10_000

export const startWorkload = (cluster: Cluster, options: WorkloadOptions = {}): Workload => {
  const attempts: Attempt[] = []
  const acknowledgements: Acknowledgement[] = []
  const complaints: string[] = []
  const name = options.name ?? "w"
  const pause = options.pause ?? 5
  const control = { stopping: false }

  /** One connection at a time, to one node after the other. */
  const roamer = (first: number) => {
    let at = first
    let client: RespClient | null = null
    let connecting: Promise<RespClient | null> | null = null
    const leave = (): void => {
      client?.close()
      client = null
      at++
    }
    /** One connection, however many callers ask for it at once. */
    const connected = (): Promise<RespClient | null> => {
      if (client !== null && !client.closed()) return Promise.resolve(client)
      connecting ??= cluster
        .connect(cluster.ids[at % cluster.ids.length] ?? "")
        .catch(async () => {
          at++
          await sleep(10)
          return null
        })
        .then((opened) => {
          connecting = null
          client = opened
          return opened
        })
      return connecting
    }
    const current = (): RespClient | null => client
    const call = async (...words: readonly (string | number)[]): Promise<RespReply> => {
      const client = await connected()
      if (client === null) return new ErrorReply("NOTSENT no connection")
      const reply = await within(answerLimit, client.call(...words)).catch((error: unknown) => {
        if (error instanceof ConnectionLost) return new ErrorReply("LOST connection lost")
        throw error
      })
      if (reply === null || (reply instanceof ErrorReply && reply.code === "LOST")) {
        if (client === current()) leave()
        return new ErrorReply("LOST no answer")
      }
      return reply
    }
    return { call, leave }
  }

  const targets = (client: string, number: number): string => {
    const part = Math.floor(number / perKey)
    return number % 2 === 0 ? `own:${client}:${part}` : `shared:${name}:${number % (2 * sharedKeys)}:${part}`
  }

  /** Reads its own key at some node: everything that was acknowledged to this client must be there. */
  const readBack = async (
    reader: ReturnType<typeof roamer>,
    client: string,
    mine: readonly Attempt[],
  ): Promise<void> => {
    const last = mine.at(-1)
    if (last === undefined) return
    const due = mine.filter((one) => one.key === last.key && one.outcome === "acknowledged").map((one) => one.token)
    const value = await reader.call("GET", last.key)
    if (value instanceof ErrorReply) return reader.leave()
    const held = new Set((typeof value === "string" ? value : "").split(";"))
    const missing = due.filter((token) => !held.has(token))
    if (missing.length > 0)
      complaints.push(`stale or lost: ${client} read ${last.key} without its acknowledged ${missing.join(" ")}`)
  }

  const open = async (writer: ReturnType<typeof roamer>, owner: string): Promise<string | null> => {
    for (let tries = 0; ; tries++) {
      const reply = await writer.call("STEPRAFT", "SESSION", "OPEN", `${owner}-${tries}`)
      if (typeof reply === "string") return reply
      if (control.stopping) return null
      writer.leave()
      await sleep(20)
    }
  }

  /** Sends a batch at once; what was not acknowledged is sent again, in order, to the next node. */
  const runPipelining = async (client: string, first: number): Promise<void> => {
    const writer = roamer(first)
    const session = await open(writer, client)
    if (session === null) return
    for (let number = 0; !control.stopping; number += batch) {
      let left = Array.from({ length: batch }, (_, i): Attempt => {
        const mine = number + i
        return {
          token: `${client}.${mine}`,
          key: targets(client, mine),
          client,
          number: mine,
          session: true,
          outcome: "pending",
        }
      })
      attempts.push(...left)
      while (left.length > 0) {
        const sent = performance.now()
        const lowest = (left[0]?.number ?? 0) + 1
        const replies = await Promise.all(
          left.map((one) =>
            writer.call("STEPRAFT", "DO", session, one.number + 1, lowest, "APPEND", one.key, `${one.token};`),
          ),
        )
        replies.forEach((reply, i) => {
          const attempt = left[i]
          if (typeof reply === "number" && attempt !== undefined) {
            attempt.outcome = "acknowledged"
            acknowledgements.push({ sent, answered: performance.now(), session: true })
          } else if (attempt !== undefined && !(reply instanceof ErrorReply && retried.has(reply.code))) {
            attempt.outcome = "unknown"
            complaints.push(
              `${client}, for ${attempt.token}, was answered ${reply instanceof ErrorReply ? reply.text : JSON.stringify(reply)}`,
            )
          }
        })
        const before = left.length
        left = left.filter((one) => one.outcome === "pending")
        if (left.length > 0) {
          if (
            replies.some((reply) => reply instanceof ErrorReply && reply.code !== "OUTOFORDER" && reply.code !== "LOST")
          )
            writer.leave()
          if (before === left.length) await sleep(10)
        }
      }
      if (pause > 0) await sleep(pause)
    }
    writer.leave()
  }

  const runClient = async (client: string, first: number, session: boolean): Promise<void> => {
    const writer = roamer(first)
    const reader = roamer(first + 1)
    const mine: Attempt[] = []
    const opened = session ? await open(writer, client) : null
    if (session && opened === null) return
    for (let number = 0; !control.stopping; number++) {
      const attempt: Attempt = {
        token: `${client}.${number}`,
        key: targets(client, number),
        client,
        number,
        session,
        outcome: "pending",
      }
      attempts.push(attempt)
      mine.push(attempt)
      const words = ["APPEND", attempt.key, `${attempt.token};`]
      const sent = performance.now()
      while (attempt.outcome === "pending") {
        const reply = await writer.call(
          ...(opened === null ? words : ["STEPRAFT", "DO", opened, number + 1, number + 1, ...words]),
        )
        if (typeof reply === "number") attempt.outcome = "acknowledged"
        else if (!(reply instanceof ErrorReply)) {
          attempt.outcome = "unknown"
          complaints.push(`${client} was answered ${JSON.stringify(reply)}`)
        } else if (reply.code === "NOTSENT") continue
        else if (refusals.has(reply.code)) {
          if (session) writer.leave()
          else attempt.outcome = "refused"
          await sleep(10)
        } else if (reply.code === "UNKNOWN" || reply.code === "LOST") {
          if (session) writer.leave()
          else attempt.outcome = "unknown"
        } else {
          attempt.outcome = "unknown"
          complaints.push(`${client} was answered ${reply.text}`)
        }
      }
      if (attempt.outcome === "acknowledged") acknowledgements.push({ sent, answered: performance.now(), session })
      else if (attempt.outcome === "refused") writer.leave()
      if (number % 8 === 7) await readBack(reader, client, mine)
      if (pause > 0) await sleep(pause)
    }
    writer.leave()
    reader.leave()
  }

  const running: Promise<void>[] = []
  for (let i = 0; i < (options.sessions ?? 3); i++) running.push(runClient(`${name}s${i}`, i, true))
  for (let i = 0; i < (options.plain ?? 3); i++) running.push(runClient(`${name}p${i}`, i, false))
  for (let i = 0; i < (options.pipelining ?? 1); i++) running.push(runPipelining(`${name}b${i}`, i))
  const all = Promise.all(running)
  all.catch((error: unknown) => complaints.push(`a client ended: ${String(error)}`))

  return {
    attempts,
    acknowledgements,
    complaints,
    nextAfter: (time, session) => {
      let from = acknowledgements.length
      while (from > 0 && (acknowledgements[from - 1]?.answered ?? 0) >= time) from--
      return until("a write is acknowledged", () => {
        for (let i = from; i < acknowledgements.length; i++) {
          const one = acknowledgements[i]
          if (one !== undefined && one.sent >= time && (session === undefined || one.session === session))
            return one.answered
        }
        return null
      })
    },
    stop: async () => {
      control.stopping = true
      await until("every client has its last answer", () =>
        within(
          1000,
          all.then(() => true),
        ),
      ).catch((error: unknown) => {
        throw new Error([String(error), ...complaints.slice(0, 10)].join("\n"))
      })
    },
  }
}

/** What is wrong with the store's contents, given the answers to its clients. Empty: nothing. */
export const judge = (
  workload: Pick<Workload, "attempts" | "complaints">,
  store: ReadonlyMap<string, string>,
): readonly string[] => {
  const wrong: string[] = [...workload.complaints]
  const tokensOf = new Map<string, readonly string[]>()
  const known = new Map(workload.attempts.map((attempt) => [attempt.token, attempt]))
  for (const attempt of workload.attempts) {
    const tokens =
      tokensOf.get(attempt.key) ?? (store.get(attempt.key) ?? "").split(";").filter((token) => token !== "")
    tokensOf.set(attempt.key, tokens)
  }
  const counts = new Map<string, number>()
  for (const [key, tokens] of tokensOf) {
    const last = new Map<string, Attempt>()
    for (const token of tokens) {
      const attempt = known.get(token)
      if (attempt === undefined || attempt.key !== key) {
        wrong.push(`${key} holds ${token}, which nobody wrote there`)
        continue
      }
      counts.set(token, (counts.get(token) ?? 0) + 1)
      const before = last.get(attempt.client)
      // A plain client does not know when, after an unknown outcome, the write takes effect; within a session it does.
      const ordered = attempt.session || (attempt.outcome === "acknowledged" && before?.outcome === "acknowledged")
      if (ordered && before !== undefined && before.number > attempt.number)
        wrong.push(`${key} holds ${token} after ${before.token}`)
      if (attempt.session || attempt.outcome === "acknowledged") last.set(attempt.client, attempt)
    }
  }
  for (const attempt of workload.attempts) {
    const count = counts.get(attempt.token) ?? 0
    if (count > 1) wrong.push(`doubled: ${attempt.token} is in ${attempt.key} ${count} times`)
    if (attempt.outcome === "acknowledged" && count === 0)
      wrong.push(`lost: ${attempt.token} was acknowledged and is not in ${attempt.key}`)
    if (attempt.outcome === "refused" && count > 0) wrong.push(`refused and executed all the same: ${attempt.token}`)
  }
  return wrong
}

/** Stops the clients, waits until all nodes have applied the same, and checks the contents of each. */
export const verify = async (
  cluster: Cluster,
  workloads: readonly Workload[],
  ids = cluster.ids,
): Promise<{ readonly wrong: readonly string[]; readonly digests: readonly string[] }> => {
  for (const workload of workloads) await workload.stop()
  await cluster.settled(ids)
  const wrong: string[] = []
  const digests: string[] = []
  for (const id of ids) {
    const store = await contents(cluster, id)
    digests.push(digestOf(store))
    for (const workload of workloads) for (const fault of judge(workload, store)) wrong.push(`${id}: ${fault}`)
  }
  return { wrong: wrong.slice(0, 40), digests }
}
