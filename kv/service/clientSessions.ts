/**
 * Requests of clients that keep sessions of their own. The client numbers them, so it may send the same number again
 * here or elsewhere; this node proposes each until its answer is known or its time is up, which the session makes
 * safe.
 */
import type { Payload, Term } from "../../core/index.ts"
import { payloadOf } from "../../interpreters/bytes.ts"
import { encodeCommand } from "../machine/command.ts"
import { NODE_OWNER } from "../machine/sessions.ts"
import type { Call, Command, Reply, Watch } from "../types.ts"
import { Lane, type Item } from "./lane.ts"
import { argumentsIn, commandSize, type Parts } from "./parts.ts"
import { OK, busy, codeOf, refusal, reservedOwner, stopping, tooLarge, tooMany, unknownRequest, unknownStopping } from "./replies.ts"

interface Request extends Item {
  readonly payload: Payload
  readonly command: Command
  readonly done: ((reply: Reply) => void)[]
  readonly at: number
}

export class ClientSessions {
  private readonly parts: Parts
  private readonly termAt: (index: number) => Term | undefined
  private readonly lane: Lane<Request>
  /** Unanswered requests: by session and number, and openings by token. */
  private readonly waitingFor = new Map<number, Map<number, Request>>()
  private readonly openings = new Map<string, Request>()
  private stopped = false

  constructor(parts: Parts, termAt: (index: number) => Term | undefined) {
    this.parts = parts
    this.termAt = termAt
    const { driver, settings, now, after } = parts
    this.lane = new Lane<Request>({
      now,
      after,
      stallMs: settings.stallMs,
      backoffMs: settings.backoffMs,
      propose: driver.propose,
      wake: driver.wake,
      ready: () => driver.leadership().leader !== null,
      encode: (request) => request.payload,
      passed: (request, index, term) => this.passed(request, index, term),
      refused: (reason, requests) => {
        if (reason !== "spaceLow" && (reason !== "tooLarge" || requests.length > 1)) return
        for (const request of requests) if (request.attempts === 0) this.answer(request, refusal(reason, settings.writeTimeout, settings.maxEntryBytes))
      },
    })
  }

  get waiting(): number {
    return this.lane.length
  }
  get resends(): number {
    return this.lane.resends
  }

  write(session: number, sequence: number, lowest: number, calls: readonly Call[], exec: boolean, watches: readonly Watch[], done: (reply: Reply) => void): void {
    const same = this.waitingFor.get(session)?.get(sequence)
    if (same !== undefined) {
      same.done.push(done)
      return
    }
    const { maxArguments } = this.parts.settings
    if (argumentsIn(calls, watches) > maxArguments) return this.parts.soon(() => done(tooMany(maxArguments)))
    const request = this.enter({ type: "Execute", session, sequence, lowest, exec, watches, calls }, commandSize(calls, watches), done)
    if (request === null) return
    let numbers = this.waitingFor.get(session)
    if (numbers === undefined) {
      numbers = new Map()
      this.waitingFor.set(session, numbers)
    }
    numbers.set(sequence, request)
  }
  open(owner: string, done: (reply: Reply) => void): void {
    if (owner.startsWith(NODE_OWNER)) return this.parts.soon(() => done(reservedOwner(NODE_OWNER)))
    const token = this.parts.secret(12)
    const request = this.enter({ type: "OpenSession", owner, token }, 64 + owner.length, done)
    if (request !== null) this.openings.set(token, request)
  }
  close(session: number, done: (reply: Reply) => void): void {
    this.enter({ type: "CloseSession", session }, 32, done)
  }

  private enter(command: Command, bytes: number, done: (reply: Reply) => void): Request | null {
    const { settings, now, soon } = this.parts
    const refuse = (reply: Reply): null => {
      soon(() => done(reply))
      return null
    }
    if (this.stopped) return refuse(stopping)
    if (bytes > settings.maxEntryBytes) return refuse(tooLarge(settings.maxEntryBytes))
    if (this.lane.length >= settings.maxWaiting || this.lane.bytes + bytes > settings.maxWaitingBytes) {
      this.parts.count("service.busy")
      return refuse(busy)
    }
    const request: Request = { payload: payloadOf(encodeCommand(command)), bytes, attempts: 0, settled: false, command, done: [done], at: now() }
    this.lane.push(request)
    return request
  }

  private answer(request: Request, reply: Reply): void {
    if (request.settled) return
    const { command } = request
    if (command.type === "OpenSession") this.openings.delete(command.token)
    else if (command.type === "Execute") {
      const numbers = this.waitingFor.get(command.session)
      numbers?.delete(command.sequence)
      if (numbers?.size === 0) this.waitingFor.delete(command.session)
    }
    this.lane.settle(request)
    for (const done of request.done) done(reply)
  }

  pump(): void {
    this.lane.pump()
  }

  replied(session: number, sequence: number, reply: Reply): void {
    const numbers = this.waitingFor.get(session)
    const request = numbers?.get(sequence)
    if (numbers === undefined || request === undefined) return
    if (codeOf(reply) === "OUTOFORDER") {
      this.parts.count("service.outOfOrder")
      // Was what is missing lost on the way from here? Then both go again; else the client itself left the gap.
      for (const earlier of numbers.keys()) if (earlier < sequence) return
    }
    this.answer(request, reply)
  }
  opened(token: string, session: number): void {
    const request = this.openings.get(token)
    if (request !== undefined) this.answer(request, { type: "integer", value: session })
  }
  /**
   * Nothing announces that a session was closed: its entry was executed if it still stands where it was appended. If the
   * log does not reach back that far any more nobody can tell, and it is proposed again: closing twice does no harm.
   */
  private passed(request: Request, index: number, term: Term): void {
    if (request.command.type === "CloseSession" && this.termAt(index) === term) this.answer(request, OK)
  }
  restored(): void {
    const { settings, machine } = this.parts
    for (const request of this.lane.list()) {
      if (request.settled || request.command.type !== "Execute") continue
      const state = machine.replyOf(request.command.session, request.command.sequence)
      if (state.type === "kept") this.answer(request, state.reply)
      // The session ended within what the snapshot covers; whether before or after this command cannot be seen.
      else if (state.type === "expired" && request.attempts > 0) this.answer(request, unknownRequest(settings.writeTimeout))
    }
    this.lane.rewind(0)
  }

  tick(): void {
    const { settings, now, count, driver } = this.parts
    this.lane.tick()
    for (let oldest = this.lane.oldest; oldest !== undefined && now() - oldest.at >= settings.writeTimeout; oldest = this.lane.oldest) {
      count(oldest.attempts > 0 ? "service.unknown" : "service.noLeader")
      const reason = driver.leadership().leader === null ? null : this.lane.lastRefusal
      this.answer(oldest, oldest.attempts > 0 ? unknownRequest(settings.writeTimeout) : refusal(reason, settings.writeTimeout, settings.maxEntryBytes))
    }
  }
  changed(now: Parameters<Lane<Request>["changed"]>[0]): void {
    this.lane.changed(now)
  }
  appliedThrough(index: number): void {
    this.lane.appliedThrough(index)
  }
  stop(): void {
    this.stopped = true
    this.lane.stop()
    for (const request of this.lane.list()) this.answer(request, request.attempts > 0 ? unknownStopping : stopping)
  }
}
