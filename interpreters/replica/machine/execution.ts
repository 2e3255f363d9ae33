/**
 * What a replica does with each entry, wherever its state is kept: sessions, leases, the digest of all results, the
 * position. It does no I/O, and is the same in a node, in a simulated world and in a test.
 */
import type { Entry, Index, LogBase, Stamp, Term } from "../../../core/index.ts"
import type { LeaseAnswer, LeaseRequest } from "../../lease/index.ts"
import { crc32 } from "../../payload.ts"
import { decodeReplicaCommand, type ReplicaCommand } from "./command.ts"
import { jsonCodec } from "./definition.ts"
import type { Leases, LeaseImage } from "./leases.ts"
import type { SessionTable, SessionTableImage, CommandOutcome } from "./sessionTable.ts"

/** Reports the result of each entry, in the order of the log. */
export type ExecutionReport =
  | {
      readonly type: "executed"
      readonly index: Index
      readonly session: Index
      readonly sequence: number
      readonly outcome: CommandOutcome
    }
  | {
      readonly type: "early"
      readonly index: Index
      readonly term: Term
      readonly session: Index
      readonly sequence: number
    }
  | { readonly type: "ended"; readonly index: Index; readonly session: Index; readonly sequence: number }
  | {
      readonly type: "opened"
      readonly index: Index
      readonly owner: string
      readonly secret: string
      readonly session: Index
    }
  /** A server's digest of its results through `through`, and this server's own digest there; null: no longer kept. */
  | {
      readonly type: "compared"
      readonly index: Index
      readonly owner: string
      readonly through: Index
      readonly digest: number
      readonly own: number | null
    }

/** What a snapshot holds besides the state. */
export interface ExecutorImage {
  readonly position: LogBase
  readonly digest: number
  readonly sessionTable: SessionTableImage
  readonly leases: LeaseImage
}

export const leaseAnswers = jsonCodec<LeaseAnswer>()
const empty = new Uint8Array(0)

/** The digests of this many latest entries are kept, for comparing with the leader's. */
const KEPT_DIGESTS = 4096

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"
/** The result of `apply` must be there when it returns: a value that comes later is not the same on every server. */
export const requireDone = (result: unknown): void => {
  if (!isPromise(result)) return
  result.then(undefined, () => undefined)
  throw new TypeError(
    "apply returned a promise: it must be done when it returns, for what comes later is not the same on every server",
  )
}

export const thrownText = (thrown: unknown): string => {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
  return text.length <= 1000 ? text : `${text.slice(0, 999)}…`
}

/** How far an execution has come, and what it keeps besides the state. */
export interface ExecutionState {
  readonly position: LogBase
  readonly digest: number
  readonly sessionTable: SessionTable
  readonly leases: Leases
}

export abstract class Execution {
  protected readonly sessionTable: SessionTable
  protected readonly leases: Leases
  private readonly digests: number[] = []
  position: LogBase
  /** The digest of every outcome so far, in order. */
  digest: number

  constructor({ position, digest, sessionTable, leases }: ExecutionState) {
    this.position = position
    this.digest = digest
    this.sessionTable = sessionTable
    this.leases = leases
  }

  /**
   * True if the error comes from this server's store, not from the command: other servers execute the command, so this
   * one must stop and not call it undone.
   */
  protected isOwn(_thrown: unknown): boolean {
    return false
  }
  /** Executes a command of the user's machine. If it throws, it has changed nothing. */
  protected abstract run(body: Uint8Array, index: Index, time: Stamp): Uint8Array

  image(): ExecutorImage {
    return {
      position: this.position,
      digest: this.digest,
      sessionTable: this.sessionTable.image(),
      leases: this.leases.image(),
    }
  }
  outcomeOf(session: Index, sequence: number): CommandOutcome | null | "ended" {
    return this.sessionTable.outcomeOf(session, sequence)
  }

  /**
   * Executes the entry right after its position. An error of the command becomes its outcome; only errors for which
   * `isOwn` is true are thrown.
   */
  execute(entry: Entry): ExecutionReport | null {
    const told = entry.kind === "command" ? this.command(entry, entry.payload.bytes) : null
    this.pass(entry)
    return told
  }
  /**
   * Executes an entry that holds just a command, without a session, so every copy of it is executed. For simulated
   * worlds, whose scripts propose by themselves.
   */
  executePlain(entry: Entry, body: Uint8Array): CommandOutcome {
    const outcome = this.apply(body, entry.index, entry.time)
    this.pass(entry)
    return outcome
  }
  private pass(entry: Entry): void {
    this.position = {
      index: entry.index,
      term: entry.term,
      time: entry.time,
      chain: entry.chain,
      configuration: entry.kind === "configuration" ? entry.configuration : this.position.configuration,
    }
    this.digests[entry.index % KEPT_DIGESTS] = this.digest
  }

  private command({ index, term, time }: Entry, bytes: Uint8Array): ExecutionReport | null {
    let command: ReplicaCommand
    try {
      command = decodeReplicaCommand(bytes)
    } catch {
      // No caller waits for it: no server of this program wrote it. It changes nothing, on any server.
      return null
    }
    switch (command.type) {
      case "Open":
        return {
          type: "opened",
          index,
          owner: command.owner,
          secret: command.secret,
          session: this.sessionTable.open(index, command.owner, command.secret, time),
        }
      case "Compare": {
        const { owner, index: through, digest } = command
        const kept = through > this.position.index - KEPT_DIGESTS && through <= this.position.index
        return {
          type: "compared",
          index,
          owner,
          through,
          digest,
          own: (kept ? this.digests[through % KEPT_DIGESTS] : null) ?? null,
        }
      }
      case "Execute": {
        const { session, sequence, lowest, body } = command
        const verdict = this.sessionTable.judge(session, sequence, lowest, time)
        switch (verdict.type) {
          case "ended":
            return { type: "ended", index, session, sequence }
          case "early":
            return { type: "early", index, term, session, sequence }
          case "known":
            return { type: "executed", index, session, sequence, outcome: verdict.outcome }
          case "execute": {
            const outcome =
              body.type === "command" ? this.apply(body.bytes, index, time) : this.lease(body.request, index, time)
            this.sessionTable.executed(session, outcome)
            return { type: "executed", index, session, sequence, outcome }
          }
        }
      }
    }
  }

  private apply(body: Uint8Array, index: Index, time: Stamp): CommandOutcome {
    try {
      const bytes = this.run(body, index, time)
      this.fold(bytes)
      return { type: "result", bytes }
    } catch (thrown) {
      if (this.isOwn(thrown)) throw thrown
      // JavaScript engines word their own errors differently, so the digest records only that the command was undone.
      this.fold(empty)
      return { type: "undone", text: thrownText(thrown) }
    }
  }
  private lease(request: LeaseRequest, index: Index, time: number): CommandOutcome {
    const bytes = leaseAnswers.encode(this.leases.answer(request, index, time))
    this.fold(bytes)
    return { type: "result", bytes }
  }
  private fold(bytes: Uint8Array): void {
    this.digest = (Math.imul(this.digest, 0x01000193) ^ crc32(bytes) ^ bytes.length) >>> 0
  }
}
