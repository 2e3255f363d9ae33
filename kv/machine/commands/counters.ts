/** INCR, DECR and their family: 64-bit signed decimal text, as Redis keeps it. */
import { LONGEST_NUMBER, parseLongDouble, printLongDouble, addLongDoubles } from "./longdouble.ts"
import { bulk, err, notAnInteger } from "../reply.ts"
import { type CommandHandler, type KeyspaceView, MAX_DIGITS, argument, fitsInt64, parseInt64 } from "./view.ts"
import type { Reply } from "../../types.ts"

const overflow = err("increment or decrement would overflow")

const add = (view: KeyspaceView, key: Buffer, delta: bigint): Reply => {
  const item = view.get(key)
  // Longer than any integer: not worth parsing.
  if (item !== undefined && item.length > MAX_DIGITS) return notAnInteger
  const old = item === undefined ? 0n : parseInt64(view.value(key, item))
  if (old === undefined) return notAnInteger
  const sum = old + delta
  if (!fitsInt64(sum)) return overflow
  view.put(key, Buffer.from(sum.toString(), "latin1"), item?.expiry ?? 0)
  const small = Number(sum)
  return { type: "integer", value: Number.isSafeInteger(small) ? small : sum }
}

export const incr: CommandHandler = (view, args) => add(view, argument(args, 1), 1n)
export const decr: CommandHandler = (view, args) => add(view, argument(args, 1), -1n)
export const incrby: CommandHandler = (view, args) => {
  const delta = parseInt64(argument(args, 2))
  return delta === undefined ? notAnInteger : add(view, argument(args, 1), delta)
}
export const decrby: CommandHandler = (view, args) => {
  const delta = parseInt64(argument(args, 2))
  if (delta === undefined) return notAnInteger
  return fitsInt64(-delta) ? add(view, argument(args, 1), -delta) : err("decrement would overflow")
}

const notAFloat = err("value is not a valid float")
const notFinite = err("increment would produce NaN or Infinity")

/** Exact to the last digit, like Redis on x86-64 (longdouble.ts). */
export const incrbyfloat: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  const parsed = (text: Buffer): ReturnType<typeof parseLongDouble> =>
    text.length > LONGEST_NUMBER ? undefined : parseLongDouble(text.toString("latin1"), (cost) => view.charge(cost))
  if (item !== undefined && item.length > LONGEST_NUMBER) return notAFloat
  const old = item === undefined ? { significand: 0n, exponent: 0 } : parsed(view.value(key, item))
  const increment = parsed(argument(args, 2))
  if (old === undefined || increment === undefined) return notAFloat
  const sum = old === "infinite" || increment === "infinite" ? null : addLongDoubles(old, increment)
  if (sum === null) return notFinite
  const value = Buffer.from(printLongDouble(sum), "latin1")
  view.answering(value.length)
  view.put(key, value, item?.expiry ?? 0)
  return bulk(value)
}
