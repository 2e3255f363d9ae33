/** The table of commands, and the only place that looks up a call in it. */
import { checkKey } from "../cost.ts"
import * as counters from "./counters.ts"
import * as expiry from "./expiry.ts"
import * as keys from "./keys.ts"
import * as leases from "./leases.ts"
import * as objects from "./objects.ts"
import { OK, err, integer, quoted, wrongArity } from "../reply.ts"
import * as strings from "./strings.ts"
import { type Arguments, type CommandHandler, type KeyspaceView, argument } from "./view.ts"
import type { Call, Reply } from "../../types.ts"

export interface CommandSpec {
  readonly name: string
  /** As in Redis: the number of words, including the name; negative: the minimum. */
  readonly arity: number
  readonly kind: "write" | "read"
  /** Reads the whole key space: executed in slices, never inside MULTI. */
  readonly scan: boolean
  readonly firstKey: number
  readonly lastKey: number
  readonly step: number
  readonly flags: readonly string[]
  /** The feature level from which it may be written (kv/UPGRADES.md). */
  readonly level: number
  /** null: only the read side of a machine can execute it (see scan.ts). */
  readonly handler: CommandHandler | null
}

const one = [1, 1, 1] as const
const all = [1, -1, 1] as const
const pairs = [1, -1, 2] as const
const none = [0, 0, 0] as const
const two = [1, 2, 1] as const
/** The index of the first key, for commands with a subcommand. */
const named = [2, 2, 1] as const
type Keys = readonly [number, number, number]

const write = (
  name: string,
  arity: number,
  [firstKey, lastKey, step]: Keys,
  handler: CommandHandler,
  ...flags: string[]
): CommandSpec => ({
  name,
  arity,
  kind: "write",
  scan: false,
  firstKey,
  lastKey,
  step,
  flags: ["write", ...flags],
  level: 1,
  handler,
})
const read = (
  name: string,
  arity: number,
  [firstKey, lastKey, step]: Keys,
  handler: CommandHandler | null,
  ...flags: string[]
): CommandSpec => ({
  name,
  arity,
  kind: "read",
  scan: handler === null,
  firstKey,
  lastKey,
  step,
  flags: ["readonly", ...flags],
  level: 1,
  handler,
})

export const commandSpecs: ReadonlyMap<string, CommandSpec> = new Map(
  [
    read("GET", 2, one, strings.get, "fast"),
    write("SET", -3, one, strings.set, "denyoom"),
    write("SETNX", 3, one, strings.setnx, "denyoom", "fast"),
    write("SETEX", 4, one, strings.setex, "denyoom"),
    write("PSETEX", 4, one, strings.psetex, "denyoom"),
    write("GETSET", 3, one, strings.getset, "denyoom", "fast"),
    write("GETDEL", 2, one, strings.getdel, "fast"),
    write("GETEX", -2, one, strings.getex, "fast"),
    read("GETRANGE", 4, one, strings.getrange),
    read("SUBSTR", 4, one, strings.getrange),
    write("SETRANGE", 4, one, strings.setrange, "denyoom"),
    write("APPEND", 3, one, strings.append, "denyoom", "fast"),
    read("STRLEN", 2, one, strings.strlen, "fast"),
    read("MGET", -2, all, strings.mget, "fast"),
    write("MSET", -3, pairs, strings.mset, "denyoom"),
    write("MSETNX", -3, pairs, strings.msetnx, "denyoom"),
    write("CAS", 4, one, strings.cas, "denyoom", "fast"),
    write("LEASE", 4, one, leases.lease, "denyoom", "fast"),
    write("RELEASE", 3, one, leases.release, "fast"),
    write("INCR", 2, one, counters.incr, "denyoom", "fast"),
    write("DECR", 2, one, counters.decr, "denyoom", "fast"),
    write("INCRBY", 3, one, counters.incrby, "denyoom", "fast"),
    write("DECRBY", 3, one, counters.decrby, "denyoom", "fast"),
    write("INCRBYFLOAT", 3, one, counters.incrbyfloat, "denyoom", "fast"),
    write("DEL", -2, all, keys.del),
    write("UNLINK", -2, all, keys.del, "fast"),
    read("EXISTS", -2, all, keys.exists, "fast"),
    read("TOUCH", -2, all, keys.exists, "fast"),
    write("RENAME", 3, two, keys.rename),
    write("RENAMENX", 3, two, keys.renamenx, "fast"),
    write("COPY", -3, two, keys.copy, "denyoom"),
    read("OBJECT", -2, named, objects.object),
    read("MEMORY", -2, named, objects.memory),
    read("TYPE", 2, one, keys.type, "fast"),
    write("EXPIRE", -3, one, expiry.expire, "fast"),
    write("PEXPIRE", -3, one, expiry.pexpire, "fast"),
    write("EXPIREAT", -3, one, expiry.expireat, "fast"),
    write("PEXPIREAT", -3, one, expiry.pexpireat, "fast"),
    read("TTL", 2, one, expiry.ttl, "fast"),
    read("PTTL", 2, one, expiry.pttl, "fast"),
    read("EXPIRETIME", 2, one, expiry.expiretime, "fast"),
    read("PEXPIRETIME", 2, one, expiry.pexpiretime, "fast"),
    write("PERSIST", 2, one, expiry.persist, "fast"),
    write("FLUSHALL", -1, none, keys.flush),
    write("FLUSHDB", -1, none, keys.flush),
    read("KEYS", 2, none, null),
    read("SCAN", -2, none, null),
    read("DBSIZE", 1, none, null, "fast"),
    read("RANDOMKEY", 1, none, null),
  ].map((spec) => [spec.name, spec]),
)

