/**
 * The domain of every kind of number, checked wherever numbers come in: where bytes become messages or records, where
 * settings are read, and at the gate (term.ts). The core never reaches a number that its codecs cannot write.
 */
import { chainBreaksAt } from "./chain.ts"
import type { Persist } from "./effects.ts"
import type { Configuration, Entry, HardState, LogBase } from "./entry.ts"
import type { Message } from "./messages.ts"

/** 48 bits, which JavaScript and the codecs represent exactly: counters, stamps, offsets. */
export const MAX_COUNT = 2 ** 48 - 1
/**
 * One less than MAX_COUNT, so that the next one can still be written: the term of a pre-vote, the index after the last
 * entry.
 */
export const MAX_TERM = MAX_COUNT - 1
export const MAX_INDEX = MAX_COUNT - 1
/**
 * A term further ahead than this is not believed: at two elections a second it would take 68 years to get there. So one
 * damaged number cannot use up all the terms that exist.
 */
export const MAX_TERM_LEAP = 2 ** 32

export const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= MAX_COUNT
export const isTerm = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= MAX_TERM
export const isIndex = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= MAX_INDEX
/** Signed 32 bits (chain.ts). */
export const isChain = (value: number): boolean => (value | 0) === value
/** Unsigned 32 bits: checksums and lengths. */
export const isUint32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff

/** 0 would be none. */
const flawOfConfiguration = ({ level = 1 }: Configuration): string | null =>
  isUint32(level) && level > 0 ? null : `level ${level}`

const flawOfBase = ({ index, term, time, chain, configuration }: LogBase): string | null =>
  !isChain(chain)
    ? `chain ${chain}`
    : !isIndex(index)
      ? `index ${index}`
      : !isTerm(term)
        ? `term ${term}`
        : isCount(time)
          ? flawOfConfiguration(configuration)
          : `time ${time}`

/** `entries` must continue after `prevIndex` and `prevTerm`; their terms never decrease and are at most `maxTerm`. */
const flawOfEntries = (
  prevIndex: number,
  prevTerm: number,
  maxTerm: number,
  entries: readonly Entry[],
): string | null => {
  let index = prevIndex
  let term = prevTerm
  for (const entry of entries) {
    index += 1
    if (entry.index !== index) return `entry ${entry.index} where ${index} belongs`
    if (!isTerm(entry.term) || entry.term < term || entry.term > maxTerm)
      return `entry ${index} of term ${entry.term}, after one of term ${term}`
    if (!isChain(entry.chain)) return `chain ${entry.chain} of entry ${index}`
    if (!isCount(entry.time)) return `time ${entry.time} of entry ${index}`
    if (entry.kind === "command" && !isUint32(entry.payload.checksum))
      return `checksum ${entry.payload.checksum} of entry ${index}`
    const flaw = entry.kind === "configuration" ? flawOfConfiguration(entry.configuration) : null
    if (flaw !== null) return flaw
    term = entry.term
  }
  return isIndex(index) ? null : `index ${index}`
}

const flawOfCount = (name: string, value: number): string | null => (isCount(value) ? null : `${name} ${value}`)
const flawOfTerm = (name: string, value: number): string | null => (isTerm(value) ? null : `${name} ${value}`)
const flawOfIndex = (name: string, value: number): string | null => (isIndex(value) ? null : `${name} ${value}`)
const flawOfUint32 = (name: string, value: number): string | null => (isUint32(value) ? null : `${name} ${value}`)

