/**
 * The engine under both faces: one queue of operations, one connection, one session.
 *
 * Operations are sent, executed and answered in the order of their submission. When the connection breaks, or a node says
 * that it cannot tell (UNKNOWN), has no leader, or has lost the thread (OUTOFORDER), the engine goes to another endpoint
 * and sends all that is unanswered again, in order, writes with their old numbers: the state machine executes each number
 * once and answers a repeated one with the kept reply.
 */
import { type Alarm, realSurroundings, type Surroundings } from "../surroundings.ts"
import type { Reply } from "../types.ts"
import { type Connection, type Dial, openConnection } from "./connection.ts"
import { clientsOf, type Endpoint, leaderOf, makeRotation, movedTo, parseStatus } from "./endpoints.ts"
import { Closed, NoLeader, ServerError, SessionExpired, TimedOut, Unknown } from "./errors.ts"
import { nameOf, type Operation, type Outcome, requestOf, type Task, verdictOf } from "./operation.ts"
import { encodeRequest } from "./resp.ts"
import { isNumbered, lowestOf, pruneAfterLoss, type Session, unnumber } from "./session.ts"

export interface CoreSettings {
  readonly endpoints: readonly Endpoint[]
  /** leader: ask where the leader is and go there. any: stay where we are; the node forwards. */
  readonly route: "leader" | "any"
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** A connection that leaves a request unanswered for so long, with no byte arriving, is given up. */
  readonly stallTimeoutMs: number
  readonly backoffMs: readonly [least: number, most: number]
  /** Operations under way at once. It bounds what the server keeps for deduplication, and what is sent again after a break. */
  readonly window: number
}

export interface Core {
  /** `done` is called once, never before submit has returned. The result gives the operation up: its outcome is ignored. */
  readonly submit: (task: Task, timeoutMs: number | undefined, done: (outcome: Outcome) => void) => () => void
  /** Waits for what is under way, closes the session and the connection. */
  readonly close: () => Promise<void>
  readonly endpoint: () => Endpoint
}

const sweepMs = 25
const maxHops = 2

