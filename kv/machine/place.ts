/**
 * The place of a key among all keys: a number of 48 bits that depends on its bytes alone. Data are stored in this
 * order, so a place is a cursor of SCAN with the same meaning on every node and at any time, whatever keys come and go.
 */

/** One more than the last place. */
export const PLACES = 2 ** 48

/**
 * HalfSipHash-2-4 (Aumasson and Bernstein, 2012) with a key, 48 of its 64 bits. Our key is public, but finding more
 * than a few keys of one place is still infeasible; all keys of a place are returned in one reply.
 */
export const placeOf = (bytes: Uint8Array, k0 = 0x73746570, k1 = 0x72616674): number => {
  let v0 = k0
  let v1 = k1 ^ 0xee
  let v2 = 0x6c796765 ^ k0
  let v3 = 0x74656462 ^ k1
  const { length } = bytes
  const words = length >>> 2
  // Two rounds for each word, the last of which holds the remaining bytes and the length; then four rounds, and four
  // more.
  const taken = 2 * (words + 1)
  let word = 0
  let low = 0
  for (let round = 0; round < taken + 8; round++) {
    if (round < taken) {
      if ((round & 1) === 0) {
        v0 ^= word
        const at = 2 * round
        if (round < 2 * words)
          word =
            (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
        else {
          word = length << 24
          for (let i = at; i < length; i++) word |= (bytes[i] ?? 0) << (8 * (i - at))
        }
        v3 ^= word
      }
    } else if (round === taken) {
      v0 ^= word
      v2 ^= 0xee
    } else if (round === taken + 4) {
      low = (v1 ^ v3) >>> 0
      v1 ^= 0xdd
    }
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  return ((v1 ^ v3) & 0xffff) * 0x1_0000_0000 + low
}
