/**
 * Glob patterns of KEYS and SCAN, over bytes, as in Redis' stringmatchlen: * ? [abc] [^a-z] and \ to quote.
 *
 * Time is linear in the length of the key, whatever the pattern. Stars divide a pattern into segments. A segment
 * between two stars is searched from the left, for all possible starts at once, as bits of a few words (Shift-And), and
 * only once: the leftmost match leaves the most for the rest.
 */
import { TooLarge } from "../cost.ts"

export type Matcher = (key: Uint8Array) => boolean

/** The most bytes of a pattern: each byte of a key costs at worst one step for every 32 of them. */
export const MAX_PATTERN = 1024

const STAR = 0x2a
const QUESTION = 0x3f
const OPEN = 0x5b
const CLOSE = 0x5d
const CARET = 0x5e
const DASH = 0x2d
const BACKSLASH = 0x5c

/** What one position of a pattern accepts: one byte, or the bytes in a table. */
type One = number | Uint8Array

const anyByte = new Uint8Array(256).fill(1)

/** The class that starts after the bracket at `from`: what it accepts, and where the pattern continues. */
const compileClass = (pattern: Uint8Array, from: number): { readonly one: One; readonly next: number } => {
  const negated = pattern[from] === CARET
  const accepted = new Uint8Array(256)
  let i = negated ? from + 1 : from
  // An unclosed class ends with the pattern, as in Redis.
  for (; i < pattern.length && pattern[i] !== CLOSE; i++) {
    if (pattern[i] === BACKSLASH && i + 1 < pattern.length) {
      i++
      accepted[pattern[i] ?? 0] = 1
    } else if (pattern[i + 1] === DASH && i + 2 < pattern.length) {
      const a = pattern[i] ?? 0
      const b = pattern[i + 2] ?? 0
      accepted.fill(1, Math.min(a, b), Math.max(a, b) + 1)
      i += 2
    } else accepted[pattern[i] ?? 0] = 1
  }
  return { one: negated ? accepted.map((bit) => 1 - bit) : accepted, next: i + 1 }
}

/** The segments between the stars: one more than there are stars, adjacent stars counting as one. */
const compile = (pattern: Uint8Array): readonly (readonly One[])[] => {
  let segment: One[] = []
  const segments: One[][] = [segment]
  let i = 0
  while (i < pattern.length) {
    const byte = pattern[i] ?? 0
    if (byte === OPEN) {
      const { one, next } = compileClass(pattern, i + 1)
      segment.push(one)
      i = next
      continue
    }
    if (byte === STAR) {
      if (segment.length > 0 || segments.length === 1) {
        segment = []
        segments.push(segment)
      }
    } else if (byte === QUESTION) segment.push(anyByte)
    else {
      if (byte === BACKSLASH && i + 1 < pattern.length) i++
      segment.push(pattern[i] ?? 0)
    }
    i++
  }
  return segments
}

const accepts = (one: One | undefined, byte: number): boolean =>
  typeof one === "number" ? one === byte : one?.[byte] === 1

const standsAt = (segment: readonly One[], key: Uint8Array, at: number): boolean => {
  for (let i = 0; i < segment.length; i++) if (!accepts(segment[i], key[at + i] ?? 0)) return false
  return true
}

/** Where the leftmost match of the segment in [from, end) of the key ends; -1 if there is none. */
type Finder = (key: Uint8Array, from: number, end: number) => number

const finder = (segment: readonly One[]): Finder => {
  const words = (segment.length + 31) >>> 5
  /** For each byte the positions of the segment that accept it. */
  const masks = new Int32Array(256 * words)
  segment.forEach((one, i) => {
    const bit = 1 << (i & 31)
    const word = i >>> 5
    const set = (byte: number): void => {
      masks[byte * words + word] = (masks[byte * words + word] ?? 0) | bit
    }
    if (typeof one === "number") set(one)
    else for (let byte = 0; byte < 256; byte++) if (one[byte] === 1) set(byte)
  })
  const last = words - 1
  const found = 1 << ((segment.length - 1) & 31)
  const state = new Int32Array(words)
  return (key, from, end) => {
    state.fill(0)
    for (let k = from; k < end; k++) {
      const row = (key[k] ?? 0) * words
      let carry = 1
      for (let w = 0; w < words; w++) {
        const old = state[w] ?? 0
        state[w] = ((old << 1) | carry) & (masks[row + w] ?? 0)
        carry = old >>> 31
      }
      if (((state[last] ?? 0) & found) !== 0) return k + 1
    }
    return -1
  }
}

/** Throws TooLarge for a pattern longer than MAX_PATTERN. */
export const glob = (pattern: Uint8Array): Matcher => {
  if (pattern.length > MAX_PATTERN)
    throw new TooLarge(`a pattern of ${pattern.length} bytes was given, at most ${MAX_PATTERN} are allowed.`)
  const segments = compile(pattern)
  const first = segments[0] ?? []
  if (segments.length === 1) return (key) => key.length === first.length && standsAt(first, key, 0)
  const last = segments.at(-1) ?? []
  const between = segments.slice(1, -1).map(finder)
  return (key) => {
    const end = key.length - last.length
    if (end < first.length || !standsAt(first, key, 0) || !standsAt(last, key, end)) return false
    let at = first.length
    for (const find of between) {
      at = find(key, at, end)
      if (at < 0) return false
    }
    return true
  }
}
