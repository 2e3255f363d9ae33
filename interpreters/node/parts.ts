/** What a server is made of while it starts and runs: what everything that reports about it looks at. */
import type { StateMachine } from "../contract.ts"
import type { Driver } from "../driver/index.ts"
import { HIGHEST_LEVEL } from "../features.ts"
import type { FileStorage } from "../file/index.ts"
import type { RefusedDirectory } from "../starts.ts"
import type { Address, TcpTransport } from "../tcp/index.ts"
import type { Tls } from "../tls/index.ts"
import type { WatchedFiles } from "../watched.ts"
import type { ClockWatch } from "./clocks.ts"
import type { Phase } from "./health.ts"

/** A state machine that notices at start whether it has lost data, and that reports a resource it is short of. */
export interface RecoverableMachine extends StateMachine {
  /** The last entry in the snapshot from which its data were restored; 0 if every entry was executed here. */
  readonly beginsAt: () => number
  /**
   * Numbers become counters. `damaged`: why its data are lost. `short`: the resource that it waits for before it
   * continues to execute.
   */
  readonly stats?: () => { readonly damaged: string | null; readonly short: string | null }
}

/** The parts of a server that exist so far, while it starts and runs. */
export interface ServerParts {
  readonly id: string
  /** The address at which it listens to its peers. */
  readonly listen: Address
  /** The address that others are told, as host:port; empty: they use their own lists. */
  advertises: string
  readonly startedAt: number
  /** The highest feature level that it does. */
  readonly highestLevel: number
  /** What the server is doing until its state machine runs. */
  phase: Phase
  storage: FileStorage | null
  transport: TcpTransport | null
  running: {
    readonly driver: Driver
    readonly machine: RecoverableMachine
    readonly counters: () => Readonly<Record<string, number>>
  } | null
  clocks: ClockWatch | null
  /** The address of its HTTP port; null: none. */
  http: Address | null
  /** The certificate with which it proves who it is; null: none. */
  tls: Tls | null
  /** The files that it reads again when they change. */
  files: readonly WatchedFiles[]
  /** How many times a new leader or term was seen. */
  leaderChanges: number
  /** A peer has seen a later start of this directory, so nothing that this server says counts any more. */
  refused: RefusedDirectory | null
  /** Its log was damaged, and it asks to become a member again: the folder in which the damaged files are kept. */
  repairing: string | null
  /** When the leader was lost; null: there is a leader. */
  leaderlessSince: number | null
  stopping: boolean
  /** Why it cannot continue, or null. */
  failed: string | null
}
/** `levelMax`: it does no higher feature level, whatever its version could. */
export const newServerParts = (id: string, listen: Address, levelMax: number | null = null): ServerParts => ({
  id,
  listen,
  advertises: "",
  highestLevel: Math.min(HIGHEST_LEVEL, levelMax ?? HIGHEST_LEVEL),
  startedAt: performance.now(),
  phase: { doing: "reading", bytes: 0, file: 1, files: 1 },
  storage: null,
  transport: null,
  running: null,
  clocks: null,
  http: null,
  tls: null,
  files: [],
  leaderChanges: 0,
  refused: null,
  repairing: null,
  leaderlessSince: null,
  stopping: false,
  failed: null,
})
