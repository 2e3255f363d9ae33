/** Every row was compared with redis-server 7.0.15, but for those marked ours. */
import { describe, expect, test } from "vitest"
import { MemoryMachine, commandSpecs } from "../kv/machine/index.ts"
import { Log, buffers, plain } from "./machine.kit.ts"

class Store {
  readonly machine = new MemoryMachine()
  readonly log = new Log()
  do(line: string | readonly string[]): unknown {
    const words = typeof line === "string" ? line.split(" ") : line
    this.log.call(...words)
    const out = this.machine.applyNow(this.log.from(this.machine.position().index))
    const last = out.at(-1)
    return last?.type === "replied" ? plain(last.reply) : undefined
  }
  read(line: string): unknown {
    return plain(this.machine.read(buffers(...line.split(" "))))
  }
}
const syntax = "-ERR syntax error"
const notInteger = "-ERR value is not an integer or out of range"
const overflow = "-ERR increment or decrement would overflow"
const arity = (name: string): string => `-ERR wrong number of arguments for '${name}' command`
const expireTime = (name: string): string => `-ERR invalid expire time in '${name}' command`

type Row = readonly [string | readonly string[], unknown]
const scripts: Readonly<Record<string, readonly Row[]>> = {
  "SET and its options": [
    ["SET", arity("set")],
    ["SET a 1 EX 0", expireTime("set")],
    ["SET a 1 EX -5", expireTime("set")],
    ["SET a 1 EX abc", notInteger],
    ["SET a 1 EX", syntax],
    ["SET a 1 NX XX", syntax],
    ["SET a 1 EX 10 PX 10", syntax],
    ["SET a 1 KEEPTTL EX 3", syntax],
    ["SET a 1 EX 3 KEEPTTL", syntax],
    ["SET a 1 FOO", syntax],
    ["SET a 1 NX GET", null],
    ["SET a 2 NX GET", "1"],
    ["SET a 3 XX GET", "1"],
    ["GET a", "3"],
    ["SET a 4 NX", null],
    ["SET b 1 XX", null],
    ["SET b 1 XX GET", null],
    ["GET b", null],
    ["SET a 1 EX 9223372036854775807", expireTime("set")],
    ["SET a 1 PX 9223372036854775807", expireTime("set")],
    ["SET a v EXAT 0", expireTime("set")],
    ["SET k v EXAT 99999999999999999", expireTime("set")],
    ["SET k v PXAT 1", "+OK"],
    ["GET k", null],
    ["set a 9 ex 100", "+OK"],
    ["TTL a", 100],
    ["SET a 10 KEEPTTL", "+OK"],
    ["TTL a", 100],
    ["SET a 11", "+OK"],
    ["TTL a", -1],
    ["SET a 1 XX KEEPTTL", "+OK"],
    ["SET z 1 XX KEEPTTL", null],
  ],
  "SETNX, SETEX, PSETEX, GETSET, GETDEL, GETEX": [
    ["SETNX a 1", 1],
    ["SETNX a 2", 0],
    ["GET a", "1"],
    ["SETEX a 0 1", expireTime("setex")],
    ["SETEX a -1 1", expireTime("setex")],
    ["SETEX a x 1", notInteger],
    ["PSETEX a 0 1", expireTime("psetex")],
    ["SETEX a 10 x", "+OK"],
    ["PTTL a", 10_000],
    ["PSETEX a 700 y", "+OK"],
    ["PTTL a", 700],
    ["TTL a", 1],
    ["GETSET a z", "y"],
    ["TTL a", -1],
    ["GETSET new 1", null],
    ["GETEX a EX 0", expireTime("getex")],
    ["GETEX a FOO", syntax],
    ["GETEX a PERSIST EX 1", syntax],
    ["GETEX a EX 7", "z"],
    ["TTL a", 7],
    ["GETEX a", "z"],
    ["TTL a", 7],
    ["GETEX a PERSIST", "z"],
    ["TTL a", -1],
    ["GETEX nokey EX abc", null],
    ["GETEX a PXAT 1", "z"],
    ["GET a", null],
    ["GETDEL a b", arity("getdel")],
    ["GETDEL new", "1"],
    ["GETDEL new", null],
  ],
  "APPEND and STRLEN": [
    ["APPEND a xy", 2],
    ["APPEND a z", 3],
    ["GET a", "xyz"],
    ["STRLEN a", 3],
    ["STRLEN no", 0],
    ["EXPIRE a 50", 1],
    ["APPEND a !", 4],
    ["TTL a", 50],
    ["APPEND a", arity("append")],
  ],
  "DEL, UNLINK, EXISTS, TYPE": [
    ["MSET a 1 b 2 c 3", "+OK"],
    ["EXISTS a a b no", 3],
    ["DEL a a no", 1],
    ["UNLINK b c", 2],
    ["EXISTS a b c", 0],
    ["TYPE a", "+none"],
    ["SET a 1", "+OK"],
    ["TYPE a", "+string"],
    ["DEL", arity("del")],
  ],
  counters: [
    ["INCR a", 1],
    ["SET a abc", "+OK"],
    ["INCR a", notInteger],
    ["INCRBY a x", notInteger],
    ["SET a 9223372036854775807", "+OK"],
    ["INCR a", overflow],
    ["DECR a", 9223372036854775806n],
    ["DECRBY a -9223372036854775808", "-ERR decrement would overflow"],
    ["INCRBY a -9223372036854775808", -2],
    ["SET a -9223372036854775808", "+OK"],
    ["DECR a", overflow],
    ["DECRBY a 1", overflow],
    ["SET a 01", "+OK"],
    ["INCR a", notInteger],
    ["SET a -0", "+OK"],
    ["INCR a", notInteger],
    [["SET", "a", " 1"], "+OK"],
    ["INCR a", notInteger],
    [["SET", "a", ""], "+OK"],
    ["INCR a", notInteger],
    ["SET n 5 EX 100", "+OK"],
    ["INCRBY n 10", 15],
    ["DECRBY n 20", -5],
    ["TTL n", 100],
    ["GET n", "-5"],
    ["INCR n", -4],
  ],
  "MGET, MSET, MSETNX": [
    ["MSET a", arity("mset")],
    ["MSET a 1 b", arity("mset")],
    ["MSETNX a 1 b", arity("msetnx")],
    ["MSETNX z 1 z 2", 1],
    ["GET z", "2"],
    ["MSETNX y 1 z 3", 0],
    ["GET y", null],
    ["MSET a 1 b 2", "+OK"],
    ["MGET a no b a", ["1", null, "2", "1"]],
  ],
  "EXPIRE and its conditions": [
    ["SET a 1", "+OK"],
    ["EXPIRE a abc", notInteger],
    ["EXPIRE a 9223372036854775807", expireTime("expire")],
    ["EXPIRE a 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"],
    ["EXPIRE a 100 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible"],
    ["EXPIRE a 10 GT LT", "-ERR GT and LT options at the same time are not compatible"],
    ["EXPIRE a 10 GT", 0],
    ["EXPIRE a 10 FOO", "-ERR Unsupported option FOO"],
    ["EXPIRE nokey 10 FOO", "-ERR Unsupported option FOO"],
    ["EXPIRE a 100 xx gt", 0],
    ["EXPIRE a 10 XX", 0],
    ["EXPIRE a 10 LT", 1],
    ["EXPIRE a 20 LT", 0],
    ["EXPIRE a 20 GT", 1],
    ["TTL a", 20],
    ["EXPIRE a 30 NX", 0],
    ["EXPIRE a 30 XX", 1],
    ["PERSIST a", 1],
    ["PERSIST a", 0],
    ["EXPIRE a 30 NX", 1],
    ["PTTL a", 30_000],
    ["EXPIRE no 1", 0],
    ["TTL no", -2],
    ["PTTL no", -2],
    ["PERSIST no", 0],
    ["EXPIREAT a 2000", 1],
    ["TTL a", 1000],
    ["EXPIRETIME a", 2000],
    ["PEXPIRETIME a", 2_000_000],
    ["PEXPIREAT a 1000500", 1],
    ["PTTL a", 500],
    ["TTL a", 1],
    ["PEXPIRE a 499", 1],
    ["TTL a", 0],
    ["EXPIRE a -1", 1],
    ["GET a", null],
    ["SET a 1", "+OK"],
    ["PEXPIREAT a 9223372036854775807", 1],
    ["GET a", "1"],
  ],
  "GETRANGE, SUBSTR, SETRANGE": [
    ["SET a hello", "+OK"],
    ["GETRANGE a 1 3", "ell"],
    ["GETRANGE a -3 -1", "llo"],
    ["GETRANGE a 0 -1", "hello"],
    ["GETRANGE a 3 1", ""],
    ["GETRANGE a -1 -3", ""],
    ["GETRANGE a -100 2", "hel"],
    ["GETRANGE a 2 100", "llo"],
    ["GETRANGE a 5 9", ""],
    ["GETRANGE a -100 -90", "h"],
    ["GETRANGE a x 1", "-ERR value is not an integer or out of range"],
    ["GETRANGE a 0 9223372036854775807", "hello"],
    ["GETRANGE a -9223372036854775808 0", "h"],
    ["GETRANGE no 0 -1", ""],
    ["SUBSTR a 0 1", "he"],
    ["SETRANGE a 2 XY", 5],
    ["GET a", "heXYo"],
    ["SETRANGE a 7 !", 8],
    ["GET a", "heXYo\u0000\u0000!"],
    ["SETRANGE a x y", "-ERR value is not an integer or out of range"],
    ["SETRANGE a -1 y", "-ERR offset is out of range"],
    ["SETRANGE no 3 @", 4],
    ["SETRANGE no2 3 b", 4],
    ["GET no2", "\u0000\u0000\u0000b"],
    ["STRLEN no2", 4],
    ["EXPIRE a 100", 1],
    ["SETRANGE a 0 H", 8],
    ["TTL a", 100],
    ["SETRANGE a 0", "-ERR wrong number of arguments for 'setrange' command"],
    ["GETRANGE a 0", "-ERR wrong number of arguments for 'getrange' command"],
  ],
  INCRBYFLOAT: [
    ["INCRBYFLOAT n 0.1", "0.1"],
    ["INCRBYFLOAT n 0.2", "0.3"],
    ["INCRBYFLOAT n -0.3", "0"],
    ["SET n 10.50", "+OK"],
    ["INCRBYFLOAT n 0.1", "10.6"],
    ["INCRBYFLOAT n -5", "5.6"],
    ["SET n 5.0e3", "+OK"],
    ["INCRBYFLOAT n 2.0e2", "5200"],
    ["SET n 3.0e3", "+OK"],
    ["INCRBYFLOAT n 5.25", "3005.25"],
    ["SET n 9223372036854775807", "+OK"],
    ["INCRBYFLOAT n 1", "9223372036854775808"],
    ["SET n 1e17", "+OK"],
    ["INCRBYFLOAT n 0.000001", "100000000000000000"],
    ["SET n 123456789012345678901234567890", "+OK"],
    ["INCRBYFLOAT n 1", "123456789012345678899921813504"],
    ["SET n 0", "+OK"],
    ["INCRBYFLOAT n 1e-17", "0.00000000000000001"],
    ["INCRBYFLOAT n 5e-18", "0.00000000000000002"],
    ["INCRBYFLOAT n -1e-30", "0.00000000000000002"],
    ["INCRBYFLOAT n -1e-17", "0.00000000000000001"],
    ["SET n 0", "+OK"],
    ["INCRBYFLOAT n 1e-4950", "0"],
    ["SET n 1e4000", "+OK"],
    ["INCRBYFLOAT n x", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no inf", "-ERR increment would produce NaN or Infinity"],
    ["INCRBYFLOAT no nan", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no 1e4933", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no 1e-4960", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no 0x1p-3", "0.125"],
    ["INCRBYFLOAT no .5", "0.625"],
    ["INCRBYFLOAT no 5.", "5.625"],
    ["INCRBYFLOAT no +1", "6.625"],
    ["INCRBYFLOAT no 1e", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no 0x", "-ERR value is not a valid float"],
    ["INCRBYFLOAT no 1,5", "-ERR value is not a valid float"],
    ["EXPIRE no 100", 1],
    ["INCRBYFLOAT no 0.125", "6.75"],
    ["TTL no", 100],
    ["SET n abc", "+OK"],
    ["INCRBYFLOAT n 1", "-ERR value is not a valid float"],
    ["SET n 1.18973149535723176502e4932", "+OK"],
    ["INCRBYFLOAT n 1e4932", "-ERR increment would produce NaN or Infinity"],
    ["INCRBYFLOAT n", "-ERR wrong number of arguments for 'incrbyfloat' command"],
    ["SET n 0.1", "+OK"],
    ["INCRBYFLOAT n 1.0000000000000000001", "1.1"],
    ["SET n 18446744073709551615", "+OK"],
    ["INCRBYFLOAT n 0.5", "18446744073709551616"],
    ["SET n 18446744073709551613", "+OK"],
    ["INCRBYFLOAT n 0.5", "18446744073709551614"],
  ],
  "RENAME, COPY, TOUCH": [
    ["RENAME no a", "-ERR no such key"],
    ["SET a 1 EX 100", "+OK"],
    ["RENAME a b", "+OK"],
    ["GET a", null],
    ["TTL b", 100],
    ["RENAME b b", "+OK"],
    ["RENAME no no", "-ERR no such key"],
    ["SET c 3", "+OK"],
    ["RENAMENX b c", 0],
    ["RENAMENX b d", 1],
    ["RENAMENX d d", 0],
    ["RENAMENX no x", "-ERR no such key"],
    ["TTL d", 100],
    ["RENAME d c", "+OK"],
    ["GET c", "1"],
    ["TTL c", 100],
    ["COPY c e", 1],
    ["TTL e", 100],
    ["COPY c e", 0],
    ["SET c 9", "+OK"],
    ["COPY c e REPLACE", 1],
    ["GET e", "9"],
    ["TTL e", -1],
    ["COPY c c", "-ERR source and destination objects are the same"],
    ["COPY no no", "-ERR source and destination objects are the same"],
    ["COPY no x", 0],
    ["COPY c f DB 0 REPLACE", 1],
    ["COPY c f DB x", "-ERR value is not an integer or out of range"],
    ["COPY c f DB 99", "-ERR DB index is out of range"],
    ["COPY c f DB", "-ERR syntax error"],
    ["COPY c f FOO", "-ERR syntax error"],
    ["COPY c", "-ERR wrong number of arguments for 'copy' command"],
    ["TOUCH c e c no", 3],
    ["TOUCH", "-ERR wrong number of arguments for 'touch' command"],
    ["RENAME a", "-ERR wrong number of arguments for 'rename' command"],
  ],
  "OBJECT, MEMORY": [
    ["SET a 1", "+OK"],
    ["OBJECT ENCODING a", "int"],
    ["SET a 01", "+OK"],
    ["OBJECT ENCODING a", "embstr"],
    ["SET a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK"],
    ["OBJECT ENCODING a", "embstr"],
    ["SET a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK"],
    ["OBJECT ENCODING a", "raw"],
    ["OBJECT ENCODING no", null],
    ["OBJECT REFCOUNT no", null],
    ["OBJECT FREQ no", null],
    ["OBJECT IDLETIME no", null],
    ["OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"],
    ["OBJECT FOO a", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."],
    ["OBJECT", "-ERR wrong number of arguments for 'object' command"],
    ["MEMORY USAGE no", null],
    ["MEMORY USAGE", "-ERR wrong number of arguments for 'memory|usage' command"],
    ["MEMORY FOO", "-ERR unknown subcommand 'FOO'. Try MEMORY HELP."],
    ["MEMORY USAGE a SAMPLES -1", "-ERR syntax error"],
    ["MEMORY USAGE a SAMPLES", "-ERR syntax error"],
    ["MEMORY USAGE a SAMPLES x", "-ERR value is not an integer or out of range"],
    ["MEMORY USAGE a FOO 1", "-ERR syntax error"],
  ],
  "one unit twice": [
    ["SET a 1 PX 5 PX 100000", "+OK"],
    ["PTTL a", 100000],
    ["SET a 1 EX 5 PX 5", "-ERR syntax error"],
    ["GETEX a EX 5 EX 100", "1"],
    ["TTL a", 100],
    ["GETEX a EX 5 EXAT 100", "-ERR syntax error"],
  ],
  "CAS (ours)": [
    ["CAS a 1 2", 0],
    ["SET a 1 EX 50", "+OK"],
    ["CAS a 2 3", 0],
    ["CAS a 1 2", 1],
    ["GET a", "2"],
    ["TTL a", 50],
    ["CAS a 2", arity("cas")],
    ["SETNX b 1", 1],
    ["CAS b 1 1", 1],
  ],
  // The token is the place in the log: no deletion makes a later one smaller. (The log's first entry opens the session.)
  "LEASE and RELEASE (ours)": [
    ["LEASE a me 50", [2, "me", 50]],
    ["LEASE a you 70", [2, "me", 50]],
    ["GET a", "2 me"],
    ["PTTL a", 50],
    ["LEASE a me 90", [2, "me", 90]],
    ["PTTL a", 90],
    ["RELEASE a you", 0],
    ["RELEASE a me", 1],
    ["RELEASE a me", 0],
    ["LEASE a you 70", [11, "you", 70]],
    ["FLUSHALL", "+OK"],
    ["LEASE a me 1", [13, "me", 1]],
    ["PERSIST a", 1],
    ["LEASE a you 1", [13, "me", -1]],
    [
      ["LEASE", "b", "two words", "5"],
      [16, "two words", 5],
    ],
    ["SET s 1", "+OK"],
    ["LEASE s me 1", "-WRONGTYPE the key holds a value that is no lease"],
    ["RELEASE s me", "-WRONGTYPE the key holds a value that is no lease"],
    ["LEASE a me 0", expireTime("lease")],
    ["LEASE a me x", notInteger],
    ["LEASE a me", arity("lease")],
    ["LEASE c " + "h".repeat(257) + " 1", "-ERR a holder has at most 256 bytes"],
    ["DEL a", 1],
    ["LEASE a " + "h".repeat(256) + " 9", [25, "h".repeat(256), 9]],
    ["LEASE a me 9", [25, "h".repeat(256), 9]],
  ],
  FLUSHALL: [
    ["MSET a 1 b 2", "+OK"],
    ["FLUSHALL X", syntax],
    ["FLUSHALL sync extra", syntax],
    ["FLUSHALL ASYNC", "+OK"],
    ["GET a", null],
    ["SET a 1", "+OK"],
    ["FLUSHDB", "+OK"],
    ["EXISTS a b", 0],
  ],
  errors: [
    ["FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' "],
    [["foo\nbar", "x\ny"], "-ERR unknown command 'foo bar', with args beginning with: 'x y' "],
    ["get", arity("get")],
    ["GET a b", arity("get")],
    [
      ["F".repeat(200), "a".repeat(200), "b"],
      `-ERR unknown command '${"F".repeat(128)}', with args beginning with: '${"a".repeat(128)}' `,
    ],
    ["KEYS *", "-ERR KEYS is not allowed inside a transaction: it reads the whole key space"],
  ],
}

describe("Redis semantics", () => {
  for (const [name, rows] of Object.entries(scripts)) {
    test(name, () => {
      const store = new Store()
      for (const [line, expected] of rows) expect([line, store.do(line)]).toEqual([line, expected])
    })
  }
  test("binary keys and values are bytes", () => {
    const store = new Store()
    const wild = Buffer.from([0, 255, 10, 13, 0]).toString("latin1")
    expect(store.do(["SET", wild, wild])).toBe("+OK")
    expect(store.do(["GET", wild])).toBe(wild)
    expect(store.do(["SET", "", ""])).toBe("+OK")
    expect(new Set(store.read("KEYS *") as string[])).toEqual(new Set(["", wild]))
  })
  test("SCAN returns what is there throughout, whatever comes and goes", () => {
    const store = new Store()
    for (let i = 0; i < 100; i++) store.do(`SET key:${i} ${i}`)
    const seen = new Set<unknown>()
    let cursor = "0"
    let rounds = 0
    do {
      const [next, keys] = store.read(`SCAN ${cursor} COUNT 7`) as [string, string[]]
      for (const key of keys) seen.add(key)
      cursor = next
      store.do(`DEL key:${(rounds % 10) * 10 + 5}`)
      store.do(`SET new:${rounds} x`)
      rounds++
      expect(Number(cursor)).toBeLessThan(2 ** 53)
    } while (cursor !== "0" && rounds < 100)
    for (let i = 0; i < 100; i++) if (i % 10 !== 5) expect(seen).toContain(`key:${i}`)
  })
  test("SCAN: options and errors", () => {
    const store = new Store()
    store.do("MSET a 1 b 2 ab 3")
    const scan = (options: string): unknown => {
      const [cursor, keys] = store.read(`SCAN ${options}`) as [string, string[]]
      return [cursor, keys.sort()]
    }
    expect(scan("0 MATCH a* COUNT 100")).toEqual(["0", ["a", "ab"]])
    expect(scan("0 TYPE string")).toEqual(["0", ["a", "ab", "b"]])
    expect(scan("0 TYPE list")).toEqual(["0", []])
    expect(scan(`${2 ** 48 - 1}`)).toEqual(["0", []])
    for (const bad of ["x", "-1", `${2 ** 48}`, "18446744073709551615", "18446744073709551616"])
      expect(store.read(`SCAN ${bad}`)).toBe("-ERR invalid cursor")
    expect(store.read("SCAN 0 COUNT 0")).toBe(syntax)
    expect(store.read("SCAN 0 COUNT x")).toBe(notInteger)
    expect(store.read("SCAN 0 MATCH")).toBe(syntax)
    expect(store.read("DBSIZE")).toBe(3)
    expect(store.read("SET a 1")).toContain("is a write")
  })
  test("the table is as Redis' own: names in capitals, arity, key positions", () => {
    expect(commandSpecs.get("SET")).toMatchObject({ arity: -3, kind: "write", firstKey: 1, lastKey: 1, step: 1 })
    expect(commandSpecs.get("MSET")).toMatchObject({ arity: -3, firstKey: 1, lastKey: -1, step: 2 })
    for (const [name, spec] of commandSpecs) expect(spec.name).toBe(name)
  })
})
