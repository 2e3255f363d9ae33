/** The commands of the client: what each sends and what its reply means. Both APIs are made from this one table. */
import type { NodeStatus } from "../types.ts"
import { parseStatus } from "./endpoints.ts"
import { type ClientError, ServerError, UnexpectedReply } from "./errors.ts"
import { isReply, commandName, type ReplyOrError, type ClientTask, taskOf } from "./operation.ts"
import { type Argument, toValue, type ReplyValue } from "./resp.ts"

export type Bytes = string | Uint8Array

/** A command ready to be sent; its reply becomes an `A`. */
export interface CommandRequest<A> {
  readonly task: ClientTask
  readonly timeoutMs?: number
  /** Returns the answer, or undefined if the reply is not of the command's kind. */
  readonly answer: (reply: Extract<ReplyOrError, { readonly type: string }>) => A | undefined
}

/** The answer, or the named error. */
export const conclude = <A>(
  request: CommandRequest<A>,
  outcome: ReplyOrError,
): { readonly answer: A } | { readonly error: ClientError } => {
  if (!isReply(outcome)) return { error: outcome }
  const answer = request.answer(outcome)
  if (answer !== undefined) return { answer }
  const command = commandName(request.task)
  return {
    error: new UnexpectedReply({
      command,
      message: `the reply to ${command} is of an unexpected kind: ${outcome.type}`,
    }),
  }
}

export interface SetOptions {
  /** Seconds to live. */
  readonly ex?: number
  /** Milliseconds to live. */
  readonly px?: number
  /** Only if the key does not exist (nx) or only if it does (xx). */
  readonly only?: "nx" | "xx"
  readonly keepTtl?: boolean
}

type Good = Extract<ReplyOrError, { readonly type: string }>
const request = <A>(args: readonly Argument[], answer: CommandRequest<A>["answer"]): CommandRequest<A> => ({
  task: taskOf(args),
  answer,
})

const text = (reply: Good): string | null | undefined => {
  if (reply.type === "null") return null
  if (reply.type === "simple") return reply.text
  return reply.type === "bulk"
    ? Buffer.from(reply.bytes.buffer, reply.bytes.byteOffset, reply.bytes.length).toString()
    : undefined
}
const bytes = (reply: Good): Uint8Array | null | undefined => {
  if (reply.type === "null") return null
  return reply.type === "bulk" ? reply.bytes : undefined
}
/** Exact up to 2^53; a bigint beyond that. */
const integer = (reply: Good): number | bigint | undefined => (reply.type === "integer" ? reply.value : undefined)
const count = (reply: Good): number | undefined => (reply.type === "integer" ? Number(reply.value) : undefined)
const yes = (reply: Good): boolean | undefined => (reply.type === "integer" ? Number(reply.value) === 1 : undefined)
const done = (reply: Good): boolean | undefined =>
  reply.type === "simple" ? true : reply.type === "null" ? false : undefined
const list =
  <A>(item: (reply: Good) => A | undefined) =>
  (reply: Good): readonly A[] | undefined => {
    if (reply.type !== "array") return undefined
    const items: A[] = []
    for (const each of reply.items) {
      const value = each.type === "error" ? undefined : item(each)
      if (value === undefined) return undefined
      items.push(value)
    }
    return items
  }

/** One result of a transaction: a value, or the error of that command alone (the others took effect). */
export type Result = ReplyValue | ServerError
const results =
  (calls: readonly (readonly Argument[])[]) =>
  (reply: Good): readonly Result[] | null | undefined => {
    if (reply.type === "null") return null
    if (reply.type !== "array") return undefined
    return reply.items.map((item, at) => {
      if (item.type !== "error") return toValue(item, true)
      return new ServerError({
        command: String(calls[at]?.[0] ?? "EXEC"),
        code: item.code,
        message: `${item.code} ${item.text}`.trim(),
      })
    })
  }

export interface ScanPage {
  /** "0" after the last page. */
  readonly cursor: string
  readonly keys: readonly string[]
}
const page = (reply: Good): ScanPage | undefined => {
  if (reply.type !== "array" || reply.items.length !== 2) return undefined
  const [cursor, keys] = reply.items
  const at = cursor === undefined || cursor.type === "error" ? undefined : text(cursor)
  const found = keys === undefined || keys.type === "error" ? undefined : list((key) => text(key) ?? undefined)(keys)
  return typeof at === "string" && found !== undefined ? { cursor: at, keys: found } : undefined
}

export interface ScanOptions {
  /** A glob, as in `user:*`. */
  readonly match?: string
  /** About how many keys a page has. */
  readonly count?: number
}
export const scanPage = (cursor: string, { match, count: size }: ScanOptions = {}): CommandRequest<ScanPage> =>
  request(
    ["SCAN", cursor, ...(match === undefined ? [] : ["MATCH", match]), ...(size === undefined ? [] : ["COUNT", size])],
    page,
  )

