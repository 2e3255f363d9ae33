/** What a crash leaves of a server. */
import type { HardState, Log, LogBase } from "../../core/index.ts"

export interface ExploredDisk {
  readonly hardState: HardState
  readonly log: Log
  /** The index through which the state machine is durable by itself. */
  readonly machine: LogBase
}
