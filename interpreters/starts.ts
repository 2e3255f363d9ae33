/** How starts of data directories (core/starts.ts) are remembered. */
import { sameMember, withSighting, type Member, type Sighting, type Start } from "../core/index.ts"
import { nextTurn } from "./turns.ts"

/** Remembers the starts of peers. */
export interface Sightings {
  readonly of: (member: Member) => Sighting | null
  /** `done` is called once the sighting would survive a crash; never if the storage fails. */
  readonly record: (member: Member, start: Start, done: (sighting: Sighting) => void) => void
}

/** In memory only, for interpreters without a disk. */
export const memorySightings = (): Sightings => {
  let all: readonly Sighting[] = []
  const of = (member: Member): Sighting | null => all.find((one) => sameMember(one.member, member)) ?? null
  return {
    of,
    record: (member, start, done) => {
      const before = of(member)
      const sighting = before ?? { member, start, term: 0, index: 0 }
      sighting.start = start
      all = withSighting(all, sighting)
      nextTurn(() => done(sighting))
    },
  }
}

/** Why a node's directory is not to be trusted, according to a peer. */
export interface RefusedDirectory {
  readonly reason: string
  /** Name of the peer. */
  readonly by: string
  readonly detail: string
}
