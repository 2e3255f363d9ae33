/**
 * The engine of both APIs: one queue of operations, one connection, one session.
 *
 * Operations are sent, executed and answered in the order of their submission. The engine moves to another endpoint
 * when the connection breaks, or when a node does not know the outcome (UNKNOWN), has no leader, or misses an earlier
 * number (OUTOFORDER). There it sends all unanswered operations again, in order, writes with their old numbers: the
 * state machine executes each number once and answers a repeated one with the kept reply.
 *
 * A write moves to another session only if the old session has ended and it is certain that the write was not executed
 * there: every copy that was sent has been refused. Otherwise the write ends as SessionExpired.
 */
import { type Alarm, realSurroundings, type Surroundings } from "../../interpreters/surroundings.ts"
import type { Reply } from "../types.ts"
import { type NodeConnection, type Denied, type Dial, openConnection } from "./connection.ts"
import {
  clientsOf,
  type Endpoint,
  leaderEndpointOf,
  makeRotation,
  movedTo,
  parseStatus,
  showEndpoint,
} from "./endpoints.ts"
import { type ClientError, Closed } from "./errors.ts"
import { inDoubt, replyMissed, notInTime, resultGone, serverError, sessionExpired, tlsFailed } from "./failures.ts"
import {
  leavesOpen,
  commandName,
  type ClientOperation,
  type ReplyOrError,
  requestOf,
  type ClientTask,
  verdictOf,
} from "./operation.ts"
import { encodeRequest, errorOf } from "./resp.ts"
import type { TlsTrouble } from "./tlsTrouble.ts"
import {
  executed,
  fill,
  filler,
  returnNumber,
  isNumbered,
  lowestOf,
  newSession,
  prune,
  type SessionNumbers,
} from "./session.ts"

export interface CoreSettings {
  readonly endpoints: readonly Endpoint[]
  /** leader: ask which node leads and connect there. any: stay with this node, which forwards. */
  readonly route: "leader" | "any"
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** A connection that leaves a request unanswered for this long, with no byte arriving, is closed. */
  readonly stallTimeoutMs: number
  readonly backoffMs: readonly [least: number, most: number]
  /**
   * Operations in progress at once. It bounds what the server keeps for deduplication, and what is sent again after a
   * break.
   */
  readonly window: number
}

export interface Core {
  /**
   * `done` is called once, never before submit has returned. The returned function abandons the operation: its outcome
   * is ignored.
   */
  readonly submit: (
    task: ClientTask,
    timeoutMs: number | undefined,
    done: (outcome: ReplyOrError) => void,
  ) => () => void
  /** Waits for operations in progress, then closes the session and the connection. */
  readonly close: () => Promise<void>
  readonly endpoint: () => Endpoint
}

const sweepMs = 25
const maxHops = 2

