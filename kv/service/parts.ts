/** What the parts of the service share: the faces that they need, and their settings. */
import type { Millis, Stamp } from "../../core/index.ts"
import type { Driver } from "../../interpreters/driver.ts"
import { MAX_WORDS } from "../machine/cost.ts"
import type { ReplyState } from "../machine/sessions.ts"
import type { Surroundings } from "../surroundings.ts"
import type { Call, CommandListener, Reader, Watch } from "../types.ts"

export type ServiceDriver = Pick<Driver, "propose" | "read" | "wake" | "leadership" | "beforeTurn" | "onChange" | "onApplied">

/** The state machine of this node, as far as the service is concerned. */
export interface ServiceMachine extends Reader {
  readonly listen: (listener: CommandListener) => void
  readonly replyOf: (session: number, secret: Uint8Array | null, sequence: number) => ReplyState
  /** When the next key or session expires, on the replicated clock. */
  readonly earliestDeadline: () => Stamp | null
}

export interface ServiceSettings {
  /** A write whose outcome is not known by then is answered UNKNOWN (or NOLEADER, if it was never proposed). */
  readonly writeTimeout: Millis
  readonly readTimeout: Millis
  /** Without an answer for this long, proposals count as lost. */
  readonly stallMs: Millis
  readonly backoffMs: readonly [Millis, Millis]
  /** More than this waiting is refused with BUSY. */
  readonly maxWaiting: number
  readonly maxWaitingBytes: number
  readonly maxEntryBytes: number
  /** Of all calls of one write together: each takes time on every node, in one step. */
  readonly maxArguments: number
  /** How often time is looked at: timeouts, lost proposals, expired keys. */
  readonly tickMs: Millis
}
export const defaultServiceSettings: ServiceSettings = {
  writeTimeout: 10_000,
  readTimeout: 5000,
  stallMs: 1000,
  backoffMs: [20, 1000],
  maxWaiting: 100_000,
  maxWaitingBytes: 64 << 20,
  maxEntryBytes: 8 << 20,
  maxArguments: MAX_WORDS,
  tickMs: 50,
}

export interface Parts extends Surroundings {
  readonly driver: ServiceDriver
  readonly machine: ServiceMachine
  readonly settings: ServiceSettings
  readonly count: (name: string, by?: number) => void
}

/** Words and watched keys. */
export const argumentsIn = (calls: readonly Call[], watches: readonly Watch[]): number => calls.reduce((sum, call) => sum + call.length, watches.length)

/** A word is an object beside its bytes. */
const WORD_WEIGHT = 64
/** What it costs to hold and to encode a command of that size: many short words are more than their bytes. */
export const commandWeight = (size: number, words: number): number => size + words * WORD_WEIGHT

/** An upper bound of what the command takes in the log: its codec writes no length in more than five bytes. */
export const commandSize = (calls: readonly Call[], watches: readonly Watch[]): number => {
  let size = 32
  for (const call of calls) {
    size += 5
    for (const argument of call) size += argument.length + (argument.length < 128 ? 1 : 5)
  }
  for (const watch of watches) size += watch.key.length + 11
  return size
}
