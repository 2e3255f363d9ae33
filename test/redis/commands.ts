/** Random scripts of commands, over all commands that both servers have. Bytes are written as Latin-1. */
import * as fc from "fast-check"

export interface Step {
  /** Which of the script's two connections sends the command. */
  readonly on: 0 | 1
  readonly words: readonly string[]
}
export interface Script {
  readonly protocol: 2 | 3
  readonly steps: readonly Step[]
}

const of = fc.constantFrom
const key = fc.oneof(
  { weight: 12, arbitrary: of("a", "b", "c", "d", "{a}x") },
  { weight: 1, arbitrary: of("", "k\xff\r\n\x00", "with space") },
)
const number = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map(String),
  of(
    "0",
    "1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "2147483648",
    "-2147483649",
    "18446744073709551616",
    "01",
    "+1",
    " 1",
    "1 ",
    "",
    "abc",
    "1.5",
    "-0",
    "1e3",
  ),
)
const float = fc.oneof(
  number,
  fc
    .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.integer({ min: 0, max: 99_999_999 }))
    .map(([whole, part]) => `${whole}.${part}`),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => String(value)),
  fc
    .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: -45, max: 20 }))
    .map(([digits, tens]) => `${digits}e${tens}`),
  of(
    "3.0e3",
    "1e17",
    "1e-17",
    "5e-18",
    "-5e-18",
    "0.1",
    "0.2",
    "-1.3",
    ".5",
    "5.",
    "+.5e1",
    "0x10",
    "0X1.8p1",
    "-0x.8",
    "0x",
    "1e",
    "1e+",
    "inf",
    "-Infinity",
    "nan",
    "1e4932",
    "1e4933",
    "-1e4932",
    "1e-4950",
    "1e-4951",
    "1e5000",
    "1_000",
    "1,5",
    "0e99999",
    "1e99999999999999999999",
    "1\x00",
  ),
)
const text = fc.oneof(
  fc.string({ maxLength: 8, unit: "binary-ascii" }),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
  of("hello", "x".repeat(44), "x".repeat(45), "y".repeat(5000)),
)
const value = fc.oneof(
  { weight: 3, arbitrary: number },
  { weight: 2, arbitrary: float },
  { weight: 3, arbitrary: text },
)
const offset = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -12, max: 12 }).map(String) },
  { weight: 1, arbitrary: fc.integer({ min: 4000, max: 5100 }).map(String) },
  { weight: 1, arbitrary: number },
)
/** Offsets for SETRANGE: up to the largest value that both servers allow. */
const place = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -2, max: 40 }).map(String) },
  { weight: 1, arbitrary: of("6000", "abc", "", "1.5", "-9223372036854775808") },
)
/**
 * Times in one unit, relative to now or to 1970: a placeholder that becomes a different number in each place, or a time
 * that is invalid or past.
 */
const wrong = of("0", "-1", "abc", "9223372036854775807", "-9223372036854775808", "1.5", "")
const time = (mark: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 6, arbitrary: of(mark) },
    { weight: 1, arbitrary: mark === "at ms" ? wrong.filter((word) => word.length < 19) : wrong },
  )
const unit = fc.oneof(
  fc.tuple(of("EX", "ex"), time("in s")),
  fc.tuple(of("PX", "px"), time("in ms")),
  fc.tuple(of("EXAT"), time("at s")),
  fc.tuple(of("PXAT", "pxat"), time("at ms")),
)

const words = (
  ...parts: readonly (string | fc.Arbitrary<string> | fc.Arbitrary<readonly string[]>)[]
): fc.Arbitrary<readonly string[]> =>
  fc
    .tuple(
      ...parts.map((part): fc.Arbitrary<readonly string[]> =>
        typeof part === "string"
          ? fc.constant([part])
          : (part as fc.Arbitrary<string | readonly string[]>).map((one) => (typeof one === "string" ? [one] : one)),
      ),
    )
    .map((all) => all.flat())
const some = (one: fc.Arbitrary<readonly string[]>, most = 3): fc.Arbitrary<readonly string[]> =>
  fc.array(one, { maxLength: most }).map((all) => all.flat())
const keys = fc.array(key, { minLength: 1, maxLength: 4 })
const pairs = fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 3 }).map((all) => all.flat())
const condition = fc.array(of("NX", "XX", "GT", "LT", "gt", "FOO"), { maxLength: 2 })
const one = (word: fc.Arbitrary<string>): fc.Arbitrary<readonly string[]> => word.map((text) => [text])

