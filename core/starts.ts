/**
 * Identifies each start of a data directory. A directory counts its starts and draws a random word for each; peers
 * remember the latest start of it that they have seen. If the directory is restored to an earlier state, or a copy of
 * it is started too, any peer that has seen the later start recognises this, because that start's word is missing. The
 * reducer knows nothing of starts: interpreters keep such a server from taking part at all, as if its disk were lost.
 */
import { sameMember } from "./turn.ts"
import type { Index, Member, Message, Term } from "./types.ts"

export interface Start {
  readonly number: number
  /** Random words of the latest starts of this directory; the last one belongs to start `number`. */
  readonly words: readonly number[]
}
/** The directory has never been started. */
export const NO_START: Start = { number: 0, words: [] }
/** How many words are kept and sent. A peer that has missed more starts than this can prove nothing. */
export const MAX_LINEAGE_WORDS = 128

export const startAfter = (before: Start, word: number): Start => ({
  number: before.number + 1,
  words: [...before.words.slice(1 - MAX_LINEAGE_WORDS), word],
})

const wordOf = (start: Start, number: number): number | undefined =>
  start.words[start.words.length - 1 - (start.number - number)]

/**
 * How the start that a server presents relates to the latest one that a peer has seen. later: it comes after that one,
 * or nothing contradicts this. superseded: it came before that one, so this directory, or a copy of it, was started
 * again since. forked: its directory never went through that start.
 */
export type Lineage = "same" | "later" | "superseded" | "forked"
export const lineage = (met: Start, told: Start): Lineage => {
  if (told.number < met.number) return wordOf(met, told.number) === wordOf(told, told.number) ? "superseded" : "forked"
  const then = wordOf(told, met.number)
  if (then !== undefined && then !== wordOf(met, met.number)) return "forked"
  return told.number === met.number ? "same" : "later"
}

/** What a member holds durably, or has claimed to hold. */
export interface DurablePosition {
  readonly term: Term
  readonly index: Index
}
/**
 * Within a term acknowledged entries are never truncated; in a later term they may be, so then fewer entries are no
 * loss.
 */
export const holdsLess = (recovered: DurablePosition, said: DurablePosition): boolean =>
  recovered.term < said.term || (recovered.term === said.term && recovered.index < said.index)

/** What a node knows about the starts of one incarnation of a peer. */
export interface Sighting {
  readonly member: Member
  /** The latest start that was seen; written to disk before anything from it counts. */
  start: Start
  /** The last position that the peer claimed its disk holds. */
  term: Term
  index: Index
}
/** Votes and acknowledgements are sent only once they are durable (durability.ts), so they bind every later start. */
export const recordClaim = (sighting: Sighting, message: Message): void => {
  if (message.type === "AppendAccepted") raiseClaim(sighting, message.term, message.matchIndex)
  else if (message.type === "RequestVoteReply" && message.granted) raiseClaim(sighting, message.term, 0)
}
const raiseClaim = (sighting: Sighting, term: Term, index: Index): void => {
  if (term > sighting.term) {
    sighting.term = term
    sighting.index = index
  } else if (term === sighting.term && index > sighting.index) sighting.index = index
}

const PER_NAME = 4
const MOST = 128
/** Adds a sighting at the front. For each name, only the most recently seen incarnations are kept. */
export const withSighting = (all: readonly Sighting[], one: Sighting): readonly Sighting[] => {
  let kept = 1
  return [
    one,
    ...all.filter(
      ({ member }) => !sameMember(member, one.member) && (member.name !== one.member.name || kept++ < PER_NAME),
    ),
  ].slice(0, MOST)
}
