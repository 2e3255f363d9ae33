/**
 * The chained checksum: each entry carries one over itself and the one before, so two logs with equal chains at an index
 * are equal through it, and logs that agree in index and term but not in content are noticed by the next append.
 *
 * Each word is folded in by steps that lose nothing (exclusive or, an odd factor, a shift): a single word that differs
 * always gives another sum, and equal words after it keep the sums apart. Guards against lost writes, not against malice.
 */
import type { CommandEntry, Configuration, ConfigurationEntry, Entry, Member, NoOpEntry } from "./types.ts"

/** 32 bits; 0 for the empty log. */
export type Chain = number
type Unchained<E> = Omit<E, "chain">
export type UnchainedEntry = Unchained<NoOpEntry> | Unchained<CommandEntry> | Unchained<ConfigurationEntry>

const fold = (sum: number, word: number): number => {
  const product = Math.imul(sum ^ word, 0x9e3779b1)
  return product ^ (product >>> 15)
}
const HIGH = 2 ** 32
/** Both halves of a count of 48 bits. */
const foldCount = (sum: number, count: number): number => fold(fold(sum, count | 0), count < HIGH ? 0 : Math.floor(count / HIGH))

const foldText = (sum: number, text: string): number => {
  let out = fold(sum, text.length)
  for (let i = 0; i < text.length; i++) out = fold(out, text.charCodeAt(i))
  return out
}
const foldMembers = (sum: number, members: readonly Member[]): number => {
  let out = fold(sum, members.length)
  for (const { name, incarnation } of members) out = foldText(foldText(out, name), incarnation)
  return out
}
const foldConfiguration = (sum: number, { voters, outgoing, learners }: Configuration): number => foldMembers(foldMembers(foldMembers(sum, voters), outgoing), learners)

const KIND = { noop: 1, command: 2, configuration: 3 } as const

/** Of an entry that follows one with the chain `before`. A payload is taken by its own checksum. */
export const chainAfter = (before: Chain, entry: UnchainedEntry | Entry): Chain => {
  const sum = foldCount(foldCount(foldCount(fold(before, KIND[entry.kind]), entry.index), entry.term), entry.time)
  switch (entry.kind) {
    case "noop":
      return sum >>> 0
    case "command":
      return fold(fold(sum, entry.payload.checksum | 0), entry.payload.bytes.length) >>> 0
    case "configuration":
      return foldConfiguration(sum, entry.configuration) >>> 0
  }
}

/** First index whose entry does not follow from the one before, or null. */
export const brokenAt = (before: Chain, entries: readonly Entry[]): number | null => {
  let chain = before
  for (const entry of entries) {
    chain = chainAfter(chain, entry)
    if (chain !== entry.chain) return entry.index
  }
  return null
}
