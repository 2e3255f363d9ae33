/**
 * Exactly-once for connections that have no session of their own: the node's session.
 *
 * Each write gets the next number of the session when it is first proposed, so numbers run without a gap in the order
 * of the calls, and only this node ever proposes them again. The reply is the one that this node's own state machine
 * announces.
 *
 * A write whose outcome is not learned in time ends as unknown, together with all that were sent behind it, and the
 * session with it: opening the next one ends the old one in the log, so from then on nothing of the old one can take
 * effect, and what waits here takes its turn strictly afterwards. Until the new session is open, the old numbers stay:
 * a late reply still counts.
 */
import { payloadOf } from "../../interpreters/bytes.ts"
import { encodeCommand } from "../machine/command.ts"
import { sameSecret, secretOf } from "../sessionKey.ts"
import type { Call, Opened, Replied, Reply, Watch } from "../types.ts"
import { Lane, type Item } from "./lane.ts"
import { Opener } from "./opener.ts"
import { argumentsIn, commandSize, commandWeight, type Parts } from "./parts.ts"
import { busy, codeOf, refusal, spaceLow, stopping, tooLarge, tooMany, unknown, unknownBehind, unknownStopping } from "./replies.ts"

interface Write extends Item {
  readonly calls: readonly Call[]
  readonly exec: boolean
  readonly watches: readonly Watch[]
  readonly done: (reply: Reply) => void
  readonly at: number
  sequence: number
}

export class NodeSession {
  private readonly parts: Parts
  private readonly owner: string
  private readonly lane: Lane<Write>
  private readonly opener: Opener
  private readonly bySequence = new Map<number, Write>()
  private session: number | null = null
  /** A new session is being opened; nothing is sent until it is. */
  private fencing = true
  private nextSequence = 1
  private stopped = false

  constructor(parts: Parts, owner: string) {
    this.parts = parts
    this.owner = owner
    const { driver, settings, now, after } = parts
    this.opener = new Opener(parts, owner, (reason) => {
      if (reason === "spaceLow") this.refuseUnexecuted()
    })
    this.lane = new Lane<Write>({
      now,
      after,
      stallMs: settings.stallMs,
      backoffMs: settings.backoffMs,
      propose: driver.propose,
      wake: driver.wake,
      ready: () => !this.fencing && driver.leadership().leader !== null,
      encode: (write) => this.encode(write),
      refused: (reason, writes) => {
        if (reason === "spaceLow") this.refuseUnexecuted()
        else if (reason === "tooLarge" && writes.length === 1) this.refuseTooLarge(writes[0])
      },
    })
    this.opener.open()
  }

  get waiting(): number {
    return this.lane.length
  }
  get resends(): number {
    return this.lane.resends
  }

  write(calls: readonly Call[], exec: boolean, watches: readonly Watch[], done: (reply: Reply) => void): void {
    const { settings, now, soon } = this.parts
    const refuse = (reply: Reply): void => soon(() => done(reply))
    if (this.stopped) return refuse(stopping)
    const words = argumentsIn(calls, watches)
    if (words > settings.maxArguments) return refuse(tooMany(settings.maxArguments))
    const size = commandSize(calls, watches)
    if (size > settings.maxEntryBytes) return refuse(tooLarge(settings.maxEntryBytes))
    const bytes = commandWeight(size, words)
    if (this.lane.length >= settings.maxWaiting || this.lane.bytes + bytes > settings.maxWaitingBytes) {
      this.parts.count("service.busy")
      return refuse(busy)
    }
    this.lane.push({ payload: null, bytes, attempts: 0, settled: false, calls, exec, watches, done, at: now(), sequence: 0 })
  }

  private encode(write: Write): ReturnType<typeof payloadOf> {
    write.sequence = this.nextSequence++
    this.bySequence.set(write.sequence, write)
    return payloadOf(
      encodeCommand({
        type: "Execute",
        session: this.session ?? 0,
        secret: null,
        sequence: write.sequence,
        lowest: this.lane.oldest?.sequence ?? write.sequence,
        exec: write.exec,
        watches: write.watches,
        calls: write.calls,
      }),
    )
  }

  pump(): void {
    this.opener.lane.pump()
    this.lane.pump()
  }

  private answer(write: Write, reply: Reply): void {
    if (write.settled) return
    if (this.bySequence.get(write.sequence) === write) this.bySequence.delete(write.sequence)
    this.lane.settle(write)
    write.done(reply)
  }