/** Each with a weight: commands that change values are more frequent than those about names. */
const stored: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [8, words("SET", key, value)],
  [
    4,
    words(
      "SET",
      key,
      value,
      some(fc.oneof(one(of("NX", "XX", "GET", "KEEPTTL", "nx", "get", "PERSIST", "FOO")), unit), 2),
    ),
  ],
  [2, words("SETNX", key, value)],
  [2, words("SETEX", key, time("in s"), value)],
  [2, words("PSETEX", key, time("in ms"), value)],
  [2, words("GETSET", key, value)],
  [2, words("GETDEL", key)],
  [3, words("GETEX", key, some(fc.oneof(one(of("PERSIST", "FOO", "NX")), unit), 2))],
  [6, words("GET", key)],
  [4, words("APPEND", key, value)],
  [2, words("STRLEN", key)],
  [4, words("GETRANGE", key, offset, offset)],
  [1, words("SUBSTR", key, offset, offset)],
  [4, words("SETRANGE", key, place, text)],
  [3, words("MGET", keys)],
  [3, words("MSET", pairs)],
  [2, words("MSETNX", pairs)],
  [3, words("INCR", key)],
  [2, words("DECR", key)],
  [3, words("INCRBY", key, number)],
  [2, words("DECRBY", key, number)],
  [6, words("INCRBYFLOAT", key, float)],
  [3, words("DEL", keys)],
  [2, words("UNLINK", keys)],
  [2, words("EXISTS", keys)],
  [2, words("TOUCH", keys)],
  [2, words("TYPE", key)],
  [4, words("RENAME", key, key)],
  [3, words("RENAMENX", key, key)],
  [
    4,
    words(
      "COPY",
      key,
      key,
      some(fc.oneof(one(of("REPLACE", "replace", "FOO", "DB")), words("DB", of("0", "abc", "16", "-1", ""))), 2),
    ),
  ],
  [2, words("EXPIRE", key, time("in s"), condition)],
  [2, words("PEXPIRE", key, time("in ms"), condition)],
  [2, words("EXPIREAT", key, time("at s"), condition)],
  [2, words("PEXPIREAT", key, time("at ms"), condition)],
  [4, words(of("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"), key)],
  [2, words("PERSIST", key)],
  [2, words("OBJECT", of("ENCODING", "encoding"), key)],
  [1, words("MEMORY", "USAGE", key, some(words("SAMPLES", of("0", "5", "-1", "x")), 1))],
]
/** Not used while a connection watches (see `withoutFlushes`). */
const flushing: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [1, words(of("FLUSHALL", "FLUSHDB"), some(one(of("ASYNC", "sync", "FOO")), 1))],
]
/**
 * Not used inside MULTI: these commands read the whole key space, which only Redis allows there, or report on the
 * connection.
 */
const outside: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [1, words("DBSIZE")],
  [1, words("KEYS", of("*", "a*", "?", "[a-c]", "[^a]", "*x", "\\a", "{a}*", "[z-a]", "[", ""))],
  [
    1,
    words(
      "SCAN",
      of("0", "abc"),
      some(
        fc.oneof(
          words("COUNT", of("1000", "0", "-1", "x")),
          words("MATCH", of("*", "a*", "?")),
          words("TYPE", of("string", "list", "STRING")),
          one(of("FOO", "COUNT")),
        ),
        2,
      ),
    ),
  ],
  [1, words("RANDOMKEY")],
  [1, words("HELLO", some(one(of("2", "3", "4", "x", "AUTH", "SETNAME", "default", "me")), 3))],
  [1, words("RESET")],
  [
    1,
    words(
      "COMMAND",
      of("COUNT", "GETKEYS", "FOO", "LIST", "INFO"),
      some(one(of("get", "mset", "GET", "a", "b", "nope", "FILTERBY", "PATTERN", "ge[t]", "object", "copy")), 4),
    ),
  ],
  [1, words("CONFIG", of("GET", "FOO", "RESETSTAT"), some(one(of("nope", "maxmemory", "maxmemory-policy")), 1))],
]
const anywhere: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [1, words("PING", some(one(value), 2))],
  [1, words("ECHO", value)],
  [1, words("SELECT", of("0", "x", "-1", "16", "1.0", "", "99999999999999999999"))],
  [1, words("TIME")],
  [1, words("AUTH", some(one(of("default", "x", "y")), 2))],
  [1, words("CLIENT", of("GETNAME", "ID", "getname"))],
  [1, words("CLIENT", "SETNAME", of("me", "", "with space", "x\ny"))],
  [
    1,
    words(
      "CLIENT",
      of("NO-EVICT", "FOO", "INFO", "LIST"),
      some(one(of("ON", "OFF", "x", "ID", "TYPE", "normal", "99999", "0")), 2),
    ),
  ],
  // No connection matches, so none is closed.
  [1, words("CLIENT", "KILL", some(one(of("ID", "x", "99999", "0", "TYPE", "pubsub", "SKIPME", "USER")), 4))],
  [1, words(of("FOO", "get\xff", "é", "HGETX"), some(one(text), 3))],
]
const transaction: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [1, words(of("UNWATCH", "WATCH"))],
  [1, words(of("EXEC", "DISCARD"), some(one(of("x")), 1))],
]
/** Used inside MULTI. */
const nested: readonly (readonly [number, fc.Arbitrary<readonly string[]>])[] = [
  [2, words(of("MULTI", "WATCH"), some(one(key), 1))],
]
const oneOf = (
  ...lists: readonly (readonly (readonly [number, fc.Arbitrary<readonly string[]>])[])[]
): fc.Arbitrary<readonly string[]> => fc.oneof(...lists.flat().map(([weight, arbitrary]) => ({ weight, arbitrary })))

