/**
 * Numbers of INCRBYFLOAT: the 80-bit floating-point numbers with which Redis computes on x86-64 (IEEE 754 extended, a
 * significand of 64 bits), computed with whole numbers, so that every node gets the same digits on every processor.
 * Texts are parsed as by C's strtold and written as with "%.17Lf", without trailing zeros.
 */

/** `significand` · 2^`exponent`; the significand has at most 64 bits. */
export interface LongDouble {
  readonly significand: bigint
  readonly exponent: number
}

const BITS = 64
/** Exponents of the last bit: of the smallest number, and of the largest numbers. */
const LEAST = -16_445
const MOST = 16_384 - BITS
/** Redis accepts no longer text as a number. */
export const LONGEST_NUMBER = 5 * 1024 - 1
/** Decimal exponents beyond these are out of range whatever the digits are. */
const LEAST_TENS = -5_000
const MOST_TENS = 4_933
const FRACTION = 17

const bitsOf = (value: bigint): number => {
  const digits = value.toString(16)
  return 4 * digits.length + 28 - Math.clz32(Number.parseInt(digits.slice(0, 1), 16))
}
const absolute = (value: bigint): bigint => (value < 0n ? -value : value)
/** 2^n times the value. If n is negative, the bits that are shifted out must be zero. */
const shifted = (value: bigint, n: number): bigint => (n >= 0 ? value << BigInt(n) : value >> BigInt(-n))

/** Rounds a nonnegative number to the nearest whole number, and a half to the even one. */
const divided = (numerator: bigint, denominator: bigint): bigint => {
  const quotient = numerator / denominator
  const rest = 2n * (numerator - quotient * denominator)
  return rest > denominator || (rest === denominator && (quotient & 1n) === 1n) ? quotient + 1n : quotient
}

/** The nearest number to `numerator` / `denominator` · 2^`exponent`; null: beyond the largest. */
const nearest = (numerator: bigint, denominator: bigint, exponent: number): LongDouble | null => {
  if (numerator === 0n) return { significand: 0n, exponent: 0 }
  const size = absolute(numerator)
  // The estimate may be wrong by one bit; a second try corrects that.
  for (let last = Math.max(LEAST, bitsOf(size) - bitsOf(denominator) + exponent - BITS); ; last++) {
    const up = exponent - last
    const significand = up >= 0 ? divided(size << BigInt(up), denominator) : divided(size, denominator << BigInt(-up))
    if (bitsOf(significand) > BITS) continue
    return last > MOST ? null : { significand: numerator < 0n ? -significand : significand, exponent: last }
  }
}

const DECIMAL = /^([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:e([+-]?\d+))?$/i
const HEXADECIMAL = /^([+-]?)0x(?:([0-9a-f]+)\.?([0-9a-f]*)|\.([0-9a-f]+))(?:p([+-]?\d+))?$/i
const INFINITE = /^[+-]?inf(?:inity)?$/i

/**
 * The cost of parsing a number (see cost.ts), and of each of its digits and powers of ten: 1e4932 takes 0.2 ms, 0.1 a
 * few microseconds.
 */
const NUMBER_COST = 4096
const DIGIT_COST = 64

/**
 * The number in a text; undefined: the text is no number, or the number is out of range. `charge` is called before
 * anything takes long.
 */
export const parseLongDouble = (text: string, charge: (cost: number) => void): LongDouble | "infinite" | undefined => {
  if (INFINITE.test(text)) return "infinite"
  const hexadecimal = HEXADECIMAL.exec(text)
  const [, sign, whole = "", fraction, only, power = "0"] = hexadecimal ?? DECIMAL.exec(text) ?? []
  if (sign === undefined) return undefined
  const behind = fraction ?? only ?? ""
  const digits = `${whole}${behind}`.replace(/^0+/, "")
  if (digits === "") return { significand: 0n, exponent: 0 }
  const magnitude = BigInt(hexadecimal === null ? digits : `0x${digits}`)
  const signed = sign === "-" ? -magnitude : magnitude
  const raised = Number(power)
  charge(NUMBER_COST + DIGIT_COST * (digits.length + Math.min(Math.abs(raised), -LEAST)))
  let found: LongDouble | null
  if (hexadecimal === null) {
    const tens = raised - behind.length
    if (tens + digits.length > MOST_TENS || tens + digits.length < LEAST_TENS) return undefined
    found = tens >= 0 ? nearest(signed * 10n ** BigInt(tens), 1n, 0) : nearest(signed, 10n ** BigInt(-tens), 0)
  } else {
    const twos = raised - 4 * behind.length
    const top = twos + 4 * digits.length
    if (top > MOST + BITS + 4 || top < LEAST - 4) return undefined
    found = nearest(signed, 1n, twos)
  }
  // A number that underflows to zero is refused, like one that overflows.
  return found === null || found.significand === 0n ? undefined : found
}

/** null: the sum is beyond the largest number. */
export const addLongDoubles = (a: LongDouble, b: LongDouble): LongDouble | null => {
  const exponent = Math.min(a.exponent, b.exponent)
  return nearest(
    shifted(a.significand, a.exponent - exponent) + shifted(b.significand, b.exponent - exponent),
    1n,
    exponent,
  )
}

export const printLongDouble = ({ significand, exponent }: LongDouble): string => {
  const scaled = absolute(significand) * 10n ** BigInt(FRACTION)
  const units = exponent >= 0 ? scaled << BigInt(exponent) : divided(scaled, 1n << BigInt(-exponent))
  const digits = units.toString().padStart(FRACTION + 1, "0")
  const fraction = digits.slice(-FRACTION).replace(/0+$/, "")
  const text = `${digits.slice(0, -FRACTION)}${fraction === "" ? "" : `.${fraction}`}`
  return significand < 0n && text !== "0" ? `-${text}` : text
}
