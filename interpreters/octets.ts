/** Replaces Node's Buffer in every runtime: bytes as text and as base64, and joining. */

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text)
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes)

export const concat = (parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const DIGITS = utf8("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
const VALUES = new Uint8Array(128)
for (const [value, digit] of DIGITS.entries()) VALUES[digit] = value

export const toBase64 = (bytes: Uint8Array): string => {
  const out = new Uint8Array(Math.ceil(bytes.length / 3) * 4).fill(0x3d)
  for (let at = 0, to = 0; at < bytes.length; at += 3, to += 4) {
    const group = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    const digits = Math.min(bytes.length - at, 3) + 1
    for (let i = 0; i < digits; i++) out[to + i] = DIGITS[(group >> (18 - 6 * i)) & 63] ?? 0
  }
  return textOf(out)
}
export const fromBase64 = (text: string): Uint8Array<ArrayBuffer> => {
  const digits = utf8(text.replace(/=+$/, ""))
  const out = new Uint8Array(Math.floor((digits.length * 3) / 4))
  let group = 0
  let to = 0
  for (const [at, digit] of digits.entries()) {
    group = (group << 6) | (VALUES[digit] ?? 0)
    if (at % 4 !== 0) out[to++] = group >> (6 - 2 * (at % 4))
  }
  return out
}
