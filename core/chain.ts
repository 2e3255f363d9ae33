/**
 * The chained checksum: each entry carries one over itself and all entries before it. Two logs with equal chains at an
 * index are equal up to it, and logs that agree in index and term but not in content are noticed by the next append.
 *
 * Each word is folded in by invertible steps (xor, an odd factor, a shift), so one different word always gives a
 * different sum, and equal words after it keep the sums different. This guards against lost writes, not against malice.
 */
import type {
  Addresses,
  Chain,
  CommandEntry,
  Configuration,
  ConfigurationEntry,
  Entry,
  Member,
  NoOpEntry,
  Payload,
} from "./entry.ts"

type Unchained<E> = Omit<E, "chain">
export type UnchainedEntry = Unchained<NoOpEntry> | Unchained<CommandEntry> | Unchained<ConfigurationEntry>

const fold = (sum: number, word: number): number => {
  const product = Math.imul(sum ^ word, 0x9e3779b1)
  return product ^ (product >>> 15)
}
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
const foldAddresses = (sum: number, addresses: Addresses): number => {
  const names = Object.keys(addresses).sort()
  // The codecs do not tell an empty list from none.
  if (names.length === 0) return sum
  let out = fold(sum, names.length)
  for (const name of names) out = foldText(foldText(out, name), addresses[name] ?? "")
  return out
}
const foldConfiguration = (sum: number, { voters, outgoing, learners, addresses, level }: Configuration): number => {
  const members = foldMembers(foldMembers(foldMembers(sum, voters), outgoing), learners)
  const placed = addresses === undefined ? members : foldAddresses(members, addresses)
  return level === undefined ? placed : fold(placed, level)
}

const NOOP = 1
const COMMAND = 2
const CONFIGURATION = 3
/** The bits above the low 32; at most 16 of them. */
const above = (count: number): number => (count / 0x1_0000_0000) | 0
const foldPlace = (kind: number, index: number, term: number, time: number): number =>
  fold(fold(fold(fold(fold(kind, index | 0), term | 0), time | 0), (above(index) << 16) | above(term)), above(time))

/**
 * Each entry is folded on its own, and only the result is folded into the chain. So only one step depends on the entry
 * before, and a processor can work on several entries at once.
 */
const link = (before: Chain, entry: number): Chain => fold(before, entry)

/** A function of its own because a leader makes many at once. A payload is represented by its own checksum. */
export const chainOfCommand = (
  before: Chain,
  index: number,
  term: number,
  time: number,
  { checksum, bytes }: Payload,
): Chain => link(before, fold(fold(foldPlace(COMMAND, index, term, time), checksum | 0), bytes.length))

/** The chain of an entry that follows one whose chain is `before`. */
export const chainAfter = (before: Chain, entry: UnchainedEntry | Entry): Chain => {
  const { index, term, time } = entry
  switch (entry.kind) {
    case "noop":
      return link(before, foldPlace(NOOP, index, term, time))
    case "command":
      return chainOfCommand(before, index, term, time, entry.payload)
    case "configuration":
      return link(before, foldConfiguration(foldPlace(CONFIGURATION, index, term, time), entry.configuration))
  }
}

/** The index of the first entry whose chain does not continue that of the entry before it, or null. */
export const chainBreaksAt = (before: Chain, entries: readonly Entry[]): number | null => {
  let chain = before
  for (const entry of entries) {
    chain = chainAfter(chain, entry)
    if (chain !== entry.chain) return entry.index
  }
  return null
}
