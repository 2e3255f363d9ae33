/** The starts of peers that this node has seen. They are on its disk before they count. */
import type { Sightings } from "../starts.ts"
import { sameMember, lineage, withSighting, type Member, type Sighting } from "../../core/index.ts"
import { isDiskFull, isOutOfDescriptors } from "./errors.ts"
import type { FormatKeeper } from "./identity.ts"

const AGAIN_MS = 1_000

export interface DurableSightings extends Sightings {
  /**
   * All sightings, to be written with the next record that is written anyway: the terms and indexes that peers
   * acknowledge need no write of their own.
   */
  readonly all: () => readonly Sighting[]
}

export const durableSightings = (format: FormatKeeper, failed: (cause: unknown) => void): DurableSightings => {
  let met: readonly Sighting[] = format.current().met.map((one) => ({ ...one }))
  /** The sighting that is being written to the disk. */
  let writing: Sighting | null = null
  const of = (member: Member): Sighting | null => met.find((one) => sameMember(one.member, member)) ?? null
  const meet: Sightings["record"] = (member, start, done) => {
    let next: Sighting = { member, start, term: 0, index: 0 }
    const written = format.update((current) => {
      const known = of(member)
      if (known !== null && lineage(known.start, start) === "same") {
        next = known
        return current
      }
      next = { ...(known ?? next), start }
      writing = next
      return { ...current }
    })
    written.then(
      () => {
        writing = null
        const known = of(member)
        if (known === null) met = withSighting(met, next)
        else known.start = next.start
        done(known ?? next)
      },
      (cause: unknown) => {
        writing = null
        if (isDiskFull(cause) || isOutOfDescriptors(cause)) setTimeout(meet, AGAIN_MS, member, start, done).unref()
        else failed(cause)
      },
    )
  }
  return { of, record: meet, all: () => (writing === null ? met : withSighting(met, writing)) }
}