/** Why no correct server can have sent this message: a number outside its domain, or numbers that contradict each other; else null. */
export const flawOfMessage = (message: Message): string | null => {
  if (!isTerm(message.term)) return `term ${message.term}`
  switch (message.type) {
    case "RequestVote":
    case "RequestPreVote":
      return flawOfIndex("lastLogIndex", message.lastLogIndex) ?? flawOfTerm("lastLogTerm", message.lastLogTerm)
    case "AppendEntries": {
      const { term, prevLogIndex, prevLogTerm, prevLogChain, entries, leaderCommit, round } = message
      if (!isChain(prevLogChain)) return `prevLogChain ${prevLogChain}`
      if (!isIndex(prevLogIndex)) return `prevLogIndex ${prevLogIndex}`
      if (!isTerm(prevLogTerm) || prevLogTerm > term) return `prevLogTerm ${prevLogTerm}`
      return (
        flawOfEntries(prevLogIndex, prevLogTerm, term, entries) ??
        flawOfIndex("leaderCommit", leaderCommit) ??
        flawOfCount("round", round) ??
        flawOfCount("time", message.time)
      )
    }
    case "AppendAccepted": {
      const { verifiedIndex, verifiedChain, matchIndex, round } = message
      if (!isChain(verifiedChain)) return `verifiedChain ${verifiedChain}`
      if (isIndex(matchIndex) && matchIndex > verifiedIndex)
        return `matchIndex ${matchIndex} past verifiedIndex ${verifiedIndex}`
      return (
        flawOfIndex("verifiedIndex", verifiedIndex) ??
        flawOfIndex("matchIndex", matchIndex) ??
        flawOfCount("round", round) ??
        flawOfCount("wall", message.wall) ??
        flawOfCount("leaderTime", message.leaderTime)
      )
    }
    case "AppendRejected":
      return (
        flawOfIndex("prevLogIndex", message.prevLogIndex) ??
        flawOfTerm("conflictTerm", message.conflictTerm) ??
        flawOfCount("conflictIndex", message.conflictIndex) ??
        flawOfCount("round", message.round)
      )
    case "InstallSnapshot":
      return (
        flawOfBase(message.snapshot) ??
        (message.snapshot.term > message.term ? `snapshot of term ${message.snapshot.term}` : null) ??
        flawOfCount("offset", message.offset) ??
        flawOfUint32("length", message.length) ??
        flawOfCount("round", message.round)
      )
    case "InstallSnapshotReply":
      return flawOfCount("round", message.round) ?? flawOfCount("nextOffset", message.nextOffset)
    case "ReadIndex":
      return flawOfCount("bootId", message.bootId) ?? flawOfCount("number", message.number)
    case "ReadIndexReply":
      return (
        flawOfCount("bootId", message.bootId) ??
        flawOfCount("number", message.number) ??
        (message.readIndex === null ? null : flawOfIndex("readIndex", message.readIndex))
      )
    case "ForwardProposal":
      return (
        flawOfCount("ref", message.ref) ??
        flawOfCount("bootId", message.bootId) ??
        (message.payloads.every(({ checksum }) => isUint32(checksum)) ? null : "a payload's checksum")
      )
    case "ForwardProposalReply": {
      const { ref, bootId, outcome } = message
      const own = flawOfCount("ref", ref) ?? flawOfCount("bootId", bootId)
      return (
        own ??
        (outcome.type === "ProposalAppended"
          ? (flawOfIndex("first", outcome.first) ?? flawOfTerm("term", outcome.term))
          : null)
      )
    }
    case "RequestVoteReply":
      return flawOfCount("wall", message.wall) ?? flawOfCount("time", message.time)
    case "RequestPreVoteReply":
    case "TimeoutNow":
      return null
  }
}

/** The same for one record of a log. */
export const flawOfPersist = ({
  hardState,
  truncateFrom,
  entries,
  base,
}: Pick<Persist, "hardState" | "truncateFrom" | "entries" | "base">): string | null => {
  const first = entries[0]
  return (
    (hardState === null ? null : flawOfTerm("term", hardState.term)) ??
    (truncateFrom === null ? null : flawOfIndex("truncation", truncateFrom)) ??
    (first === undefined
      ? null
      : (flawOfIndex("index", first.index) ?? flawOfEntries(first.index - 1, 0, MAX_TERM, entries))) ??
    (base === null ? null : flawOfBase(base))
  )
}

/** The same for everything that a disk holds. */
export const flawOfStored = (hardState: HardState, base: LogBase, entries: readonly Entry[]): string | null => {
  const broken = chainBreaksAt(base.chain, entries)
  return (
    flawOfTerm("term", hardState.term) ??
    flawOfBase(base) ??
    flawOfEntries(base.index, base.term, MAX_TERM, entries) ??
    (broken === null ? null : `a broken chain at entry ${broken}`)
  )
}
