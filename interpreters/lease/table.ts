/** What leader election and locks need: a replicated table of named leases, each with at most one holder at a time. */
import type { Index, Millis } from "../../core/index.ts"

export type LeaseRequest =
  /** Acquire the lease, or renew it if the same holder has it already. */
  | { readonly type: "take"; readonly name: string; readonly holder: string; readonly ttl: Millis }
  | { readonly type: "release"; readonly name: string; readonly holder: string }
export type LeaseAnswer =
  | { readonly type: "held"; readonly token: Index }
  /** Another holder has the lease; it ends in `remaining`, unless it is renewed. */
  | { readonly type: "taken"; readonly by: string; readonly remaining: Millis }
  | { readonly type: "released" }
  | { readonly type: "refused"; readonly text: string }

/**
 * notExecuted: the request was not executed, and may be made again. unknown: it was executed or was not; if it is still
 * to be executed, then before every request made here from now on. final: there is no use in asking again.
 */
export type Unanswered = "notExecuted" | "unknown" | "final"

/** A replica implements it, and so does a client of the store (`stepraft/kv/client`). */
export interface LeaseTable {
  /** The name of this side, for people. */
  readonly id: string
  /** Sends a request. Requests are executed in the order of the calls. */
  readonly lease: (request: LeaseRequest) => Promise<LeaseAnswer>
  /** What a rejection of `lease` says about the request. */
  readonly unanswered: (rejection: unknown) => Unanswered
}

/** The table answered that the request can never be granted. */
export class LeaseRefused extends Error {
  override readonly name = "LeaseRefused"
  constructor(text: string) {
    super(`the lease was refused: ${text}`)
  }
}
