/** The key of a client's session as clients see it: one word that the opening returns and that they repeat, `17-<32 hexadecimal digits>`. */
import type { SessionKey } from "./types.ts"

/** Size of a session's secret: 128 random bits. */
export const SECRET_BYTES = 16
/** Sessions, sequences and versions are log indexes or counts of entries: the log has 48 bits for each. */
export const MAX_U48 = 2 ** 48 - 1

const digits = SECRET_BYTES * 2
export const LONGEST_KEY = 16 + digits
const form = new RegExp(`^(0|[1-9]\\d{0,14})-([0-9a-f]{${digits}})$`, "u")

export const secretOf = (hex: string): Buffer => Buffer.from(hex, "hex")
export const hexOf = (secret: Uint8Array): string =>
  Buffer.from(secret.buffer, secret.byteOffset, secret.length).toString("hex")

export const showSessionKey = ({ id, secret }: SessionKey): string => `${id}-${hexOf(secret)}`
/** null: no opening can have returned this. */
export const parseSessionKey = (text: string): SessionKey | null => {
  const [, id, hex] = form.exec(text) ?? []
  if (id === undefined || hex === undefined || Number(id) > MAX_U48) return null
  return { id: Number(id), secret: secretOf(hex) }
}

/** In constant time, so that the time taken reveals nothing. */
export const sameSecret = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= (a[at] ?? 0) ^ (b[at] ?? 0)
  return difference === 0
}
