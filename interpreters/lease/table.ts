/** What leader election and locks need: a replicated table of leases by name, each with at most one holder at a time. */
import type { Index, Millis } from "../../core/index.ts"

export type LeaseRequest =
  /** Take the lease, or make it last longer if it is held already by the same holder. */
  | { readonly type: "take"; readonly name: string; readonly holder: string; readonly ttl: Millis }
  | { readonly type: "release"; readonly name: string; readonly holder: string }
export type LeaseAnswer =
  | { readonly type: "held"; readonly token: Index }
  /** Somebody else holds it; it ends in `remaining`, unless it is made to last longer. */
  | { readonly type: "taken"; readonly by: string; readonly remaining: Millis }
  | { readonly type: "released" }
  | { readonly type: "refused"; readonly text: string }

/**
 * notExecuted: it was not, and may be asked again. unknown: it was, or was not, or will be before anything that is asked here
 * from now on. final: asking again is of no use.
 */
export type Unanswered = "notExecuted" | "unknown" | "final"

/** A replica is one, and a client of the store (`stepraft/kv/client`). */
export interface LeaseTable {
  /** Who asks, for people. */
  readonly id: string
  /** Requests are executed in the order of the calls. */
  readonly lease: (request: LeaseRequest) => Promise<LeaseAnswer>
  /** What a rejection of `lease` says about the request. */
  readonly unanswered: (rejection: unknown) => Unanswered
}

/** Told by the lease table: the request can never be granted. */
export class LeaseRefused extends Error {
  override readonly name = "LeaseRefused"
  constructor(text: string) {
    super(`the lease was refused: ${text}`)
  }
}
