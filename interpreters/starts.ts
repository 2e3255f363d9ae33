/** How starts of directories (core/starts.ts) are written down and remembered. */
import { LINE, sameMember, withSighting, type Member, type Sighting, type Start } from "../core/index.ts"
import { MalformedBytes, type Reader, type Writer } from "./bytes.ts"

export const writeStart = (w: Writer, { number, words }: Start): void => {
  w.u48(number)
  w.u8(words.length)
  for (const word of words) w.u48(word)
}
export const readStart = (r: Reader): Start => {
  const number = r.u48()
  const count = r.u8()
  if (count !== Math.min(number, LINE)) throw new MalformedBytes(`${count} words for start ${number}`)
  return { number, words: Array.from({ length: count }, () => r.u48()) }
}

/** The memory for starts of peers. */
export interface Sightings {
  readonly of: (member: Member) => Sighting | null
  /** `done` is called once it would survive a crash; never if the storage fails. */
  readonly meet: (member: Member, start: Start, done: (sighting: Sighting) => void) => void
}

/** Forgotten with the process: for whoever has no disk. */
export const fleetingSightings = (): Sightings => {
  let all: readonly Sighting[] = []
  const of = (member: Member): Sighting | null => all.find((one) => sameMember(one.member, member)) ?? null
  return {
    of,
    meet: (member, start, done) => {
      const before = of(member)
      const sighting = before ?? { member, start, term: 0, index: 0 }
      sighting.start = start
      all = withSighting(all, sighting)
      setImmediate(done, sighting)
    },
  }
}

/** Why the directory of a node is not to be trusted, as a peer said. */
export interface Refused {
  readonly reason: string
  /** Name of the peer. */
  readonly by: string
  readonly detail: string
}
