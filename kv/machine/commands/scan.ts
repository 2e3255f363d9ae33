/**
 * KEYS, SCAN and DBSIZE: commands over the whole key space, in the order of places (place.ts). This file decides what
 * they return; the machine walks over the keys, at once or in slices.
 *
 * The cursor of SCAN is a place. So a cursor is valid on every node and after restarts, and the server keeps no state
 * for it. Every key that exists throughout a scan is returned, whatever happens to other keys. Places are below 2^53,
 * for clients that keep a cursor as a floating-point number.
 */
import { type Matcher, glob } from "./glob.ts"
import { replyTooLarge } from "../cost.ts"
import { PLACES } from "../place.ts"
import { NULL, bulk, err, integer, notAnInteger, syntaxError } from "../reply.ts"
import { argument, parseInt64, upper } from "./view.ts"
import { toBuffers } from "./execute.ts"
import type { Call, Reply } from "../../types.ts"

/** Walks all records from a place on, for as long as `visit` returns true. */
export interface Scan {
  readonly from: number
  /** `live`: the key has not expired. False: the walk ends before this key. */
  readonly visit: (key: Buffer, place: number, live: boolean, expiry: number) => boolean
  readonly reply: () => Reply
}

/** The cost of a key in a reply, besides its bytes. */
const ITEM = 64
/**
 * One SCAN returns at most this many bytes, and looks at no more than this many keys, except for keys of the same
 * place.
 */
const SCAN_BYTES = 1 << 20
const SCAN_KEYS = 100_000

const everything: Matcher = () => true

const planKeys = (pattern: Buffer, most: number): Scan => {
  const matches = glob(pattern)
  const items: Reply[] = []
  let bytes = 0
  const visit = (key: Buffer, _: number, live: boolean): boolean => {
    if (!live || !matches(key)) return true
    bytes += ITEM + key.length
    if (bytes > most) throw replyTooLarge(bytes, most)
    items.push(bulk(key))
    return true
  }
  return { from: 0, visit, reply: () => ({ type: "array", items }) }
}

const planSize = (): Scan => {
  let count = 0
  const visit = (_: Buffer, __: number, live: boolean): boolean => {
    if (live) count++
    return true
  }
  return { from: 0, visit, reply: () => integer(count) }
}

interface ScanOptions {
  count: number
  pattern: Buffer | null
  strings: boolean
}
const parseScanOptions = (args: readonly Buffer[]): ScanOptions | Reply => {
  const options: ScanOptions = { count: 10, pattern: null, strings: true }
  for (let i = 2; i < args.length; i += 2) {
    const value = args[i + 1]
    if (value === undefined) return syntaxError
    const name = upper(argument(args, i))
    if (name === "COUNT") {
      const count = parseInt64(value)
      if (count === undefined) return notAnInteger
      if (count < 1n) return syntaxError
      options.count = count > BigInt(SCAN_KEYS) ? SCAN_KEYS : Number(count)
    } else if (name === "MATCH") options.pattern = value
    else if (name === "TYPE") options.strings = upper(value) === "STRING"
    else return syntaxError
  }
  return options
}

const planScan = (args: readonly Buffer[], most: number): Scan | Reply => {
  const text = argument(args, 1).toString("latin1")
  const from = /^\d{1,20}$/.test(text) ? Number(text) : PLACES
  if (from >= PLACES) return err("invalid cursor")
  const options = parseScanOptions(args)
  if ("type" in options) return options
  const matches = options.pattern === null ? everything : glob(options.pattern)
  const items: Reply[] = []
  let visited = 0
  let bytes = 0
  let reached = from
  let next = 0
  const full = Math.min(SCAN_BYTES, most)
  const visit = (key: Buffer, place: number, live: boolean): boolean => {
    // COUNT is a hint. Keys of one place are returned together, because the cursor cannot distinguish them.
    if (place > reached && (visited >= options.count || bytes >= full)) {
      next = place
      return false
    }
    reached = place
    // Expired keys that are still stored take time too.
    visited++
    if (live && options.strings && matches(key)) {
      bytes += ITEM + key.length
      items.push(bulk(key))
    }
    return true
  }
  const reply = (): Reply => ({ type: "array", items: [bulk(Buffer.from(String(next))), { type: "array", items }] })
  return { from, visit, reply }
}

/** Where RANDOMKEY starts. */
export const randomPlace = (): number => Math.floor(Math.random() * PLACES)
/**
 * The first key from a random place on: its probability depends on the gap before it, and places are practically
 * random. null if there is no key after that place: then the caller takes the first of all keys.
 */
export const planRandom = (from: number): Scan => {
  let found: Reply = NULL
  const visit = (key: Buffer, _: number, live: boolean): boolean => {
    if (live) found = bulk(key)
    return !live
  }
  return { from, visit, reply: () => found }
}

/**
 * Throws TooLarge if the reply or the pattern is too large. `call` is one of the commands without a handler, and its
 * arity was checked.
 */
export const scanPlanOf = (call: Call, most: number): Scan | Reply => {
  const args = toBuffers(call)
  switch (upper(argument(args, 0))) {
    case "KEYS":
      return planKeys(argument(args, 1), most)
    case "DBSIZE":
      return planSize()
    default:
      return planScan(args, most)
  }
}
export const isScan = (plan: Scan | Reply): plan is Scan => "visit" in plan
