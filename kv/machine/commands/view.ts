/** What a command sees of the store while it executes, and how it reads its arguments. */
import { bulk, notAnInteger } from "../reply.ts"
import type { Reply } from "../../types.ts"

export interface Item {
  /** Of the value, in bytes: known without reading it. */
  readonly length: number
  /** null: it stands in a record of its own that has not been read (see View.value). */
  readonly value: Buffer | null
  /** CRC-32 of key and value, of a value that has not been read. */
  readonly crc: number
  /** Index of the log entry that wrote it. */
  readonly version: number
  /** It is gone once the replicated clock reads this; 0: never. */
  readonly expiry: number
}

/** Whatever a command does goes through here and is charged (see cost.ts): each of these may throw TooLarge. */
export interface View {
  /** The replicated clock. */
  readonly now: number
  /** Place in the log of what is executed; 0 for a read. */
  readonly index: number
  /** undefined: absent, or expired at `now`. Does not read a large value. */
  readonly get: (key: Buffer) => Item | undefined
  /** Reads the value of an item that `get` gave. */
  readonly value: (key: Buffer, item: Item) => Buffer
  /** Asked before a reply with so many bytes of values is made. */
  readonly answering: (bytes: number) => void
  /** Asked before work that none of the others tells of. */
  readonly charge: (cost: number) => void
  /** Does not read what was there before. */
  readonly put: (key: Buffer, value: Buffer, expiry: number) => void
  /** The same value with another deadline: counts as written, but a large value is not touched. */
  readonly touch: (key: Buffer, item: Item, expiry: number) => void
  readonly delete: (key: Buffer) => void
  readonly clear: () => void
}
/** The value as a reply, charged before it is read. */
export const answer = (view: View, key: Buffer, item: Item): Reply => {
  view.answering(item.length)
  return bulk(view.value(key, item))
}

export type Arguments = readonly Buffer[]
/** `args[0]` is the command's name; the arity has been checked. */
export type Handler = (view: View, args: Arguments) => Reply

/** Deadlines take 48 bits in a record; what is later (8,900 years from now) is as good as this. */
export const LAST_DEADLINE = 0xffff_ffff_ffff

const NOTHING = Buffer.alloc(0)
/** Arity checks have run: this is never the default in a handler that reads within them. */
export const argument = (args: Arguments, i: number): Buffer => args[i] ?? NOTHING

/** An option's or command's name. */
export const upper = (bytes: Buffer): string => bytes.toString("latin1").toUpperCase()

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
export const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX

/** Of a 64-bit integer, its sign included. */
export const MAX_DIGITS = 20
/** Redis' string2ll: no sign but minus, no leading zeros, no blanks, 64 bits. */
export const parseInt64 = (bytes: Buffer): bigint | undefined => {
  if (bytes.length === 0 || bytes.length > MAX_DIGITS) return undefined
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
export const deadlineOf = (
  now: number,
  bytes: Buffer,
  unit: TimeUnit,
  positive: boolean,
  tooFar: Reply,
): bigint | Reply => {
  const amount = parseInt64(bytes)
  if (amount === undefined) return notAnInteger
  if (positive && amount <= 0n) return tooFar
  const millis = amount * unit.millis
  const deadline = unit.relative ? millis + BigInt(now) : millis
  return fitsInt64(millis) && fitsInt64(deadline) ? deadline : tooFar
}

/** A deadline as records hold it. The caller has dealt with those that have passed. */
export const clampDeadline = (deadline: bigint): number =>
  deadline > BigInt(LAST_DEADLINE) ? LAST_DEADLINE : Number(deadline)
