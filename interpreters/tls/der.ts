/** The part of DER (ITU-T X.690) that a certificate needs: tag, length, content. */

const lengthOf = (size: number): readonly number[] => {
  if (size < 0x80) return [size]
  const bytes: number[] = []
  for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [0x80 | bytes.length, ...bytes]
}
const tagged = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, ...parts)
export const derSet = (...parts: readonly Uint8Array[]): Buffer => tagged(0x31, ...parts)
export const octets = (content: Uint8Array): Buffer => tagged(0x04, content)
export const text = (content: string): Buffer => tagged(0x0c, Buffer.from(content))
export const yes = tagged(0x01, Buffer.from([0xff]))
/** `unused`: bits at the end that do not count. */
export const bits = (content: Uint8Array, unused = 0): Buffer => tagged(0x03, Buffer.from([unused]), content)
/** An element with the tag [number]: constructed from other elements, or with plain content. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => tagged(0xa0 + number, ...parts)
export const implicit = (number: number, content: Uint8Array): Buffer => tagged(0x80 + number, content)

/** The bytes of a non-negative integer. */
export const derInteger = (bytes: Uint8Array): Buffer => {
  let from = 0
  while (from < bytes.length - 1 && bytes[from] === 0) from++
  const digits = bytes.subarray(from)
  return (digits[0] ?? 0) >= 0x80 ? tagged(0x02, Buffer.from([0]), digits) : tagged(0x02, digits)
}

/** `dotted`: the identifier in dotted form. */
export const oid = (dotted: string): Buffer => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number)
  const bytes = [40 * first + second]
  for (const number of rest) {
    const septets = [number % 128]
    for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128))
      septets.unshift(0x80 | (left % 128))
    bytes.push(...septets)
  }
  return tagged(0x06, Buffer.from(bytes))
}

/** A time with seconds. RFC 5280: the year has two digits through 2049, then four. */
export const time = (at: Date): Buffer => {
  const digits = `${at.toISOString().slice(0, 19).replaceAll(/[-:T]/g, "")}Z`
  return at.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits))
}
