/**
 * The state machine's work, one Apply at a time. A machine whose `apply` throws, rejects or never reports breaks the
 * contract, and the node stops with that reason: otherwise committed entries would silently no longer be executed here.
 */
import type { Effect, Entry, Index, Millis } from "../../core/index.ts"
import type { StateMachine } from "../contract.ts"
import { inBackground } from "../turns.ts"

type Apply = Extract<Effect, { type: "Apply" }>

/** How long a state machine may execute without reporting progress. A disk that is retried for a minute is no reason to stop. */
export const MACHINE_SILENCE: Millis = 120_000
/** The silence is counted in polls, so that the time during which the process was stopped or its loop stalled does not count. */
const LOOKS = 8
/** The poll at which a warning is logged. */
const TOLD_AT = 2

const KEPT = "Nothing that was acknowledged is lost: the log keeps these entries."

export type MachineFault = "threw" | "rejected" | "silent"

/** The state machine broke its contract while it executed entries. */
export class StateMachineFailed extends Error {
  override readonly name = "StateMachineFailed"
  readonly fault: MachineFault
  readonly first: Index
  readonly last: Index
  constructor(fault: MachineFault, entries: readonly Entry[], what: string, next: string, options?: ErrorOptions) {
    super(`${what}. ${KEPT} ${next}`, options)
    this.fault = fault
    this.first = entries[0]?.index ?? 0
    this.last = entries.at(-1)?.index ?? 0
  }
}

const placeOf = (entries: readonly Entry[]): string => {
  const [first] = entries
  const last = entries.at(-1)
  if (first === undefined || last === undefined) return "nothing"
  return first === last ? `entry ${first.index}` : `entries ${first.index} to ${last.index}`
}

const broken = (fault: "threw" | "rejected", entries: readonly Entry[], thrown: unknown): StateMachineFailed =>
  new StateMachineFailed(
    fault,
    entries,
    `the state machine's apply of ${placeOf(entries)} ${fault === "threw" ? "threw" : "returned a promise that was rejected with"} ${thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)}`,
    "Every server executes these entries, and this one executes them again at its next start. Fix the state machine: apply must never throw. An error in a command is that command's result, the same on every server; an error of this server alone is reported with handlers.failed or handlers.damaged. Then start the node again.",
    { cause: thrown },
  )

const silent = (entries: readonly Entry[], millis: Millis): StateMachineFailed =>
  new StateMachineFailed(
    "silent",
    entries,
    `the state machine was given ${placeOf(entries)} and has called neither handlers.applied nor handlers.progress for ${millis} ms`,
    "The entries are executed again at the next start. If the state machine's disk hangs, repair that. If executing takes longer than this, call handlers.progress now and then, or give makeDriver a longer machineSilence. Otherwise handlers.applied is not called: the state machine must call it once everything that it was given is executed.",
  )

export interface ApplierOptions {
  readonly machine: Pick<StateMachine, "apply">
  readonly silence: Millis
  readonly failed: (error: StateMachineFailed) => void
  readonly report: (text: string) => void
  /** Called with the milliseconds that executing some entries took. */
  readonly took: (millis: Millis) => void
  readonly now: () => Millis
}
export interface Applier {
  readonly push: (apply: Apply) => void
  /** Called when the state machine has executed the entries that it was given: hands over the next ones. */
  readonly applied: () => void
  readonly progress: () => void
  /** Forgets the entries that were handed over: none of them will be executed. */
  readonly forget: () => void
  readonly stop: () => void
}

export const makeApplier = ({ machine, silence, failed, report, took, now }: ApplierOptions): Applier => {
  let waiting: Apply[] = []
  let current: readonly Entry[] | null = null
  let since = 0
  let looks = 0
  let stopped = false

  const stop = (): void => {
    stopped = true
    waiting = []
    clearInterval(watching)
  }
  const fail = (error: StateMachineFailed): void => {
    if (stopped) return
    stop()
    failed(error)
  }
  const watching = setInterval(
    () => {
      if (current === null) return
      looks += 1
      if (looks === TOLD_AT)
        report(
          `the state machine has reported no progress on ${placeOf(current)} for ${(silence * TOLD_AT) / LOOKS} ms; after ${silence} ms the node stops`,
        )
      if (looks > LOOKS) fail(silent(current, silence))
    },
    Math.max(1, silence / LOOKS),
  )
  inBackground(watching)

  const next = (): void => {
    const apply = stopped || current !== null ? undefined : waiting.shift()
    if (apply === undefined) return
    const { entries } = apply
    current = entries
    since = now()
    looks = 0
    try {
      // The type allows an async function here, and an unhandled rejection would end the process without a reason.
      const answered: unknown = machine.apply(entries)
      if (answered !== undefined)
        Promise.resolve(answered).catch((thrown: unknown) => fail(broken("rejected", entries, thrown)))
    } catch (thrown) {
      fail(broken("threw", entries, thrown))
    }
  }

  return {
    push: (apply) => {
      waiting.push(apply)
      next()
    },
    applied: () => {
      if (current !== null) took(now() - since)
      current = null
      next()
    },
    progress: () => {
      looks = 0
    },
    forget: () => {
      current = null
      waiting = []
    },
    stop,
  }
}
