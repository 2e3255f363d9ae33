/** Payloads with their CRC-32, in every runtime: Node's own where there is one, which is many times faster. */
import type { Payload } from "../core/index.ts"
import { builtin } from "./builtin.ts"

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  return sum
})
/** `sum`: of the bytes before these. */
export const crc32ByTable = (bytes: Uint8Array, sum = 0): number => {
  let rest = ~sum
  for (const byte of bytes) rest = (rest >>> 8) ^ (TABLE[(rest ^ byte) & 0xff] ?? 0)
  return ~rest >>> 0
}
const ofNode = (builtin("node:zlib") as { readonly crc32?: typeof crc32ByTable } | undefined)?.crc32
/** Node answers 0 for no bytes after some. */
export const crc32: (bytes: Uint8Array, sum?: number) => number =
  ofNode === undefined ? crc32ByTable : (bytes, sum) => (bytes.length === 0 ? (sum ?? 0) : ofNode(bytes, sum))

export const payloadOf = (bytes: Uint8Array): Payload => ({ bytes, checksum: crc32(bytes) })