export const commands = {
  /** The value as a string (UTF-8), or null. */
  get: (key: Bytes) => request(["GET", key], text),
  /** The value as bytes, or null. */
  getBuffer: (key: Bytes) => request(["GET", key], bytes),
  /** False only if `only` prevented it. */
  set: (key: Bytes, value: Bytes, options: SetOptions = {}) => request(["SET", key, value, ...setWords(options)], done),
  /** The new length in bytes. */
  append: (key: Bytes, value: Bytes) => request(["APPEND", key, value], count),
  /** How many of the keys existed and were deleted. */
  del: (...keys: Bytes[]) => request(["DEL", ...keys], count),
  exists: (...keys: Bytes[]) => request(["EXISTS", ...keys], count),
  /** Sets the value if the key holds `expected` (null: if it does not exist). False if it holds something else. */
  cas: (key: Bytes, expected: Bytes | null, value: Bytes) =>
    expected === null ? request(["SET", key, value, "NX"], done) : request(["CAS", key, expected, value], yes),
  /** The new value; a bigint beyond 2^53. */
  incr: (key: Bytes, by: number | bigint = 1) => request(["INCRBY", key, by], integer),
  /** The new value as text, with the same digits on every node. */
  incrByFloat: (key: Bytes, by: number | string) =>
    request(["INCRBYFLOAT", key, String(by)], (reply) => text(reply) ?? undefined),
  /** The bytes from `start` through `end`; a negative index counts from the end. Empty if there are none. */
  getRange: (key: Bytes, start: number, end: number) =>
    request(["GETRANGE", key, start, end], (reply) => bytes(reply) ?? undefined),
  /** Overwrites the value from a byte on. Returns the new length. */
  setRange: (key: Bytes, offset: number, value: Bytes) => request(["SETRANGE", key, offset, value], count),
  /**
   * Copies value and time to live to another key, which is overwritten; without `replace`, false if that key exists.
   */
  copy: (from: Bytes, to: Bytes, replace = false) => request(["COPY", from, to, ...(replace ? ["REPLACE"] : [])], yes),
  mget: (keys: readonly Bytes[]) => request(["MGET", ...keys], list(text)),
  mgetBuffer: (keys: readonly Bytes[]) => request(["MGET", ...keys], list(bytes)),
  /** False if the key does not exist. */
  expire: (key: Bytes, seconds: number) => request(["EXPIRE", key, seconds], yes),
  /** Milliseconds to live; -1 without an end, -2 without the key. */
  pttl: (key: Bytes) => request(["PTTL", key], count),
  /**
   * All or nothing, in one log entry. Null if a watched key no longer has the version in `versions`: then nothing was
   * executed.
   */
  exec: (
    calls: readonly (readonly Argument[])[],
    watches: readonly (readonly [key: Bytes, version: number])[] = [],
  ): CommandRequest<readonly Result[] | null> => ({
    task: { type: "transaction", calls, watches },
    answer: results(calls),
  }),
  /**
   * The version of each key (2^47 or more: the key does not exist), for the watches of a transaction. Read the versions
   * before the values.
   */
  versions: (...keys: Bytes[]) => request(["STEPRAFT", "VERSION", ...keys], list(count)),
  /** Any command; strings in the reply are strings. A write is executed exactly once, like the named commands. */
  call: (...args: [string, ...Argument[]]): CommandRequest<ReplyValue> =>
    request(args, (reply) => toValue(reply, true)),
  /** Any command; strings in the reply are bytes. */
  callBuffer: (...args: [string, ...Argument[]]): CommandRequest<ReplyValue> =>
    request(args, (reply) => toValue(reply, false)),
  /** What the connected node says about itself and the others. */
  status: (): CommandRequest<NodeStatus> =>
    request(["STEPRAFT", "STATUS"], (reply) => parseStatus(text(reply) ?? "") ?? undefined),
}

const setWords = ({ ex, px, only, keepTtl }: SetOptions): Argument[] => [
  ...(ex === undefined ? [] : ["EX", ex]),
  ...(px === undefined ? [] : ["PX", px]),
  ...(only === undefined ? [] : [only.toUpperCase()]),
  ...(keepTtl === true ? ["KEEPTTL"] : []),
]

export type Commands = typeof commands
type Answer<R> = R extends CommandRequest<infer A> ? A : never
export type Answers<K extends keyof Commands> = Answer<ReturnType<Commands[K]>>

/** Collects the calls of a transaction; `exec` sends them. */
export interface Transaction<Ran> {
  readonly set: (key: Bytes, value: Bytes, options?: SetOptions) => Transaction<Ran>
  readonly get: (key: Bytes) => Transaction<Ran>
  readonly append: (key: Bytes, value: Bytes) => Transaction<Ran>
  readonly del: (...keys: Bytes[]) => Transaction<Ran>
  readonly incr: (key: Bytes, by?: number | bigint) => Transaction<Ran>
  readonly call: (...args: [string, ...Argument[]]) => Transaction<Ran>
  /** Only if the key still has this version. 0: only if it does not exist, whatever its earlier versions. */
  readonly unchanged: (key: Bytes, version: number) => Transaction<Ran>
  readonly exec: () => Ran
}
export const makeTransaction = <Ran>(
  run: (calls: readonly (readonly Argument[])[], watches: readonly (readonly [Bytes, number])[]) => Ran,
): Transaction<Ran> => {
  const calls: (readonly Argument[])[] = []
  const watches: (readonly [Bytes, number])[] = []
  const add = (...args: readonly Argument[]): Transaction<Ran> => {
    calls.push(args)
    return self
  }
  const self: Transaction<Ran> = {
    set: (key, value, options = {}) => add("SET", key, value, ...setWords(options)),
    get: (key) => add("GET", key),
    append: (key, value) => add("APPEND", key, value),
    del: (...keys) => add("DEL", ...keys),
    incr: (key, by = 1) => add("INCRBY", key, by),
    call: (...args) => add(...args),
    unchanged: (key, version) => {
      watches.push([key, version])
      return self
    },
    exec: () => run([...calls], [...watches]),
  }
  return self
}
