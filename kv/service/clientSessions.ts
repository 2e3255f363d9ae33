/**
 * Requests of clients that keep sessions of their own. The client numbers them, so it may send the same number again,
 * here or to another node. This node proposes each request until its answer is known or its time is up; the session
 * makes that safe.
 *
 * So the log may hold many copies of a request, from this node and others, and this node may be executing old ones
 * while a new one waits. The result of the copy that was executed is the answer to all of them. That a copy was *not*
 * executed says nothing about the others: it counts only if this request proposed that very entry, by index and term.
 */
import { OK } from "../machine/reply.ts"
import type { Payload, Term } from "../../core/index.ts"
import { payloadOf } from "../../interpreters/payload.ts"
import { ProposalQueue, proposalQueueFor, type QueuedCommand } from "../../interpreters/replica/index.ts"
import { encodeCommand } from "../machine/command.ts"
import { MAX_OWNER, NODE_OWNER } from "../machine/sessions.ts"
import { hexOf, MAX_U48, SECRET_BYTES, secretOf, showSessionKey } from "../sessionKey.ts"
import type { Call, ClosedSession, Command, OpenedSession, Replied, Reply, SessionKey, Watch } from "../types.ts"
import { argumentsIn, commandSize, commandWeight, type ServiceParts } from "./parts.ts"
import {
  busy,
  replyCode,
  executedReply,
  notOpen,
  outOfDomain,
  refusal,
  longOwner,
  reservedOwner,
  stopping,
  tooLarge,
  tooMany,
  unknownRequest,
  unknownStopping,
} from "./replies.ts"

interface Request extends QueuedCommand {
  readonly payload: Payload
  readonly command: Command
  readonly done: ((reply: Reply) => void)[]
  readonly at: number
  /** Copies that were not executed; one of them may turn out to be this request's own. */
  readonly refused: Refused[]
}
interface Refused {
  readonly index: number
  readonly term: Term
  readonly reply: Reply
}
/** Requests that wait in one session with one secret. */
interface Waiters {
  readonly requests: Map<number, Request>
  closing: Request | null
}

/**
 * At most this many refused copies of one request are remembered. If the copy at the executed entry is no longer among
 * them, the request is proposed again.
 */
const MOST_REFUSED = 64

/** Session and secret together: the same session with another secret is a different entry. */
const placeOf = (session: number, secret: Uint8Array): string =>
  `${session} ${Buffer.from(secret.buffer, secret.byteOffset, secret.length).toString("latin1")}`

const inDomain = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= MAX_U48

export class ClientSessions {
  private readonly parts: ServiceParts
  private readonly termAt: (index: number) => Term | undefined
  private readonly queue: ProposalQueue<Request>
  /** Unanswered requests: by session and secret, then by number; and openings by secret. */
  private readonly waitingIn = new Map<string, Waiters>()
  private readonly openings = new Map<string, Request>()
  private stopped = false

  constructor(parts: ServiceParts, termAt: (index: number) => Term | undefined) {
    this.parts = parts
    this.termAt = termAt
    const { driver, settings } = parts
    this.queue = new ProposalQueue<Request>({
      ...proposalQueueFor(parts),
      ready: () => driver.leadership().leader !== null,
      encode: (request) => request.payload,
      passed: (request, index, term) => this.passed(request, index, term),
      refused: (reason, requests) => {
        if (reason !== "spaceLow" && (reason !== "tooLarge" || requests.length > 1)) return
        for (const request of requests)
          if (request.attempts === 0)
            this.answer(request, refusal(reason, settings.writeTimeout, settings.maxEntryBytes))
      },
    })
  }

  get waiting(): number {
    return this.queue.length
  }
  get resends(): number {
    return this.queue.resends
  }

