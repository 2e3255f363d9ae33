/** GET, SET and their family. */
import { checkValue } from "../cost.ts"
import {
  EMPTY_BULK,
  NULL,
  OK,
  ONE,
  ZERO,
  bulk,
  err,
  integer,
  invalidExpire,
  notAnInteger,
  syntaxError,
  wrongArity,
} from "../reply.ts"
import {
  type Arguments,
  type CommandHandler,
  type Item,
  type TimeUnit,
  type KeyspaceView,
  answer,
  argument,
  clampDeadline,
  deadlineOf,
  parseInt64,
  upper,
} from "./view.ts"
import type { Reply } from "../../types.ts"

const units: ReadonlyMap<string, TimeUnit> = new Map([
  ["EX", { millis: 1000n, relative: true }],
  ["PX", { millis: 1n, relative: true }],
  ["EXAT", { millis: 1000n, relative: false }],
  ["PXAT", { millis: 1n, relative: false }],
] as const)

export const get: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  return item === undefined ? NULL : answer(view, key, item)
}

export const strlen: CommandHandler = (view, args) => integer(view.get(argument(args, 1))?.length ?? 0)

/** Writes a value with a deadline; if the deadline has passed already, the key is gone at once. */
const putUntil = (view: KeyspaceView, key: Buffer, value: Buffer, deadline: bigint): void => {
  if (deadline <= BigInt(view.now)) view.delete(key)
  else view.put(key, value, clampDeadline(deadline))
}
/** The same for an item whose value stays unchanged. */
export const touchUntil = (view: KeyspaceView, key: Buffer, item: Item, deadline: bigint): void => {
  if (deadline <= BigInt(view.now)) view.delete(key)
  else view.touch(key, item, clampDeadline(deadline))
}

interface Options {
  condition: "NX" | "XX" | null
  keepTtl: boolean
  persist: boolean
  get: boolean
  unit: TimeUnit | null
  time: Buffer | null
}
const parseOptions = (args: Arguments, from: number, allowed: "SET" | "GETEX"): Options | null => {
  const options: Options = { condition: null, keepTtl: false, persist: false, get: false, unit: null, time: null }
  // To Redis, repeating the same unit is no contradiction: the last one counts.
  const timedOtherwise = (unit: TimeUnit): boolean =>
    (options.unit !== null && options.unit !== unit) || options.keepTtl || options.persist
  for (let i = from; i < args.length; i++) {
    const name = upper(argument(args, i))
    const unit = units.get(name)
    if (unit !== undefined) {
      const time = args[i + 1]
      if (time === undefined || timedOtherwise(unit)) return null
      options.unit = unit
      options.time = time
      i++
    } else if (allowed === "GETEX") {
      if (name !== "PERSIST" || options.unit !== null) return null
      options.persist = true
    } else if (name === "NX" || name === "XX") {
      if (options.condition !== null && options.condition !== name) return null
      options.condition = name
    } else if (name === "KEEPTTL") {
      if (options.unit !== null) return null
      options.keepTtl = true
    } else if (name === "GET") options.get = true
    else return null
  }
  return options
}

export const set: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const value = argument(args, 2)
  if (args.length === 3) {
    // The path of nearly every write: nothing is read.
    view.put(key, value, 0)
    return OK
  }
  const options = parseOptions(args, 3, "SET")
  if (options === null) return syntaxError
  let deadline: bigint | null = null
  if (options.unit !== null && options.time !== null) {
    const parsed = deadlineOf(view.now, options.time, options.unit, true, invalidExpire("set"))
    if (typeof parsed !== "bigint") return parsed
    deadline = parsed
  }
  const old = options.get || options.condition !== null || options.keepTtl ? view.get(key) : undefined
  const previous = old === undefined || !options.get ? NULL : answer(view, key, old)
  const refused = (options.condition === "NX" && old !== undefined) || (options.condition === "XX" && old === undefined)
  if (refused) return options.get ? previous : NULL
  if (deadline === null) view.put(key, value, options.keepTtl ? (old?.expiry ?? 0) : 0)
  else putUntil(view, key, value, deadline)
  return options.get ? previous : OK
}

export const setnx: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  if (view.get(key) !== undefined) return ZERO
  view.put(key, argument(args, 2), 0)
  return ONE
}

const setWithTime =
  (name: string, unit: TimeUnit): CommandHandler =>
  (view, args) => {
    const deadline = deadlineOf(view.now, argument(args, 2), unit, true, invalidExpire(name))
    if (typeof deadline !== "bigint") return deadline
    putUntil(view, argument(args, 1), argument(args, 3), deadline)
    return OK
  }