export const makeCore = (settings: CoreSettings, surroundings: Surroundings = realSurroundings, open: Dial = openConnection): Core => {
  const { now, after, every, soon, random, secret } = surroundings
  const queue: Operation[] = []
  const rotation = makeRotation(settings.endpoints, Math.floor(random() * settings.endpoints.length))
  let connection: Connection | null = null
  /** Greeted: operations may be sent. */
  let ready = false
  /** queue[0 … sent-1] are on the current connection. */
  let sent = 0
  let session: Session | null = null
  let opening = false
  /** One owner for the client's life, so that a new session ends the old one and what is still under way in it. */
  let owner = secret(16)
  let failures = 0
  let hops = 0
  let trouble = "no endpoint was reached yet"
  let leaderless = false
  let retry: Alarm | null = null
  let sweeper: Alarm | null = null
  let closed: (() => void) | null = null
  let closing = false

  const settle = (operation: Operation, outcome: Outcome): void => {
    if (operation.settled) return
    operation.settled = true
    operation.done(outcome)
  }

  // ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────

  const dial = (): void => {
    retry = null
    ready = false
    const mine: Connection = open(rotation.current(), settings.connectTimeoutMs, { up: () => greet(mine), down: (reason) => leave(reason) }, surroundings)
    connection = mine
  }

  /** Finds the leader before anything is sent: a forwarded command costs the cluster another hop each time. */
  const greet = (mine: Connection): void => {
    if (settings.route === "any") return begin()
    mine.send(encodeRequest(["STEPRAFT", "STATUS"]), (reply) => {
      const status = reply.type === "bulk" ? parseStatus(Buffer.from(reply.bytes).toString()) : null
      if (status !== null) rotation.learn(clientsOf(status))
      const leader = status === null ? null : leaderOf(status)
      if (leader === null || hops >= maxHops) return begin()
      hops += 1
      mine.drop()
      rotation.next(leader)
      dial()
    })
  }

  const begin = (): void => {
    ready = true
    prune()
    if (queue.length === 0) drained()
    else pump()
  }

  const prune = (): void => {
    if (pruneAfterLoss(queue) === "abandon") session = null
  }

  /** Gives the connection up. What was on it stays in the queue; writes among it are uncertain from now on. */
  const leave = (reason: string, refused?: Operation, hint?: Endpoint, pause = true): void => {
    connection?.drop()
    connection = null
    ready = false
    trouble = reason
    if (opening) {
      // The lost opening may still be carried out, and would then end a later session of the same owner.
      opening = false
      owner = secret(16)
    }
    for (const operation of queue.slice(0, sent)) if (operation !== refused && isNumbered(operation)) operation.uncertain = true
    sent = 0
    prune()
    rotation.next(hint)
    failures += 1
    if (queue.length === 0) return drained()
    if (retry === null) retry = after(pause ? backoff() : 0, dial)
  }

  /** Exponential, with half of it left to chance, so that clients of a fallen node do not return in step. */
  const backoff = (): number => {
    const [least, most] = settings.backoffMs
    const full = Math.min(most, least * 2 ** Math.min(failures - 1, 16))
    return full / 2 + (random() * full) / 2
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const pump = (): void => {
    if (connection === null || !ready || opening) return
    while (sent < queue.length && sent < settings.window) {
      const operation = queue[sent]
      if (operation === undefined) return
      if (operation.task.type !== "read") {
        if (session === null) return openSession(connection)
        if (operation.sequence === null) operation.sequence = session.next++
      }
      sent += 1
      dispatch(connection, operation)
    }
  }

  const dispatch = (on: Connection, operation: Operation): void => {
    const sequence = operation.sequence ?? 0
    on.send(requestOf(operation.task, session?.key ?? "", sequence, lowestOf(queue, sequence)), (reply) => answered(operation, reply))
  }

  const openSession = (on: Connection): void => {
    opening = true
    on.send(encodeRequest(["STEPRAFT", "SESSION", "OPEN", owner]), (reply) => {
      opening = false
      if (reply.type === "bulk") {
        session = { key: Buffer.from(reply.bytes).toString(), next: 1 }
        return pump()
      }
      const complaint = reply.type === "error" ? `${reply.code} ${reply.text}` : "no key of a session"
      if (reply.type === "error" && verdictOf(reply) !== "again") {
        // Not a passing state: those who wait for the session get the answer instead of waiting for their deadline.
        for (const operation of queue.slice(sent)) if (operation.task.type !== "read") settle(operation, serverError(operation, reply))
        queue.splice(sent, queue.length, ...queue.slice(sent).filter(({ settled }) => !settled))
        return queue.length === 0 ? drained() : pump()
      }
      refusedAgain(complaint, reply)
    })
  }

  // ── replies ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const serverError = (operation: Operation, { code, text }: { readonly code: string; readonly text: string }): ServerError =>
    new ServerError({ command: nameOf(operation.task), code, message: `${code} ${text}`.trim() })

  /** Replies come in order, so this is always about the head of the queue. */
  const answered = (operation: Operation, reply: Reply): void => {
    if (reply.type !== "error") return finish(operation, reply)
    const verdict = verdictOf(reply)
    if (operation.task.type === "read") {
      if (verdict === "again") return refusedAgain(`${reply.code} ${reply.text}`, reply, operation)
      return finish(operation, serverError(operation, reply))
    }
    switch (verdict) {
      case "answer": return finish(operation, serverError(operation, reply))
      case "refused": return operation.uncertain ? refusedAgain(`${reply.code} ${reply.text}`, reply, operation) : refusedForGood(operation, reply)
      case "expired": return expired()
      case "again": {
        if (reply.code === "UNKNOWN") operation.uncertain = true
        if (reply.code === "OUTOFORDER") return outOfOrder(operation, reply)
        return refusedAgain(`${reply.code} ${reply.text}`, reply, operation)
      }
    }
  }

  const finish = (operation: Operation, outcome: Outcome): void => {
    failures = 0
    hops = 0
    leaderless = false
    queue.shift()
    sent -= 1
    settle(operation, outcome)
    if (queue.length === 0) drained()
    else pump()
  }

  const refusedAgain = (reason: string, reply: Reply, operation?: Operation): void => {
    const code = reply.type === "error" ? reply.code : ""
    leaderless = code === "NOLEADER" || code === "CLUSTERDOWN"
    const hint = reply.type === "error" && code === "MOVED" ? (movedTo(reply.text) ?? undefined) : undefined
    leave(reason, operation, hint, hint === undefined || failures > 2)
  }

  /** Never proposed: its number is free again. What was sent behind it can never be executed under its numbers. */
  const refusedForGood = (operation: Operation, reply: Extract<Reply, { type: "error" }>): void => {
    queue.shift()
    sent -= 1
    settle(operation, serverError(operation, reply))
    giveBack(operation)
  }

  const giveBack = (operation: Operation): void => {
    if (!queue.some(isNumbered)) {
      if (session !== null && operation.sequence !== null) session.next = operation.sequence
      return queue.length === 0 ? drained() : pump()
    }
    startAnew("a command was refused")
  }

  /** A new session for operations that were certainly not executed in the old one. */
  const startAnew = (reason: string): void => {
    unnumber(queue)
    session = null
    leave(reason, undefined, connection?.endpoint, false)
  }

  const expired = (): void => {
    for (const operation of queue) {
      if (!isNumbered(operation) || !operation.uncertain) continue
      const command = nameOf(operation.task)
      settle(operation, new SessionExpired({ command, message: `the session ended before the outcome of ${command} was learnt; it may have taken effect, and will not any more` }))
    }
    queue.splice(0, queue.length, ...queue.filter(({ settled }) => !settled))
    startAnew("the session expired")
  }

  /** Once can be a node's lost thread. Twice at the head: a number before it was never used, so none behind it can be. */
  const outOfOrder = (operation: Operation, reply: Reply): void => {
    if (operation.misplaced) return startAnew("the numbers of the session do not fit")
    operation.misplaced = true
    refusedAgain("OUTOFORDER", reply, operation)
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  const sweep = (): void => {
    const time = now()
    if (closing && queue.every(({ settled }) => settled)) {
      // Only answers that nobody waits for are outstanding: their session is left to expire.
      queue.length = 0
      sent = 0
      session = null
      return drained()
    }
    if (queue.every(({ deadline, settled }) => settled || deadline > time)) {
      if (connection !== null && connection.silentMs() > settings.stallTimeoutMs) leave(`no answer for ${settings.stallTimeoutMs} ms`)
      return
    }
    for (const operation of queue.toReversed()) if (!operation.settled && operation.deadline <= time) expire(operation)
    if (queue.length === 0) drained()
  }

  const expire = (operation: Operation): void => {
    const command = nameOf(operation.task)
    const at = queue.indexOf(operation)
    if (isNumbered(operation) && (operation.uncertain || at < sent)) {
      settle(operation, new Unknown({ command, message: `no reply to ${command} in time (${trouble}); it may have taken effect` }))
      return
    }
    settle(operation, leaderless ? new NoLeader({ command, message: `no leader in time: ${command} was not executed (${trouble})` }) : new TimedOut({ command, message: `${command} was not executed in time (${trouble})` }))
    withdraw(operation)
  }

  /** Takes out an operation that nobody waits for, unless its reply is still to come or its number may be in use. */
  const withdraw = (operation: Operation): void => {
    const at = queue.indexOf(operation)
    if (at < sent || operation.uncertain) return
    queue.splice(at, 1)
    if (isNumbered(operation)) giveBack(operation)
    else if (queue.length === 0) drained()
  }

  /** Nothing is left to do: no timer may keep the process alive, and a dead connection waits for the next command. */
  const drained = (): void => {
    sweeper?.cancel()
    sweeper = null
    retry?.cancel()
    retry = null
    if (closing) finishClosing()
  }

  const finishClosing = (): void => {
    const end = closed
    closed = null
    const last = connection
    connection = null
    if (end === null) return
    if (last === null || session === null || !ready) {
      last?.drop()
      return end()
    }
    const give = (): void => {
      limit.cancel()
      last.drop()
      end()
    }
    const limit = after(Math.min(1_000, settings.stallTimeoutMs), give)
    last.send(encodeRequest(["STEPRAFT", "SESSION", "CLOSE", session.key]), give)
  }

  return {
    submit: (task, timeoutMs, done) => {
      if (closing) {
        const command = nameOf(task)
        soon(() => done(new Closed({ command, executed: "no", message: `${command} was not sent: the client is closed` })))
        return () => {}
      }
      const operation: Operation = {
        task, done, deadline: now() + (timeoutMs ?? settings.timeoutMs), settled: false, sequence: null, uncertain: false, misplaced: false,
      }
      queue.push(operation)
      sweeper ??= every(sweepMs, sweep)
      if (connection === null && retry === null) dial()
      else pump()
      return () => {
        if (operation.settled) return
        operation.settled = true
        withdraw(operation)
      }
    },
    close: () => {
      if (closing) return Promise.resolve()
      closing = true
      return new Promise((resolve) => {
        closed = resolve
        if (queue.length === 0) drained()
      })
    },
    endpoint: () => rotation.current(),
  }
}
