/** What replicateTogether (together.ts) takes and gives. */
import type { Settings } from "../../core/index.ts"
import type { NetworkAction } from "../memory/index.ts"
import type { Machine } from "./machine/definition.ts"
import type { ReplicaSettings } from "./session/parts.ts"
import type { Replica } from "./replica.ts"
import type { Surroundings } from "../surroundings.ts"

export interface ReplicaGroupOptions<State, Command, Result> {
  /** The names of the replicas. Default: a, b, c. */
  readonly ids?: readonly string[]
  readonly machine: Machine<State, Command, Result> | ((id: string) => Machine<State, Command, Result>)
  readonly settings?: Partial<Settings>
  readonly service?: Partial<ReplicaSettings>
  readonly surroundings?: Surroundings
  /** As for replicate. Default: every 100 ms, so that a test notices what is not deterministic. */
  readonly compareEvery?: number | null
  readonly report?: (id: string, text: string) => void
}
export interface ReplicaGroup<State, Command, Result> {
  /** The running replica of that name. Throws if it is down. */
  readonly replica: (id: string) => Replica<State, Command, Result>
  readonly ids: readonly string[]
  /** Its process crashes: everything that its disk had not made durable is lost. */
  readonly crash: (id: string) => void
  /** It crashes, and its disk is lost. */
  readonly wipe: (id: string) => void
  /**
   * Starts a server with an empty disk, which waits until the cluster adds it (`members.add`, or `replace` for one that
   * was wiped).
   */
  readonly wait: (id: string) => Promise<Replica<State, Command, Result>>
  /** Starts it again, with what its disk holds. */
  readonly start: (id: string) => Promise<Replica<State, Command, Result>>
  /** Cuts, partitions and heals the network. */
  readonly network: (action: NetworkAction) => void
  readonly close: () => Promise<void>
}