  write(
    key: SessionKey,
    sequence: number,
    lowest: number,
    calls: readonly Call[],
    exec: boolean,
    watches: readonly Watch[],
    done: (reply: Reply) => void,
  ): void {
    const same = this.waiters(key.id, key.secret)?.requests.get(sequence)
    if (same !== undefined) {
      same.done.push(done)
      return
    }
    if (
      !inDomain(key.id) ||
      !inDomain(sequence) ||
      sequence === 0 ||
      !inDomain(lowest) ||
      !watches.every(({ version }) => inDomain(version))
    )
      return this.parts.soon(() => done(outOfDomain))
    const { maxArguments } = this.parts.settings
    const words = argumentsIn(calls, watches)
    if (words > maxArguments) return this.parts.soon(() => done(tooMany(maxArguments)))
    const request = this.enter(
      { type: "Execute", session: key.id, secret: key.secret, sequence, lowest, exec, watches, calls },
      commandSize(calls, watches) + SECRET_BYTES,
      done,
      words,
    )
    if (request !== null) this.waitersFor(key).requests.set(sequence, request)
  }
  open(owner: string, done: (reply: Reply) => void): void {
    if (owner.startsWith(NODE_OWNER)) return this.parts.soon(() => done(reservedOwner(NODE_OWNER)))
    if (owner.length > MAX_OWNER) return this.parts.soon(() => done(longOwner(owner.length, MAX_OWNER)))
    const secret = this.parts.secret(SECRET_BYTES)
    const request = this.enter({ type: "OpenSession", owner, secret: secretOf(secret) }, 64 + 4 * owner.length, done)
    if (request !== null) this.openings.set(secret, request)
  }
  close(key: SessionKey, done: (reply: Reply) => void): void {
    if (!inDomain(key.id)) return this.parts.soon(() => done(outOfDomain))
    const same = this.waiters(key.id, key.secret)?.closing ?? null
    if (same !== null) {
      same.done.push(done)
      return
    }
    const request = this.enter({ type: "CloseSession", session: key.id, secret: key.secret }, 64, done)
    if (request !== null) this.waitersFor(key).closing = request
  }

  private waiters(session: number, secret: Uint8Array): Waiters | undefined {
    return this.waitingIn.get(placeOf(session, secret))
  }
  private waitersFor({ id, secret }: SessionKey): Waiters {
    const known = this.waiters(id, secret)
    if (known !== undefined) return known
    const made: Waiters = { requests: new Map(), closing: null }
    this.waitingIn.set(placeOf(id, secret), made)
    return made
  }
  private leave(session: number, secret: Uint8Array, request: Request, sequence: number | null): void {
    const place = placeOf(session, secret)
    const waiters = this.waitingIn.get(place)
    if (waiters === undefined) return
    if (sequence === null && waiters.closing === request) waiters.closing = null
    if (sequence !== null && waiters.requests.get(sequence) === request) waiters.requests.delete(sequence)
    if (waiters.requests.size === 0 && waiters.closing === null) this.waitingIn.delete(place)
  }

  private enter(command: Command, size: number, done: (reply: Reply) => void, words = 0): Request | null {
    const { settings, now, soon } = this.parts
    const refuse = (reply: Reply): null => {
      soon(() => done(reply))
      return null
    }
    if (this.stopped) return refuse(stopping)
    if (size > settings.maxEntryBytes) return refuse(tooLarge(settings.maxEntryBytes))
    const bytes = commandWeight(size, words)
    if (this.queue.length >= settings.maxWaiting || this.queue.bytes + bytes > settings.maxWaitingBytes) {
      this.parts.count("service.busy")
      return refuse(busy)
    }
    const request: Request = {
      payload: payloadOf(encodeCommand(command)),
      bytes,
      attempts: 0,
      settled: false,
      command,
      done: [done],
      at: now(),
      refused: [],
    }
    this.queue.push(request)
    return request
  }

  private answer(request: Request, reply: Reply): void {
    if (request.settled) return
    const { command } = request
    if (command.type === "OpenSession") this.openings.delete(hexOf(command.secret))
    else if (command.type === "CloseSession") this.leave(command.session, command.secret, request, null)
    else if (command.type === "Execute" && command.secret !== null)
      this.leave(command.session, command.secret, request, command.sequence)
    this.queue.settle(request)
    for (const done of request.done) done(reply)
  }

  pump(): void {
    this.queue.pump()
  }

