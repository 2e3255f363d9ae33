/** What the parts of the service share: the interfaces that they need, and their settings. */
import type { Stamp } from "../../core/index.ts"
import {
  defaultReplicaSettings,
  type ReplicaDriver,
  type ReplicaParts,
  type ReplicaSettings,
} from "../../interpreters/replica/index.ts"
import { MAX_WORDS } from "../machine/cost.ts"
import type { ReplyState } from "../machine/sessions.ts"
import type { Call, CommandListener, StateReader, Reply, Watch } from "../types.ts"

export type ServiceDriver = ReplicaDriver

/** What the service needs of this node's state machine. */
export interface ServiceMachine extends StateReader {
  readonly listen: (listener: CommandListener) => void
  readonly replyOf: (session: number, secret: Uint8Array | null, sequence: number) => ReplyState
  /** When the next key or session expires, on the replicated clock. */
  readonly earliestDeadline: () => Stamp | null
}

export interface ServiceSettings extends ReplicaSettings {
  /** Limit for all calls of one write together: every node executes them in one step. */
  readonly maxArguments: number
}
export const defaultServiceSettings: ServiceSettings = { ...defaultReplicaSettings, maxArguments: MAX_WORDS }

export interface ServiceParts extends ReplicaParts<Reply> {
  readonly machine: ServiceMachine
  readonly settings: ServiceSettings
}

/** The number of words and of watched keys. */
export const argumentsIn = (calls: readonly Call[], watches: readonly Watch[]): number =>
  calls.reduce((sum, call) => sum + call.length, watches.length)

/** The overhead of a word, which is an object besides its bytes. */
const WORD_WEIGHT = 64
/** The cost of holding and encoding a command of this size: many short words cost more than their bytes. */
export const commandWeight = (size: number, words: number): number => size + words * WORD_WEIGHT

/** An upper bound of the command's size in the log: its codec writes each length in at most five bytes. */
export const commandSize = (calls: readonly Call[], watches: readonly Watch[]): number => {
  let size = 32
  for (const call of calls) {
    size += 5
    for (const argument of call) size += argument.length + (argument.length < 128 ? 1 : 5)
  }
  for (const watch of watches) size += watch.key.length + 11
  return size
}
