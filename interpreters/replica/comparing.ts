/**
 * Checks that all servers get the same results. From time to time the leader appends the digest of all its results to
 * the log, and a server with a different digest appends its own. A server that differs from a majority stops. If no
 * majority agrees, nobody knows which result is right, and all stop.
 */
import type { Payload } from "../../core/index.ts"
import { payloadOf } from "../payload.ts"
import { encodeReplicaCommand } from "./machine/command.ts"
import { NotDeterministic } from "./errors.ts"
import type { ExecutionReport } from "./machine/execution.ts"

export interface ComparingOptions {
  readonly owner: string
  /** The number of voters. */
  readonly voters: () => number
  readonly propose: (payload: Payload) => void
  readonly failed: (error: NotDeterministic) => void
}
/** How many comparisons are kept; older ones have been decided. */
const KEPT = 16

export class Comparing {
  private readonly options: ComparingOptions
  /** By index: the digest of each server, and whether this server has appended its own. */
  private readonly open = new Map<number, { readonly said: Map<string, number>; told: boolean }>()
  private last = 0
  constructor(options: ComparingOptions) {
    this.options = options
  }

  /** On the leader: starts a comparison through the last entry executed. No index is compared twice. */
  ask(index: number, digest: number): void {
    if (index <= this.last) return
    this.last = index
    this.say(index, digest)
  }
  hear({ owner, through, digest, own }: Extract<ExecutionReport, { type: "compared" }>): void {
    if (own === null) return
    const one = this.open.get(through) ?? { said: new Map<string, number>(), told: false }
    this.open.set(through, one)
    for (const old of Array.from(this.open.keys()).slice(0, Math.max(0, this.open.size - KEPT))) this.open.delete(old)
    one.told ||= owner === this.options.owner
    one.said.set(owner, digest)
    one.said.set(this.options.owner, own)
    // Only if some server differs do all have to report their digests.
    if (digest !== own && !one.told) {
      one.told = true
      this.say(through, own)
    }
    const digests = Array.from(one.said.values())
    const count = (wanted: number): number => digests.filter((each) => each === wanted).length
    const against = Math.max(...digests.map((each) => (each === own ? 0 : count(each))))
    const voters = this.options.voters()
    if (against * 2 > voters || (against > 0 && digests.length >= voters && count(own) * 2 <= voters))
      this.options.failed(new NotDeterministic(through))
  }
  private say(index: number, digest: number): void {
    this.options.propose(payloadOf(encodeReplicaCommand({ type: "Compare", owner: this.options.owner, index, digest })))
  }
}
