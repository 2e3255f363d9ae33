/** What a command sees of the store while it executes, and how it reads its arguments. */
import { error, notAnInteger } from "./reply.ts"
import type { Reply } from "../types.ts"

export interface Item {
  readonly value: Buffer
  /** Index of the log entry that wrote it. */
  readonly version: number
  /** It is gone once the replicated clock reads this; 0: never. */
  readonly expiry: number
}

export interface View {
  /** The replicated clock. */
  readonly now: number
  /** undefined: absent, or expired at `now`. */
  readonly get: (key: Buffer) => Item | undefined
  /** Does not read what was there before. */
  readonly put: (key: Buffer, value: Buffer, expiry: number) => void
  readonly delete: (key: Buffer) => void
  readonly clear: () => void
}

export type Arguments = readonly Buffer[]
/** `args[0]` is the command's name; the arity has been checked. */
export type Handler = (view: View, args: Arguments) => Reply

/** Deadlines take 48 bits in a record; what is later (8,900 years from now) is as good as this. */
export const LAST_DEADLINE = 0xffff_ffff_ffff

/** A value may grow to this, by APPEND; one command carries at most what one log entry may hold. */
export const MAX_VALUE = 64 << 20
export const valueTooLong = error("string exceeds maximum allowed size (proto-max-bulk-len)")

const NOTHING = Buffer.alloc(0)
/** Arity checks have run: this is never the default in a handler that reads within them. */
export const argument = (args: Arguments, i: number): Buffer => args[i] ?? NOTHING

/** An option's or command's name. */
export const upper = (bytes: Buffer): string => bytes.toString("latin1").toUpperCase()

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
export const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX

/** Redis' string2ll: no sign but minus, no leading zeros, no blanks, 64 bits. */
export const parseInt64 = (bytes: Buffer): bigint | undefined => {
  if (bytes.length === 0 || bytes.length > 20) return undefined
  const text = bytes.toString("latin1")
  if (!/^(?:0|-?[1-9][0-9]*)$/.test(text)) return undefined
  const value = BigInt(text)
  return fitsInt64(value) ? value : undefined
}

/** How a command names a point in time: a number of units of so many milliseconds, from now or from 1970. */
export interface TimeUnit {
  readonly millis: 1n | 1000n
  readonly relative: boolean
}

/** The deadline that an argument names, as Redis computes and limits it, or why there is none. */
export const deadlineOf = (now: number, bytes: Buffer, unit: TimeUnit, positive: boolean, tooFar: Reply): bigint | Reply => {
  const amount = parseInt64(bytes)
  if (amount === undefined) return notAnInteger
  if (positive && amount <= 0n) return tooFar
  const millis = amount * unit.millis
  const deadline = unit.relative ? millis + BigInt(now) : millis
  return fitsInt64(millis) && fitsInt64(deadline) ? deadline : tooFar
}

/** A deadline as records hold it. The caller has dealt with those that have passed. */
export const clampDeadline = (deadline: bigint): number => (deadline > BigInt(LAST_DEADLINE) ? LAST_DEADLINE : Number(deadline))