const lookup = (name: Uint8Array): CommandSpec | undefined =>
  // The word is longer than any command's name: do not make a string of perhaps megabytes.
  name.length > 16
    ? undefined
    : commandSpecs.get(Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1").toUpperCase())

/**
 * The text of Redis 7: at most 128 characters of the name, and as many arguments as fit into 128; each ends at a zero
 * byte.
 */
export const unknownCommand = (call: Call): Reply => {
  const printable = (bytes: Uint8Array, room: number): string => quoted(bytes, room).replace(/[\r\n]/g, " ")
  let shown = ""
  for (const part of call.slice(1)) {
    if (shown.length >= 128) break
    shown += `'${printable(part, 128 - shown.length)}' `
  }
  return err(`unknown command '${printable(call[0] ?? Buffer.alloc(0), 128)}', with args beginning with: ${shown}`)
}

/** The command that a call names, or the error that Redis gives for it. */
export const resolveCommand = (call: Call): CommandSpec | Reply => {
  const spec = lookup(call[0] ?? Buffer.alloc(0))
  if (spec === undefined) return unknownCommand(call)
  const fits = spec.arity >= 0 ? call.length === spec.arity : call.length >= -spec.arity
  return fits ? spec : wrongArity(spec.name)
}

export const isSpec = (resolved: CommandSpec | Reply): resolved is CommandSpec => "arity" in resolved

const isBuffer = (part: Uint8Array): part is Buffer => part instanceof Buffer
/** Views of the same bytes as Buffers; most calls hold Buffers already. */
export const toBuffers = (call: Call): Arguments =>
  call.every(isBuffer) ? call : call.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))

/** The longest key that the call names. */
const longestKey = (spec: CommandSpec, args: Arguments): number => {
  if (spec.firstKey === 0) return 0
  if (spec.lastKey === spec.firstKey) return argument(args, spec.firstKey).length
  let longest = 0
  const last = spec.lastKey < 0 ? args.length - 1 : spec.lastKey
  for (let i = spec.firstKey; i <= last; i += spec.step) longest = Math.max(longest, argument(args, i).length)
  return longest
}

/** Executes one call. Throws TooLarge if it costs too much, and whatever the store throws. */
export const executeCall = (view: KeyspaceView, call: Call): Reply => {
  const spec = resolveCommand(call)
  return isSpec(spec) ? perform(view, spec, call) : spec
}
/** The same for a call that was already looked up. */
export const perform = (view: KeyspaceView, spec: CommandSpec, call: Call): Reply => {
  const args = toBuffers(call)
  if (spec.handler === null)
    return err(
      `${argument(args, 0).toString("latin1")} is not allowed inside a transaction: it reads the whole key space`,
    )
  checkKey(longestKey(spec, args))
  return spec.handler(view, args)
}

/** How many keys a part of a command handles in one step: a few milliseconds. */
const PART = 256
const sumOf = (replies: readonly Reply[]): Reply =>
  integer(replies.reduce((sum, reply) => sum + (reply.type === "integer" ? Number(reply.value) : 0), 0))
const allOf = (replies: readonly Reply[]): Reply => ({
  type: "array",
  items: replies.flatMap((reply) => (reply.type === "array" ? reply.items : [reply])),
})
/**
 * How the reply of a divided command is made from the replies to its parts. MSETNX is not divided: it checks all keys
 * before it writes one.
 */
const joins: ReadonlyMap<string, (replies: readonly Reply[]) => Reply> = new Map([
  ["DEL", sumOf],
  ["UNLINK", sumOf],
  ["EXISTS", sumOf],
  ["TOUCH", sumOf],
  ["MGET", allOf],
  ["MSET", () => OK],
])
export interface SplitCall {
  readonly calls: readonly Call[]
  readonly join: (replies: readonly Reply[]) => Reply
}
/**
 * Divides a command over many keys into commands over fewer keys, executed one after the other, so that other work is
 * not held up; null: the command is short.
 */
export const splitCall = (call: Call): SplitCall | null => {
  const name = call[0]
  if (name === undefined || call.length <= PART + 1) return null
  const spec = resolveCommand(call)
  const join = isSpec(spec) ? joins.get(spec.name) : undefined
  if (!isSpec(spec) || join === undefined || (call.length - 1) % spec.step !== 0) return null
  const calls: Call[] = []
  for (let from = 1; from < call.length; from += PART) calls.push([name, ...call.slice(from, from + PART)])
  return { calls, join }
}
