/**
 * Randomness by place: each random choice is a hash of the seed, of what is decided, of where, and of how many such choices
 * there were before. There is no shared stream, so leaving one thing out changes no other choice. 32-bit integers only.
 */

export const mix = (hash: number, value: number): number => {
  let k = Math.imul(value, 0xcc9e2d51)
  k = (k << 15) | (k >>> 17)
  const h = hash ^ Math.imul(k, 0x1b873593)
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

/** Spreads every bit of the hash over all bits. */
export const finish = (hash: number): number => {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export const mixText = (hash: number, text: string): number => {
  let h = mix(hash, text.length)
  for (let i = 0; i < text.length; i++) h = mix(h, text.charCodeAt(i))
  return h
}

/** The kinds of random choices; each has its own sequence. */
export const RANDOM_KINDS = {
  message: 1,
  persist: 2,
  apply: 3,
  snapshot: 4,
  crash: 5,
  boot: 6,
  notice: 7,
  start: 8,
  timer: 16,
} as const

export const hashOfPlace = (seed: number, what: number, from: number, to: number, count: number): number =>
  mix(mix(mix(mix(seed, what), from), to), count)

/** The k-th draw at a place, uniform in [0, bound). */
export const draw = (place: number, k: number, bound: number): number =>
  bound <= 1 ? 0 : finish(place + Math.imul(k + 1, 0x9e3779b9)) % bound
export const drawBetween = (place: number, k: number, min: number, max: number): number =>
  min + draw(place, k, max - min + 1)
export const drawChance = (place: number, k: number, permille: number): boolean =>
  permille > 0 && draw(place, k, 1000) < permille
