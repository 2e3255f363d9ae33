/** What the service sees of a state machine, beyond what the driver does. */
import type { SnapshotImage, StateMachine } from "../../interpreters/contract.ts"
import type { Histogram } from "../../interpreters/metrics/index.ts"
import type { ReplyState } from "./sessions.ts"
import type { CommandListener, Reader } from "../types.ts"

export interface MachineStats {
  readonly applied: number
  readonly batches: number
  /** Keys removed because their time was over. */
  readonly expired: number
  readonly bytesWritten: number
  /** Of batches, in seconds. */
  readonly commitTimes: Histogram
  readonly malformed: number
  /** Commands that ended in an exception. */
  readonly internalErrors: number
  readonly sessions: number
  readonly keptReplies: number
  readonly keptReplyBytes: number
  readonly pinnedImages: number
  readonly damaged: string | null
  /** What it waits for before it goes on executing, or null. */
  readonly short: string | null
}
export interface Scrubbed {
  readonly bytes: number
  /** What is damaged, or null. */
  readonly found: string | null
}
export interface KvMachine extends StateMachine, Reader {
  /** The entry through which the snapshot reached that the data were restored from; 0 if every entry was executed here. */
  readonly beginsAt: () => number
  readonly listen: (listener: CommandListener) => void
  readonly replyOf: (session: number, secret: Uint8Array | null, sequence: number) => ReplyState
  /** When a Tick is due: no key expires before this. null: none will. */
  readonly earliestDeadline: () => number | null
  readonly stats: () => MachineStats
  /** As openSnapshot, without sessions: their keys are secrets, and in another cluster they would promise what it cannot keep. */
  readonly openBackup: () => Promise<SnapshotImage>
  /** Reads every table and compares its checksums, at leisure; damage ends service as it does on a read. null: it did not come to an end. */
  readonly scrub: () => Promise<Scrubbed | null>
  /** Bytes that the live data take on disk, roughly. */
  readonly dataBytes: () => Promise<number>
}
