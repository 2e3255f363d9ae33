/** CRC-32C (Castagnoli), the checksum of LevelDB's own files; Node has only the other CRC-32. Eight bytes per step. */
const tables = ((): Uint32Array => {
  const all = new Uint32Array(8 * 256)
  for (let n = 0; n < 256; n++) {
    let c = n
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
    all[n] = c >>> 0
  }
  for (let n = 0; n < 256; n++) {
    for (let t = 1; t < 8; t++) {
      const before = all[(t - 1) * 256 + n] ?? 0
      all[t * 256 + n] = (before >>> 8) ^ (all[before & 0xff] ?? 0)
    }
  }
  return all
})()

export const crc32c = (bytes: Uint8Array, from: number, to: number): number => {
  const t = tables
  let c = 0xffffffff
  let i = from
  for (; i + 8 <= to; i += 8) {
    const low =
      c ^ ((bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24))
    c =
      (t[1792 + (low & 0xff)] ?? 0) ^
      (t[1536 + ((low >>> 8) & 0xff)] ?? 0) ^
      (t[1280 + ((low >>> 16) & 0xff)] ?? 0) ^
      (t[1024 + (low >>> 24)] ?? 0) ^
      (t[768 + (bytes[i + 4] ?? 0)] ?? 0) ^
      (t[512 + (bytes[i + 5] ?? 0)] ?? 0) ^
      (t[256 + (bytes[i + 6] ?? 0)] ?? 0) ^
      (t[bytes[i + 7] ?? 0] ?? 0)
  }
  for (; i < to; i++) c = (c >>> 8) ^ (t[(c ^ (bytes[i] ?? 0)) & 0xff] ?? 0)
  return (c ^ 0xffffffff) >>> 0
}

/** LevelDB stores checksums "masked", because a checksum over bytes that hold checksums is weak. */
export const maskedCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