  // ------------------------------------------------------------------------------ what the machine announces

  owns(session: number): boolean {
    return session === this.session
  }
  replied({ sequence, reply, executed }: Replied): void {
    if (executed) {
      const write = this.bySequence.get(sequence)
      if (write !== undefined) this.answer(write, reply)
      return
    }
    // The session's end stands in the log before this command: nothing of it that has no answer was executed, nor will be.
    if (codeOf(reply) === "SESSIONEXPIRED") return this.fence()
    // Something before this copy was lost: the lane finds out when the batch is over. Another copy may have an answer.
    this.parts.count("service.outOfOrder")
  }
  opened({ owner, secret, session }: Opened): void {
    if (owner !== this.owner) return
    if (!sameSecret(secret, secretOf(this.opener.secret))) return this.fence()
    if (session === this.session && !this.fencing) return
    // Every session of ours before this one has ended, at this place in the log: what has no answer never gets one.
    this.opener.opened()
    this.session = session
    this.fencing = false
    this.nextSequence = 1
    this.bySequence.clear()
    this.parts.count("service.sessionsOpened")
    this.lane.renumber()
  }
  restored(): void {
    if (this.fencing) this.opener.lane.rewind(0)
    const { session } = this
    if (session === null) return
    let lost = false
    for (const write of this.lane.list(0, this.lane.sent)) {
      if (write.settled) continue
      const state = this.parts.machine.replyOf(session, null, write.sequence)
      if (state.type === "kept") this.answer(write, state.reply)
      // The session ended within what the snapshot covers; whether before or after this command cannot be seen.
      else if (state.type !== "notExecuted") lost = true
    }
    if (lost) {
      for (const write of this.lane.list(0, this.lane.sent)) this.answer(write, unknownBehind)
      this.fence()
    } else this.lane.rewind(0)
  }

  // -------------------------------------------------------------------------------------------------- time

  /** Open a new session; nothing is sent before. */
  private fence(): void {
    if (this.fencing) return
    this.fencing = true
    this.opener.open()
  }

  /** The leader has no room. What certainly was not executed is told so now instead of being kept waiting. */
  private refuseUnexecuted(): void {
    const sent = this.lane.sent > 0
    // Behind a write that may have been executed, others may have been too: those have attempts of their own.
    const first = this.lane.oldest?.attempts === 0
    this.lane.list().forEach((write) => {
      if (first || write.attempts === 0) this.answer(write, spaceLow)
    })
    if (sent) this.fence()
  }
  /** One write is refused alone. Those behind it get new numbers, after a fence. */
  private refuseTooLarge(write: Write | undefined): void {
    if (write === undefined || write !== this.lane.oldest || write.attempts > 0) return
    this.answer(write, tooLarge(this.parts.settings.maxEntryBytes))
    this.fence()
  }

  tick(): void {
    const { settings, now, count } = this.parts
    this.opener.lane.tick()
    this.lane.tick()
    for (let oldest = this.lane.oldest; oldest !== undefined && now() - oldest.at >= settings.writeTimeout; oldest = this.lane.oldest) {
      const sent = this.lane.sent > 0
      if (oldest.attempts > 0) {
        count("service.unknown", this.lane.sent)
        this.answer(oldest, unknown(settings.writeTimeout))
        // Those sent behind it share its fate: never tried again past it.
        for (const write of this.lane.list(0, this.lane.sent)) this.answer(write, unknownBehind)
      } else {
        // None behind it can be executed either: in its session their numbers come after its own.
        count("service.noLeader")
        this.answer(oldest, this.notExecuted())
      }
      if (sent) this.fence()
    }
  }
  private notExecuted(): Reply {
    const { settings, driver } = this.parts
    const reason = this.fencing ? this.opener.lane.lastRefusal : this.lane.lastRefusal
    return refusal(driver.leadership().leader === null ? null : reason, settings.writeTimeout, settings.maxEntryBytes)
  }
  changed(now: Parameters<Lane<Write>["changed"]>[0]): void {
    this.opener.lane.changed(now)
    this.lane.changed(now)
  }
  appliedThrough(index: number): void {
    this.opener.lane.appliedThrough(index)
    this.lane.appliedThrough(index)
  }
  stop(): void {
    this.stopped = true
    this.opener.lane.stop()
    this.lane.stop()
    for (const write of this.lane.list()) this.answer(write, write.attempts > 0 ? unknownStopping : stopping)
  }
}