export const setex = setWithTime("setex", { millis: 1000n, relative: true })
export const psetex = setWithTime("psetex", { millis: 1n, relative: true })

export const getset: CommandHandler = (view, args) => {
  const reply = get(view, args)
  view.put(argument(args, 1), argument(args, 2), 0)
  return reply
}

export const getdel: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  if (item === undefined) return NULL
  const reply = answer(view, key, item)
  view.delete(key)
  return reply
}

export const getex: CommandHandler = (view, args) => {
  const options = parseOptions(args, 2, "GETEX")
  if (options === null) return syntaxError
  const key = argument(args, 1)
  const item = view.get(key)
  if (item === undefined) return NULL
  if (options.unit !== null && options.time !== null) {
    const deadline = deadlineOf(view.now, options.time, options.unit, true, invalidExpire("getex"))
    if (typeof deadline !== "bigint") return deadline
    const reply = answer(view, key, item)
    touchUntil(view, key, item, deadline)
    return reply
  }
  const reply = answer(view, key, item)
  if (options.persist && item.expiry !== 0) view.touch(key, item, 0)
  return reply
}

export const append: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const more = argument(args, 2)
  const item = view.get(key)
  if (item === undefined) {
    view.put(key, more, 0)
    return integer(more.length)
  }
  const length = item.length + more.length
  // The length is checked before the old value is read.
  checkValue(length)
  view.put(key, Buffer.concat([view.value(key, item), more], length), item.expiry)
  return integer(length)
}

/** The whole value is read, and is charged as if it were returned. */
export const getrange: CommandHandler = (view, args) => {
  const from = parseInt64(argument(args, 2))
  const to = parseInt64(argument(args, 3))
  if (from === undefined || to === undefined) return notAnInteger
  const key = argument(args, 1)
  const item = view.get(key)
  if (item === undefined || (from < 0n && to < 0n && from > to)) return EMPTY_BULK
  const fromEnd = (at: bigint): number => Number(at >= 0n ? at : at + BigInt(item.length))
  const first = Math.max(0, fromEnd(from))
  const last = Math.min(item.length - 1, Math.max(0, fromEnd(to)))
  if (first > last) return EMPTY_BULK
  view.answering(item.length)
  // A copy: a view would keep the whole value in memory for as long as the reply.
  return bulk(Buffer.from(view.value(key, item).subarray(first, last + 1)))
}

export const setrange: CommandHandler = (view, args) => {
  const at = parseInt64(argument(args, 2))
  if (at === undefined) return notAnInteger
  if (at < 0n) return err("offset is out of range")
  const key = argument(args, 1)
  const more = argument(args, 3)
  const item = view.get(key)
  const before = item?.length ?? 0
  if (more.length === 0) return integer(before)
  checkValue(at + BigInt(more.length))
  const from = Number(at)
  const length = Math.max(before, from + more.length)
  const value = Buffer.alloc(length)
  if (item !== undefined) value.set(view.value(key, item))
  value.set(more, from)
  view.put(key, value, item?.expiry ?? 0)
  return integer(length)
}

export const mget: CommandHandler = (view, args) => ({
  type: "array",
  items: args.slice(1).map((key): Reply => {
    const item = view.get(key)
    return item === undefined ? NULL : answer(view, key, item)
  }),
})

const putPairs = (view: KeyspaceView, args: Arguments): void => {
  for (let i = 1; i < args.length; i += 2) view.put(argument(args, i), argument(args, i + 1), 0)
}
export const mset: CommandHandler = (view, args) => {
  if (args.length % 2 === 0) return wrongArity("mset")
  putPairs(view, args)
  return OK
}
export const msetnx: CommandHandler = (view, args) => {
  if (args.length % 2 === 0) return wrongArity("msetnx")
  for (let i = 1; i < args.length; i += 2) if (view.get(argument(args, i)) !== undefined) return ZERO
  putPairs(view, args)
  return ONE
}

/**
 * CAS key expected new, which Redis does not have: 1 if the key held exactly `expected` and now holds `new` (its time
 * to live stays, as with APPEND); 0 if it holds anything else or does not exist. "Only if absent" is SETNX, with the
 * same 1 and 0.
 */
export const cas: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  const expected = argument(args, 2)
  if (item === undefined || item.length !== expected.length || !view.value(key, item).equals(expected)) return ZERO
  view.put(key, argument(args, 3), item.expiry)
  return ONE
}
