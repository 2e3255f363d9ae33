/** Payloads with their CRC-32, without Node: the same numbers as `payloadOf` of bytes.ts, which is faster there. */
import type { Payload } from "../core/index.ts"

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  return sum
})

export const crc32 = (bytes: Uint8Array): number => {
  let sum = -1
  for (const byte of bytes) sum = (sum >>> 8) ^ (TABLE[(sum ^ byte) & 0xff] ?? 0)
  return ~sum >>> 0
}

export const payloadOf = (bytes: Uint8Array): Payload => ({ bytes, checksum: crc32(bytes) })
