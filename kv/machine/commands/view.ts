/** How a command sees the store while it executes, and how it reads its arguments. */
import { bulk, notAnInteger } from "../reply.ts"
import type { Reply } from "../../types.ts"

export interface Item {
  /** Bytes of the value: known without reading it. */
  readonly length: number
  /** null: the value is in a separate record that has not been read (see View.value). */
  readonly value: Buffer | null
  /** CRC-32 of key and value, for a value that has not been read. */
  readonly crc: number
  /** Index of the log entry that wrote it. */
  readonly version: number
  /** The key is gone once the replicated clock reaches this; 0: never. */
  readonly expiry: number
}

/** Everything that a command does goes through this and is charged (see cost.ts): each method may throw TooLarge. */
export interface KeyspaceView {
  /** The replicated clock. */
  readonly now: number
  /** Log index of the entry that is being executed; 0 for a read. */
  readonly index: number
  /** undefined: absent, or expired at `now`. Does not read a large value. */
  readonly get: (key: Buffer) => Item | undefined
  /** Reads the value of an item that `get` returned. */
  readonly value: (key: Buffer, item: Item) => Buffer
  /** Called before a reply with this many bytes of values is made. */
  readonly answering: (bytes: number) => void
  /** Called before work that is charged nowhere else. */
  readonly charge: (cost: number) => void
  /** Does not read the earlier value. */
  readonly put: (key: Buffer, value: Buffer, expiry: number) => void
  /** The same value with another deadline: counts as written, but a large value is not touched. */
  readonly touch: (key: Buffer, item: Item, expiry: number) => void
  readonly delete: (key: Buffer) => void
  readonly clear: () => void
}
/** The value as a reply, charged before it is read. */
export const answer = (view: KeyspaceView, key: Buffer, item: Item): Reply => {
  view.answering(item.length)
  return bulk(view.value(key, item))
}

export type Arguments = readonly Buffer[]
/** `args[0]` is the command's name; the arity has been checked. */
export type CommandHandler = (view: KeyspaceView, args: Arguments) => Reply

/** Deadlines take 48 bits in a record; a later one (8,900 years from now) is replaced by this. */
export const LAST_DEADLINE = 0xffff_ffff_ffff

const NOTHING = Buffer.alloc(0)
/** Arities were checked before: a handler that reads within them never gets this default. */
export const argument = (args: Arguments, i: number): Buffer => args[i] ?? NOTHING

/** The name of an option or command. */
export const upper = (bytes: Buffer): string => bytes.toString("latin1").toUpperCase()

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
export const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX

/** The most characters of a 64-bit integer with its sign. */
export const MAX_DIGITS = 20
/** Redis' string2ll: no sign but minus, no leading zeros, no blanks, 64 bits. */
export const parseInt64 = (bytes: Buffer): bigint | undefined => {
  if (bytes.length === 0 || bytes.length > MAX_DIGITS) return undefined
  const text = bytes.toString("latin1")
  if (!/^(?:0|-?[1-9][0-9]*)$/.test(text)) return undefined
  const value = BigInt(text)
  return fitsInt64(value) ? value : undefined
}

/** How a command gives a point in time: in seconds or milliseconds, from now or since 1970. */
export interface TimeUnit {
  readonly millis: 1n | 1000n
  readonly relative: boolean
}

/** The deadline that an argument names, as Redis computes and limits it, or the reason why there is none. */
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

/** A deadline as stored in records. The caller has handled deadlines that have passed. */
export const clampDeadline = (deadline: bigint): number =>
  deadline > BigInt(LAST_DEADLINE) ? LAST_DEADLINE : Number(deadline)
