/** Redis Cluster's hash slots: CRC-16/XMODEM of the key, or of its {tag}, modulo 16384. */

export const slotCount = 16_384

const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  return crc
})

const crc16 = (bytes: Uint8Array): number => {
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) ^ (table[(crc >> 8) ^ byte] ?? 0)) & 0xffff
  return crc
}

export const keySlot = (key: Uint8Array): number => {
  const open = key.indexOf(0x7b)
  const close = open < 0 ? -1 : key.indexOf(0x7d, open + 1)
  // An empty tag is no tag.
  return crc16(close > open + 1 ? key.subarray(open + 1, close) : key) % slotCount
}
