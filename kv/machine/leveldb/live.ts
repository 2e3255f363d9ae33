/** The open database and what mirrors it in memory. */
import { Histogram } from "../../../interpreters/metrics/index.ts"
import type { MachineStats } from "../contract.ts"
import { KvExecutor } from "../executor.ts"
import type { CommandListener } from "../../types.ts"
import { type Prepared, type Target, nothingUnwritten } from "./batch.ts"
import type { DatabaseContents } from "./database.ts"
import { storeOf } from "./overlay.ts"
import { Reads } from "./reads.ts"

/** A restore replaces it as a whole. */
export interface Live extends DatabaseContents, Target {
  readonly name: string
  readonly reads: Reads
}
interface Hooks {
  /** An exception ended a command. */
  readonly internal: (thrown: unknown) => void
  readonly executing: NonNullable<CommandListener["executing"]>
  /** A read has met damage. */
  readonly harmed: (thrown: unknown) => void
  /** All that is executed is to be written. */
  readonly write: () => void
}
export const liveOf = (name: string, contents: DatabaseContents, hooks: Hooks): Live => {
  const { db, position, earliest, sessions, removals } = contents
  const unwritten = nothingUnwritten(db, position.generation, earliest)
  const store = storeOf(() => live.overlay)
  const live: Live = {
    ...contents,
    name,
    unwritten,
    overlay: unwritten.overlay,
    reads: new Reads(db, position.base, position.generation, hooks.harmed, hooks.write),
    executor: new KvExecutor(store, position.base, sessions, hooks.internal, undefined, removals, hooks.executing),
  }
  return live
}

/** What was written, in all databases of this start. */
export class Tally {
  private batches = 0
  private expired = 0
  private bytesWritten = 0
  private readonly commitTimes = new Histogram()
  wrote({ expired, bytes }: Prepared, millis: number): void {
    this.batches++
    this.expired += expired
    this.bytesWritten += bytes
    this.commitTimes.observe(millis / 1000)
  }
  stats(): Pick<MachineStats, "batches" | "expired" | "bytesWritten" | "commitTimes"> {
    const { batches, expired, bytesWritten, commitTimes } = this
    return { batches, expired, bytesWritten, commitTimes }
  }
}
