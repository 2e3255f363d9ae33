/**
 * Glob patterns of KEYS and SCAN, over bytes, as Redis' stringmatchlen: * ? [abc] [^a-z] and \ to quote.
 * Matching is linear in the key for each star: a star that fails is retried only from the last star met.
 */
interface One {
  readonly star: boolean
  readonly accepts: (byte: number) => boolean
}

export type Matcher = (key: Uint8Array) => boolean

const STAR = 0x2a
const QUESTION = 0x3f
const OPEN = 0x5b
const CLOSE = 0x5d
const CARET = 0x5e
const DASH = 0x2d
const BACKSLASH = 0x5c

/** The class that starts after the bracket at `from`: what it accepts and where the pattern goes on. */
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
  return { one: { star: false, accepts: (byte) => (accepted[byte] === 1) !== negated }, next: i + 1 }
}

const compile = (pattern: Uint8Array): One[] => {
  const ones: One[] = []
  let i = 0
  while (i < pattern.length) {
    const byte = pattern[i] ?? 0
    if (byte === OPEN) {
      const { one, next } = compileClass(pattern, i + 1)
      ones.push(one)
      i = next
      continue
    }
    if (byte === STAR) {
      if (ones.at(-1)?.star !== true) ones.push({ star: true, accepts: () => true })
    } else if (byte === QUESTION) ones.push({ star: false, accepts: () => true })
    else {
      const quoted = byte === BACKSLASH && i + 1 < pattern.length
      if (quoted) i++
      const wanted = pattern[i] ?? 0
      ones.push({ star: false, accepts: (found) => found === wanted })
    }
    i++
  }
  return ones
}

export const glob = (pattern: Uint8Array): Matcher => {
  const ones = compile(pattern)
  return (key) => {
    let k = 0
    let p = 0
    let star = -1
    let resume = 0
    while (k < key.length) {
      const one = ones[p]
      if (one?.star === true) {
        star = p++
        resume = k
      } else if (one?.accepts(key[k] ?? 0) === true) {
        p++
        k++
      } else if (star >= 0) {
        p = star + 1
        k = ++resume
      } else return false
    }
    while (ones[p]?.star === true) p++
    return p === ones.length
  }
}

/** The bytes that every matching key starts with: a scan need look nowhere else. */
export const literalPrefix = (pattern: Uint8Array): Uint8Array => {
  let end = 0
  while (end < pattern.length) {
    const byte = pattern[end] ?? 0
    if (byte === STAR || byte === QUESTION || byte === OPEN || byte === BACKSLASH) break
    end++
  }
  return pattern.subarray(0, end)
}
