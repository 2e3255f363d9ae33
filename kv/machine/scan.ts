/**
 * KEYS, SCAN and DBSIZE: commands over the whole key space, in key order. This file knows what they ask and answer;
 * who walks the keys, at once or in slices, is the machine's matter.
 */
import { randomInt } from "node:crypto"
import { type Matcher, glob, literalPrefix } from "./glob.ts"
import { replyTooLarge } from "./cost.ts"
import { bulk, error, integer, notAnInteger, syntaxError } from "./reply.ts"
import { argument, parseInt64, upper } from "./view.ts"
import { toBuffers } from "./execute.ts"
import type { Call, Reply } from "../types.ts"

/**
 * Redis clients hold a cursor as an unsigned number, too small for a key; so this node remembers, for the last few
 * thousand cursors it gave, after which key each goes on. Every key that is there throughout a scan is returned,
 * whatever happens to others. A cursor that is not remembered (given by another node or an earlier life, or very old)
 * starts over: keys come twice, as SCAN allows, and none is missed. Cursors stay below 2^53 for clients that hold
 * them as floating-point numbers.
 */
export class Cursors {
  private readonly after = new Map<number, Buffer>()
  private next = 1
  /** Tells this life's cursors from those of others. */
  private readonly life = randomInt(1, 1 << 20)
  private bytes = 0
  private readonly limit: number
  private readonly most: number
  constructor(limit = 4096, most = 16 << 20) {
    this.limit = limit
    this.most = most
  }
  remember(key: Buffer): number {
    const cursor = this.life * 0x1_0000_0000 + this.next
    this.next = this.next === 0xffff_ffff ? 1 : this.next + 1
    this.after.set(cursor, Buffer.from(key))
    this.bytes += key.length
    for (const [oldest, { length }] of this.after) {
      if (this.after.size <= this.limit && this.bytes <= this.most) break
      this.after.delete(oldest)
      this.bytes -= length
    }
    return cursor
  }
  find(cursor: bigint): Buffer | null {
    return this.after.get(Number(cursor)) ?? null
  }
}

/** Walk the keys from `from` on (or after `after`), while they start with `prefix` and `visit` says true. */
export interface Scan {
  readonly from: Buffer
  readonly after: Buffer | null
  readonly prefix: Buffer
  readonly visit: (key: Buffer) => boolean
  /** `exhausted`: the walk was not ended by `visit`. */
  readonly reply: (exhausted: boolean) => Reply
}

/** A key in a reply costs this beside its bytes. */
const ITEM = 64
/** One SCAN gives no more than this at a time, and looks at no more keys. */
const SCAN_BYTES = 1 << 20
const SCAN_KEYS = 100_000

const everything: Matcher = () => true
const NOTHING = Buffer.alloc(0)
const prefixOf = (pattern: Buffer): Buffer => Buffer.from(literalPrefix(pattern))

const planKeys = (pattern: Buffer, most: number): Scan => {
  const matches = glob(pattern)
  const prefix = prefixOf(pattern)
  const items: Reply[] = []
  let bytes = 0
  const visit = (key: Buffer): boolean => {
    if (!matches(key)) return true
    bytes += ITEM + key.length
    if (bytes > most) throw replyTooLarge(bytes, most)
    items.push(bulk(key))
    return true
  }
  return { from: prefix, after: null, prefix, visit, reply: () => ({ type: "array", items }) }
}

const planSize = (): Scan => {
  let count = 0
  const visit = (): boolean => {
    count++
    return true
  }
  return { from: NOTHING, after: null, prefix: NOTHING, visit, reply: () => integer(count) }
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

const planScan = (args: readonly Buffer[], most: number, cursors: Cursors): Scan | Reply => {
  const text = argument(args, 1).toString("latin1")
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n) return error("invalid cursor")
  const options = parseScanOptions(args)
  if ("type" in options) return options
  const matches = options.pattern === null ? everything : glob(options.pattern)
  const prefix = options.pattern === null ? NOTHING : prefixOf(options.pattern)
  const after = cursors.find(BigInt(text))
  const items: Reply[] = []
  let visited = 0
  let bytes = 0
  let last: Buffer = NOTHING
  const full = Math.min(SCAN_BYTES, most)
  const visit = (key: Buffer): boolean => {
    last = key
    if (options.strings && matches(key)) {
      bytes += ITEM + key.length
      items.push(bulk(key))
    }
    // COUNT is a wish.
    return ++visited < options.count && bytes < full
  }
  const reply = (exhausted: boolean): Reply => {
    const cursor = exhausted ? 0 : cursors.remember(last)
    return { type: "array", items: [bulk(Buffer.from(String(cursor))), { type: "array", items }] }
  }
  // A cursor of a scan with another pattern may stand before this one's range.
  const within = after !== null && Buffer.compare(after, prefix) >= 0
  return { from: prefix, after: within ? after : null, prefix, visit, reply }
}

/** Throws TooLarge if the reply, or the pattern, is. `call` is one of the commands without a handler, its arity checked. */
export const planOf = (call: Call, most: number, cursors: Cursors): Scan | Reply => {
  const args = toBuffers(call)
  switch (upper(argument(args, 0))) {
    case "KEYS":
      return planKeys(argument(args, 1), most)
    case "DBSIZE":
      return planSize()
    default:
      return planScan(args, most, cursors)
  }
}
export const isScan = (plan: Scan | Reply): plan is Scan => "visit" in plan

export const startsWith = (key: Buffer, prefix: Buffer): boolean => key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0

/** The walk, for a store whose live keys can be had at once, in order. */
export const answerScan = (call: Call, most: number, cursors: Cursors, store: { readonly keys: (scan: Scan) => Iterable<Buffer> }): Reply => {
  const plan = planOf(call, most, cursors)
  if (!isScan(plan)) return plan
  for (const key of store.keys(plan)) {
    if (!startsWith(key, plan.prefix)) break
    if (!plan.visit(key)) return plan.reply(false)
  }
  return plan.reply(true)
}