export const makeCore = (
  settings: CoreSettings,
  surroundings: Surroundings = realSurroundings,
  open: Dial = openConnection,
): Core => {
  const { now, after, every, soon, random, secret } = surroundings
  const queue: ClientOperation[] = []
  const rotation = makeRotation(settings.endpoints, Math.floor(random() * settings.endpoints.length))
  let connection: NodeConnection | null = null
  /** The greeting is done: operations may be sent. */
  let ready = false
  /** queue[0 … sent-1] are on the current connection. */
  let sent = 0
  /** queue[sent … sent+requeued-1] were sent in a session that has ended: they are sent again in another one. */
  let requeued = 0
  let session: SessionNumbers | null = null
  let opening = false
  const owner = secret(16)
  let failures = 0
  let hops = 0
  let trouble = "no endpoint was reached yet"
  let leaderless = false
  /** The endpoints with which TLS could not be agreed, one after the other. */
  const distrusted = new Set<string>()
  let retry: Alarm | null = null
  let sweeper: Alarm | null = null
  let closed: (() => void) | null = null
  let closing = false

  const settle = (operation: ClientOperation, outcome: ReplyOrError): void => {
    if (operation.settled) return
    operation.settled = true
    operation.done(outcome)
  }

  // ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────

  const dial = (): void => {
    retry = null
    ready = false
    const mine: NodeConnection = open(
      rotation.current(),
      settings.connectTimeoutMs,
      {
        up: () => {
          distrusted.clear()
          greet(mine)
        },
        down: (reason, lasting) => {
          if (lasting !== undefined && "problem" in lasting) return distrust(lasting)
          distrusted.clear()
          if (lasting === undefined) leave(reason)
          else deny(reason, lasting)
        },
      },
      surroundings,
    )
    connection = mine
  }

  /** Finds the leader before anything is sent: a forwarded command costs the cluster another hop each time. */
  const greet = (mine: NodeConnection): void => {
    // A client with route `any` asks for other endpoints once something goes wrong: this node may never serve it, for
    // example if it has lost its disk.
    if (settings.route === "any" && failures === 0) return begin()
    mine.send(encodeRequest(["STEPRAFT", "STATUS"]), (reply) => {
      const status = reply.type === "bulk" ? parseStatus(Buffer.from(reply.bytes).toString()) : null
      if (status !== null) rotation.learn(clientsOf(status))
      if (settings.route === "any") return begin()
      const leader = status === null ? null : leaderEndpointOf(status)
      if (leader === null || hops >= maxHops) return begin()
      hops += 1
      mine.drop()
      rotation.next(leader)
      dial()
    })
  }

  const begin = (): void => {
    ready = true
    prune(queue, session)
    goOn()
  }

  const goOn = (): void => {
    if (queue.length === 0) drained()
    else pump()
  }

  /** Closes the connection. Its operations stay in the queue; writes among them are uncertain from now on. */
  const leave = (reason: string, refused?: ClientOperation, hint?: Endpoint, pause = true): void => {
    connection?.drop()
    connection = null
    ready = false
    trouble = reason
    // If a session was being opened, the opening may still be executed; but nobody knows its secret, so that session
    // will expire.
    opening = false
    for (const operation of queue.slice(0, sent))
      if (operation !== refused && isNumbered(operation)) operation.uncertain = true
    // Operations to be sent again come before the unanswered ones.
    if (requeued > 0) queue.splice(requeued, 0, ...queue.splice(0, sent))
    sent = 0
    requeued = 0
    if (session?.ended === true) bury()
    prune(queue, session)
    rotation.next(hint)
    failures += 1
    if (queue.length === 0) return drained()
    if (retry === null) retry = after(pause ? backoff() : 0, dial)
  }

  /** All waiting operations end at once. */
  const endAll = (reason: string, happened: string, error: (operation: ClientOperation) => ClientError): void => {
    for (const operation of queue)
      settle(
        operation,
        operation.uncertain ? inDoubt(operation, `after that ${happened}: ${reason}`) : error(operation),
      )
    leave(reason)
  }
  /** This user or password is not accepted. */
  const deny = (reason: string, denied: Denied): void =>
    endAll(reason, "this client's login was refused", (operation) => serverError(operation, denied))
  /** Another endpoint may be one with which TLS can be agreed; this one will not. */
  const distrust = ({ text }: TlsTrouble): void => {
    distrusted.add(showEndpoint(rotation.current()))
    if (distrusted.size < rotation.size()) return leave(text)
    distrusted.clear()
    endAll(text, "no node was left with which TLS can be agreed", (operation) => tlsFailed(operation, text))
  }

  /**
   * Exponential, with random jitter of up to half, so that the clients of a failed node do not return at the same time.
   */
  const backoff = (): number => {
    const [least, most] = settings.backoffMs
    const full = Math.min(most, least * 2 ** Math.min(failures - 1, 16))
    return full / 2 + (random() * full) / 2
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const pump = (): void => {
    if (connection === null || !ready || opening || session?.ended === true) return
    while (sent < queue.length && sent < settings.window) {
      let operation = queue[sent]
      if (operation === undefined) return
      if (operation.task.type !== "read") {
        if (session?.numbersDisagree === true && !queue.some(isNumbered)) session = null
        if (session === null) return openSession(connection)
        if (session.numbersDisagree && operation.sequence === null) return
        if (session.unused.length > 0) {
          // A gap before the operations in progress shows in their answers: nothing more is sent after it.
          if (!fill(session, queue, sent)) return
          operation = queue[sent] ?? operation
        }
        if (operation.task.type !== "read" && operation.sequence === null) operation.sequence = session.next++
      }
      sent += 1
      dispatch(connection, operation)
    }
  }

  const dispatch = (on: NodeConnection, operation: ClientOperation): void => {
    const sequence = operation.sequence ?? 0
    on.send(
      requestOf(
        operation.settled && isNumbered(operation) ? filler : operation.task,
        session?.key ?? "",
        sequence,
        lowestOf(queue, sequence),
      ),
      (reply) => answered(operation, reply),
    )
  }

  const openSession = (on: NodeConnection): void => {
    opening = true
    on.send(encodeRequest(["STEPRAFT", "SESSION", "OPEN", owner]), (reply) => {
      opening = false
      if (reply.type === "bulk") {
        session = newSession(Buffer.from(reply.bytes).toString())
        return pump()
      }
      const complaint = reply.type === "error" ? `${reply.code} ${reply.text}` : "no key of a session"
      if (reply.type === "error" && verdictOf(reply.code) !== "again") {
        // The error is not temporary: operations that wait for the session get it at once, not at the deadline.
        for (const operation of queue.slice(sent))
          if (operation.task.type !== "read") settle(operation, serverError(operation, reply))
        queue.splice(sent, queue.length, ...queue.slice(sent).filter(({ settled }) => !settled))
        return goOn()
      }
      refusedAgain(complaint, reply)
    })
  }

  // ── replies ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Replies come in order, so this one belongs to the head of the queue. */
  const answered = (operation: ClientOperation, reply: Reply): void => {
    // The read was sent after a write that is sent again: the read must see that write.
    if (session?.ended === true && operation.task.type === "read") return requeue(operation)
    if (reply.type !== "error") return finish(operation, reply)
    const verdict = verdictOf(reply.code)
    if (operation.task.type === "read") {
      if (verdict === "again") return refusedAgain(`${reply.code} ${reply.text}`, reply, operation)
      return finish(operation, serverError(operation, reply))
    }
    switch (verdict) {
      case "result":
        return finish(operation, serverError(operation, errorOf(reply.text)))
      case "refused":
        return refused(operation, reply)
      case "expired":
        return expired(operation)
      case "forgotten":
        return forgotten(operation)
      case "again": {
        operation.uncertain ||= leavesOpen(reply.code)
        operation.misplaced = reply.code === "OUTOFORDER"
        // Everything before it is answered, so an earlier number was not used: either a number that is known to be in
        // doubt, or this node's state is not current.
        if (operation.misplaced && session !== null && session.unused.length > 0)
          return leave("a number was not used", operation, connection?.endpoint, failures > 2)
        return refusedAgain(`${reply.code} ${reply.text}`, reply, operation)
      }
    }
  }

  const finish = (operation: ClientOperation, outcome: ReplyOrError): void => {
    failures = 0
    hops = 0
    leaderless = false
    if (session !== null && operation.sequence !== null) executed(session, operation.sequence)
    take(operation, outcome)
  }

  /** Removes the head of the queue, which is answered. */
  const take = (operation: ClientOperation, outcome: ReplyOrError): void => {
    queue.shift()
    sent -= 1
    settle(operation, outcome)
    advance()
  }

  const advance = (): void => {
    if (session?.ended === true && sent === 0) bury()
    goOn()
  }

  const refusedAgain = (reason: string, reply: Reply, operation?: ClientOperation): void => {
    const code = reply.type === "error" ? reply.code : ""
    leaderless = code === "NOLEADER" || code === "CLUSTERDOWN"
    const hint = reply.type === "error" && code === "MOVED" ? (movedTo(reply.text) ?? undefined) : undefined
    leave(reason, operation, hint, hint === undefined || failures > 2)
  }

  const refused = (operation: ClientOperation, reply: Extract<Reply, { type: "error" }>): void => {
    const { uncertain, settled } = operation
    // The error is temporary, and the answer can be had later. An operation that no caller waits for is dropped
    // instead: the ones after it get the same error. A filler is kept: later operations need its number, whatever this
    // node's error.
    if (reply.code === "SPACELOW" ? (settled ? sent === 1 : uncertain) : operation.task === filler)
      return refusedAgain(`${reply.code} ${reply.text}`, reply, operation)
    if (session !== null && operation.sequence !== null) returnNumber(session, operation.sequence)
    const doubt = `the last one was refused: ${reply.code} ${reply.text}`
    take(operation, uncertain ? inDoubt(operation, doubt) : serverError(operation, reply))
  }

  const forgotten = (operation: ClientOperation): void => {
    if (session !== null && operation.sequence !== null) executed(session, operation.sequence)
    take(operation, resultGone(operation))
  }

  /** The other answers on this connection still tell what was executed, so the client waits for them. */
  const expired = (operation: ClientOperation): void => {
    if (session !== null) session.ended = true
    if (operation.uncertain) take(operation, sessionExpired(operation))
    else requeue(operation)
  }

  /** The head of the queue is sent again in another session, before anything that was not sent yet. */
  const requeue = (operation: ClientOperation): void => {
    queue.shift()
    sent -= 1
    operation.sequence = null
    operation.misplaced = false
    if (!operation.settled) queue.splice(sent + requeued++, 0, operation)
    advance()
  }

  /** The session has ended, and no more answers in it will come. */
  const bury = (): void => {
    session = null
    requeued = 0
    for (const operation of queue) {
      if (isNumbered(operation) && operation.uncertain) settle(operation, sessionExpired(operation))
      operation.sequence = null
      operation.misplaced = false
    }
    queue.splice(0, queue.length, ...queue.filter(({ settled }) => !settled))
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  const sweep = (): void => {
    const time = now()
    if (closing && queue.every(({ settled }) => settled)) {
      // Only answers that no caller waits for are outstanding: the session will expire.
      queue.length = 0
      sent = 0
      requeued = 0
      session = null
      return drained()
    }
    if (queue.every(({ deadline, settled }) => settled || deadline > time)) {
      if (connection !== null && connection.silentMs() > settings.stallTimeoutMs)
        leave(`no answer for ${settings.stallTimeoutMs} ms`)
      return
    }
    for (const operation of queue.toReversed()) if (!operation.settled && operation.deadline <= time) expire(operation)
    if (queue.length === 0) drained()
  }

  const expire = (operation: ClientOperation): void => {
    const at = queue.indexOf(operation)
    if (isNumbered(operation) && (operation.uncertain || at < sent)) {
      if (operation.misplaced && session !== null) session.numbersDisagree = true
      settle(operation, replyMissed(operation, trouble))
      return
    }
    settle(operation, notInTime(operation, leaderless, trouble))
    withdraw(operation)
  }

  /** Removes an operation that no caller waits for, unless its reply is still to come or its number may be in use. */
  const withdraw = (operation: ClientOperation): void => {
    const at = queue.indexOf(operation)
    if (at < sent || operation.uncertain) return
    queue.splice(at, 1)
    if (at < sent + requeued) requeued -= 1
    if (session !== null && operation.sequence !== null) returnNumber(session, operation.sequence)
    if (queue.length === 0) drained()
  }

  /**
   * No operation is left: no timer may keep the process alive, and a dead connection is replaced only with the next
   * command.
   */
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
        const command = commandName(task)
        soon(() =>
          done(new Closed({ command, executed: "no", message: `${command} was not sent: the client is closed` })),
        )
        return () => {}
      }
      const operation: ClientOperation = {
        task,
        done,
        deadline: now() + (timeoutMs ?? settings.timeoutMs),
        settled: false,
        sequence: null,
        uncertain: false,
        misplaced: false,
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
