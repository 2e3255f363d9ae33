/** Password hashes: scrypt (RFC 7914), as `scrypt:N:r:p:salt:hash`, the last two in base64url. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto"

const HASH = /^scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([\w-]{16,128}):([\w-]{32,128})$/
const [N, R, P] = [16_384, 8, 1]
const BYTES = 32
/** The most memory that checking one line of the file may take. */
const MOST = 64 * 1024 * 1024

interface Scrypt {
  readonly N: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}
/** null: it is not a hash, or one whose check would take too much memory. */
export const parseHash = (text: string): Scrypt | null => {
  const [, n, r, p, salt = "", hash = ""] = HASH.exec(text) ?? []
  const found = { N: Number(n), r: Number(r), p: Number(p) }
  const fits = found.N >= 2 && (found.N & (found.N - 1)) === 0 && found.r >= 1 && found.p >= 1 && found.p <= 16
  return fits && 128 * found.N * found.r <= MOST
    ? { ...found, salt: Buffer.from(salt, "base64url"), hash: Buffer.from(hash, "base64url") }
    : null
}
const derive = (password: Uint8Array, salt: Uint8Array, bytes: number, cost: Omit<Scrypt, "salt" | "hash">) =>
  new Promise<Buffer>((resolve, reject) => {
    scrypt(password, salt, bytes, { ...cost, maxmem: 2 * MOST }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    )
  })

export const passwordHash = async (password: Uint8Array): Promise<string> => {
  const salt = randomBytes(16)
  const key = await derive(password, salt, BYTES, { N, r: R, p: P })
  return `scrypt:${N}:${R}:${P}:${salt.toString("base64url")}:${key.toString("base64url")}`
}
export const matches = async (password: Uint8Array, { hash, salt, ...cost }: Scrypt): Promise<boolean> =>
  timingSafeEqual(await derive(password, salt, hash.length, cost), hash)

const dummyHash: Scrypt = { N, r: R, p: P, salt: Buffer.alloc(16), hash: Buffer.alloc(BYTES) }
/**
 * A password for a user without a hash is checked against this, which costs what the first of these hashes costs, so
 * that the time of the answer does not tell whether the user exists.
 */
export const decoyAmong = (passwords: readonly string[]): Scrypt => {
  for (const password of passwords) {
    const like = parseHash(password)
    if (like !== null) return { ...like, hash: Buffer.alloc(like.hash.length) }
  }
  return dummyHash
}