  replied({ session, secret, sequence, reply, executed, index, term }: Replied): void {
    const request = secret === null ? undefined : this.waiters(session, secret)?.requests.get(sequence)
    if (request === undefined) return
    if (executed) this.answer(request, executedReply(reply))
    else this.remember(request, { index, term, reply })
  }
  opened({ secret, session }: OpenedSession): void {
    const request = this.openings.get(hexOf(secret))
    if (request !== undefined)
      this.answer(request, { type: "bulk", bytes: Buffer.from(showSessionKey({ id: session, secret })) })
  }
  closed({ session, secret, ended, index, term }: ClosedSession): void {
    const request = this.waiters(session, secret)?.closing ?? null
    if (request === null) return
    if (ended) this.answer(request, OK)
    else this.remember(request, { index, term, reply: notOpen })
  }
  private remember({ refused }: Request, what: Refused): void {
    refused.push(what)
    if (refused.length > MOST_REFUSED) refused.shift()
  }
  /** The entry at `index`, where this request was appended, was executed, and the request has no answer. */
  private passed(request: Request, index: number, term: Term): void {
    const own = request.refused.find((each) => each.index === index && each.term === term)
    if (own === undefined) {
      // Another entry replaced it. If the log no longer reaches back to `index`, that cannot be known.
      const stands = this.termAt(index)
      if (stands !== undefined && stands !== term) request.attempts--
      return
    }
    request.attempts--
    if (replyCode(own.reply) === "OUTOFORDER") {
      this.parts.count("service.outOfOrder")
      // The missing number may have been lost on its way from this node: then both are proposed again. Another copy of
      // this one may still be executed.
      if (request.attempts > 0 || this.awaitsEarlier(request.command) || this.isNext(request.command)) return
    }
    this.answer(request, own.reply)
  }
  /**
   * The missing number has been executed since, and the index of this copy became known only later. So it is proposed
   * again.
   */
  private isNext(command: Command): boolean {
    if (command.type !== "Execute" || command.secret === null) return false
    const { type } = this.parts.machine.replyOf(command.session, command.secret, command.sequence - 1)
    return type === "kept" || type === "forgotten"
  }
  private awaitsEarlier(command: Command): boolean {
    if (command.type !== "Execute" || command.secret === null) return false
    for (const earlier of this.waiters(command.session, command.secret)?.requests.keys() ?? [])
      if (earlier < command.sequence) return true
    return false
  }
  restored(): void {
    const { settings, machine } = this.parts
    for (const request of this.queue.list()) {
      if (request.settled || request.command.type !== "Execute") continue
      const state = machine.replyOf(request.command.session, request.command.secret, request.command.sequence)
      if (state.type === "kept") this.answer(request, executedReply(state.reply))
      // The snapshot already covers the end of the session; whether it ended before or after this command is unknown.
      else if (state.type === "expired" && request.attempts > 0)
        this.answer(request, unknownRequest(settings.writeTimeout))
    }
    this.queue.rewind(0)
  }

  tick(): void {
    const { settings, now, count, driver } = this.parts
    this.queue.tick()
    for (
      let oldest = this.queue.oldest;
      oldest !== undefined && now() - oldest.at >= settings.writeTimeout;
      oldest = this.queue.oldest
    ) {
      count(oldest.attempts > 0 ? "service.unknown" : "service.noLeader")
      const reason = driver.leadership().leader === null ? null : this.queue.lastRefusal
      this.answer(
        oldest,
        oldest.attempts > 0
          ? unknownRequest(settings.writeTimeout)
          : refusal(reason, settings.writeTimeout, settings.maxEntryBytes),
      )
    }
  }
  changed(now: Parameters<ProposalQueue<Request>["changed"]>[0]): void {
    this.queue.changed(now)
  }
  appliedThrough(index: number): void {
    this.queue.appliedThrough(index)
  }
  stop(): void {
    this.stopped = true
    this.queue.stop()
    for (const request of this.queue.list()) this.answer(request, request.attempts > 0 ? unknownStopping : stopping)
  }
}
