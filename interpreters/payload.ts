/**
 * Payloads with their CRC-32, in every runtime: by Node's own function where there is one, which is many times faster.
 */
import type { Payload } from "../core/index.ts"
import { builtin } from "./builtin.ts"

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  return sum
})
/** `sum`: the CRC of the bytes before these. */
export const crc32ByTable = (bytes: Uint8Array, sum = 0): number => {
  let rest = ~sum
  for (const byte of bytes) rest = (rest >>> 8) ^ (TABLE[(rest ^ byte) & 0xff] ?? 0)
  return ~rest >>> 0
}
const ofNode = (builtin("node:zlib") as { readonly crc32?: typeof crc32ByTable } | undefined)?.crc32
/** Node's function returns 0 if there are no bytes, even if `sum` is given. */
export const crc32: (bytes: Uint8Array, sum?: number) => number =
  ofNode === undefined ? crc32ByTable : (bytes, sum) => (bytes.length === 0 ? (sum ?? 0) : ofNode(bytes, sum))

export const payloadOf = (bytes: Uint8Array): Payload => ({ bytes, checksum: crc32(bytes) })
