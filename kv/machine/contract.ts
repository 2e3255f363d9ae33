/** What the service needs of a state machine, besides the driver's contract. */
import type { SnapshotImage, StateMachine } from "../../interpreters/contract.ts"
import type { Histogram } from "../../interpreters/metrics/index.ts"
import type { ReplyState } from "./sessions.ts"
import type { CommandListener, StateReader } from "../types.ts"

export interface MachineStats {
  readonly applied: number
  readonly batches: number
  /** Keys removed because their deadline had passed. */
  readonly expired: number
  readonly bytesWritten: number
  /** Durations of batches, in seconds. */
  readonly commitTimes: Histogram
  readonly malformed: number
  /** Commands that ended in an internal error. */
  readonly internalErrors: number
  readonly sessions: number
  readonly keptReplies: number
  readonly keptReplyBytes: number
  readonly pinnedImages: number
  readonly damaged: string | null
  /** Which resource it waits for before it continues to execute, or null. */
  readonly short: string | null
}
export interface Scrubbed {
  readonly bytes: number
  /** What is damaged, or null. */
  readonly found: string | null
}
export interface KvMachine extends StateMachine, StateReader {
  /** The last entry in the snapshot from which the data were restored; 0 if every entry was executed here. */
  readonly beginsAt: () => number
  readonly listen: (listener: CommandListener) => void
  readonly replyOf: (session: number, secret: Uint8Array | null, sequence: number) => ReplyState
  /** No key expires before this time, so no Tick is needed earlier. null: no key will expire. */
  readonly earliestDeadline: () => number | null
  readonly stats: () => MachineStats
  /**
   * Like openSnapshot, but without sessions: their secrets must not leave the cluster, and another cluster could not
   * guarantee exactly-once for them.
   */
  readonly openBackup: () => Promise<SnapshotImage>
  /**
   * Reads every table slowly and compares its checksums; damage ends service as it does in a read. null: it did not
   * reach the end.
   */
  readonly scrub: () => Promise<Scrubbed | null>
  /** The approximate size of the live data on disk. */
  readonly dataBytes: () => Promise<number>
}
