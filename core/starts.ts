/**
 * Which start of a data directory is speaking. A directory counts its starts and draws a random word for each; peers
 * remember the latest start that they have met. So a directory that was put back to an earlier state, or whose copy was
 * started too, is known by whoever met the later start: its line of words does not hold that one. The reducer knows
 * nothing of this: interpreters keep such a server from speaking at all, as if its disk were lost.
 */
import { sameMember } from "./turn.ts"
import type { Index, Member, Message, Term } from "./types.ts"

export interface Start {
  readonly number: number
  /** Of the latest starts of this directory; the last one belongs to `number`. */
  readonly words: readonly number[]
}
/** 0: never started. */
export const NO_START: Start = { number: 0, words: [] }
/** So many words are kept and told. Whoever has missed more starts than that can prove nothing. */
export const LINE = 128

export const startAfter = (before: Start, word: number): Start => ({ number: before.number + 1, words: [...before.words.slice(1 - LINE), word] })

const wordOf = (start: Start, number: number): number | undefined => start.words[start.words.length - 1 - (start.number - number)]

/**
 * How a start that is told stands to the latest one that was met. later: it comes after that one, or nothing speaks
 * against it. superseded: it came before that one, which began where this one's directory, or its copy, left off.
 * forked: its directory never went through that one.
 */
export type Lineage = "same" | "later" | "superseded" | "forked"
export const lineage = (met: Start, told: Start): Lineage => {
  if (told.number < met.number) return wordOf(met, told.number) === wordOf(told, told.number) ? "superseded" : "forked"
  const then = wordOf(told, met.number)
  if (then !== undefined && then !== wordOf(met, met.number)) return "forked"
  return told.number === met.number ? "same" : "later"
}

/** What a member holds for good, or has said that it does. */
export interface Held {
  readonly term: Term
  readonly index: Index
}
/** Within a term, what was acknowledged is never cut off; a later term may cut it. */
export const holdsLess = (recovered: Held, said: Held): boolean => recovered.term < said.term || (recovered.term === said.term && recovered.index < said.index)

/** What a node knows of the starts of one incarnation of a peer. */
export interface Sighting {
  readonly member: Member
  /** The latest start that was met; kept on disk before its word counts. */
  start: Start
  /** What it has said that its disk holds. */
  term: Term
  index: Index
}
/** Votes and acknowledgements leave once they are durable (core/durability.ts): so they bind every later start. */
export const hear = (sighting: Sighting, message: Message): void => {
  if (message.type === "AppendAccepted") say(sighting, message.term, message.matchIndex)
  else if (message.type === "RequestVoteReply" && message.granted) say(sighting, message.term, 0)
}
const say = (sighting: Sighting, term: Term, index: Index): void => {
  if (term > sighting.term) {
    sighting.term = term
    sighting.index = index
  } else if (term === sighting.term && index > sighting.index) sighting.index = index
}

const PER_NAME = 4
const MOST = 128
/** With it in front. Of each name, the incarnations met last are kept. */
export const withSighting = (all: readonly Sighting[], one: Sighting): readonly Sighting[] => {
  let kept = 1
  return [one, ...all.filter(({ member }) => !sameMember(member, one.member) && (member.name !== one.member.name || kept++ < PER_NAME))].slice(0, MOST)
}
