/**
 * Named leases, as part of the replicated state: each has at most one holder at a time, by the replicated clock. The
 * holder of a lease gets a token, and later holders get greater ones. A resource that remembers the greatest token it
 * has seen, and refuses smaller ones, is safe from a holder that was paused and does not know yet that its lease is
 * over.
 */
import type { Index, Stamp } from "../../../core/index.ts"
import type { LeaseAnswer, LeaseRequest } from "../../lease/index.ts"
import { textOf, utf8 } from "../../octets.ts"
import type { Changed } from "./sessionTable.ts"

interface Lease {
  readonly holder: string
  readonly token: Index
  readonly until: Stamp
}
export type LeaseImage = readonly (readonly [string, Lease])[]

/** Limits: the characters of the name of a lease or holder, and the number of leases. */
const LONGEST = 256
const MOST = 10_000
const LONGEST_TTL = 24 * 3_600_000

const leaseRecord = (name: string): string => `lease/${name}`

export class Leases {
  private readonly byName: Map<string, Lease>
  private readonly changed: Changed
  constructor(image: LeaseImage = [], changed: Changed = () => undefined) {
    this.byName = new Map(image)
    this.changed = changed
  }
  image(): LeaseImage {
    return Array.from(this.byName)
  }

  /** The record as it is now; null: it no longer exists. */
  record(record: string): Uint8Array | null {
    const lease = this.byName.get(record.slice(leaseRecord("").length))
    return lease === undefined ? null : utf8(JSON.stringify(lease))
  }
  /** Restores the leases from all records. */
  static restored(records: ReadonlyMap<string, Uint8Array>, changed: Changed): Leases {
    const prefix = leaseRecord("")
    const found = Array.from(records).filter(([name]) => name.startsWith(prefix))
    return new Leases(
      found.map(([name, bytes]) => [name.slice(prefix.length), JSON.parse(textOf(bytes)) as Lease]),
      changed,
    )
  }

  /** `index` is the index of the request in the log: it becomes the token if the lease is acquired. */
  answer(request: LeaseRequest, index: Index, now: Stamp): LeaseAnswer {
    const { name, holder } = request
    if (name.length > LONGEST || holder.length > LONGEST)
      return { type: "refused", text: `names of leases and holders have at most ${LONGEST} characters` }
    const found = this.byName.get(name)
    const held = found !== undefined && found.until > now ? found : undefined
    if (request.type === "release") {
      if (held?.holder === holder) this.delete(name)
      return { type: "released" }
    }
    if (!(request.ttl > 0 && request.ttl <= LONGEST_TTL))
      return { type: "refused", text: `a lease lasts more than 0 and at most ${LONGEST_TTL} ms` }
    if (held !== undefined && held.holder !== holder)
      return { type: "taken", by: held.holder, remaining: held.until - now }
    if (found === undefined && this.byName.size >= MOST && !this.makeRoom(now))
      return { type: "refused", text: `there are ${MOST} leases already` }
    const token = held?.token ?? index
    this.byName.set(name, { holder, token, until: now + request.ttl })
    this.changed(leaseRecord(name))
    return { type: "held", token }
  }
  private makeRoom(now: Stamp): boolean {
    for (const [name, { until }] of this.byName) if (until <= now) this.delete(name)
    return this.byName.size < MOST
  }
  private delete(name: string): void {
    this.byName.delete(name)
    this.changed(leaseRecord(name))
  }
}