/** Sometimes with a word too many or too few, or with another word where an option is expected. */
const mangled = (call: fc.Arbitrary<readonly string[]>): fc.Arbitrary<readonly string[]> =>
  fc.oneof(
    { weight: 20, arbitrary: call },
    { weight: 1, arbitrary: call.map((all) => (all.length > 1 ? all.slice(0, -1) : all)) },
    { weight: 1, arbitrary: fc.tuple(call, of("-3", "x", "100", "")).map(([all, more]) => [...all, more]) },
    { weight: 1, arbitrary: call.map(([name = "", ...rest]) => [name.toLowerCase(), ...rest]) },
  )
const step = (call: fc.Arbitrary<readonly string[]>): fc.Arbitrary<Step> =>
  fc.record({
    on: fc.oneof({ weight: 9, arbitrary: of<0 | 1>(0) }, { weight: 1, arbitrary: of<0 | 1>(1) }),
    words: call,
  })
const alone = step(mangled(oneOf(stored, flushing, anywhere, outside, transaction))).map((only) => [only])
/** WATCH now and then, MULTI, commands of both connections, EXEC. */
const together = fc
  .tuple(
    fc.option(keys),
    fc.array(step(oneOf(stored)), { maxLength: 1 }),
    fc.array(step(mangled(oneOf(stored, anywhere, nested))), { maxLength: 5 }),
    of("EXEC", "EXEC", "EXEC", "DISCARD"),
  )
  .map(([watched, before, calls, end]): Step[] => [
    ...(watched === null ? [] : [{ on: 0 as const, words: ["WATCH", ...watched] }]),
    ...before,
    { on: 0, words: ["MULTI"] },
    // The other connection has no transaction that would end.
    ...calls.map((one) => (one.words[0]?.toUpperCase() === "MULTI" ? { ...one, on: 0 as const } : one)),
    { on: 0, words: [end] },
  ])

/**
 * Deadlines that no two commands share, at least 10 s apart, in no order: if the two servers are asked a few seconds
 * apart, that changes no reply. None is beyond the year 10889, the last one whose deadlines can be told apart here.
 */
const starts: ReadonlyMap<string, readonly [from: number, step: number]> = new Map([
  ["in s", [600_010, 60_000]],
  ["in ms", [600_000, 60_000]],
  ["at s", [100_000_000_037, 60_000]],
  ["at ms", [10_000_000_000_000, 60_000]],
])
let marks = 0
const numbered = (word: string): string => {
  const start = starts.get(word)
  if (start === undefined) return word
  marks++
  return String(start[0] + ((marks * 7919) % 99_991) * start[1])
}

/**
 * A FLUSHALL can make the EXEC of a watching connection fail even if no watched key existed (differences.ts), so it is
 * left out while a connection watches.
 */
const withoutFlushes = (steps: readonly Step[]): readonly Step[] => {
  const watching = new Set<number>()
  return steps.filter(({ on, words: [first = ""] }) => {
    const name = first.toUpperCase()
    if (name === "WATCH") watching.add(on)
    if (["EXEC", "DISCARD", "UNWATCH", "RESET"].includes(name)) watching.delete(on)
    return watching.size === 0 || !name.startsWith("FLUSH")
  })
}

export const script = (length: number): fc.Arbitrary<Script> =>
  fc
    .record({
      protocol: of<2 | 3>(2, 3),
      parts: fc.array(fc.oneof({ weight: 12, arbitrary: alone }, { weight: 1, arbitrary: together }), {
        minLength: length,
        maxLength: length,
        size: "max",
      }),
    })
    .map(({ protocol, parts }) => ({
      protocol,
      steps: withoutFlushes(parts.flat()).map(({ on, words: call }) => ({ on, words: call.map(numbered) })),
    }))
