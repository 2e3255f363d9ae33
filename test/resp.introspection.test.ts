/** What programs ask to find out what they talk to: INFO, COMMAND, CLIENT, CONFIG and their help. */
import { describe, expect, test } from "vitest"
import { KeyspaceCounter } from "../kv/server/keyspaceCounter.ts"
import { docs } from "../kv/server/commands/docs.ts"
import { arityOf } from "../kv/server/commands/syntax.ts"
import { Table } from "../kv/server/commands/table.ts"
import { Rate } from "../kv/server/usage.ts"
import type { Keyspace } from "../kv/types.ts"
import { dial, exchange, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"

const table = new Table()
const withClient = (use: (client: Raw, port: number) => Promise<void>): Promise<void> =>
  serving(makeFake(), {}, async (port) => {
    const client = await dial(port)
    await use(client, port)
    client.socket.destroy()
  })
const ask = async (client: Raw, words: string): Promise<unknown> => plain(await client.send(...words.split(" ")))
const info = async (client: Raw, words = "INFO"): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(
    String(await ask(client, words))
      .split("\r\n")
      .filter((line) => line.includes(":"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  )
const sectionsOf = async (client: Raw, words: string): Promise<readonly string[]> =>
  Array.from(String(await ask(client, words)).matchAll(/^# (\w+)/gm), ([, name = ""]) => name)

describe("INFO", () => {
  const usual = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "Raft",
    "CPU",
    "Modules",
    "Errorstats",
    "Cluster",
    "Keyspace",
  ]
  test("has the usual sections, those that are asked for, or all, each once", () =>
    withClient(async (client) => {
      for (const words of ["INFO", "INFO default", "INFO Default server"])
        expect(await sectionsOf(client, words), words).toEqual(usual)
      const all = usual.toSpliced(9, 0, "Commandstats")
      for (const words of ["INFO all", "INFO everything", "INFO all default cpu"])
        expect(await sectionsOf(client, words), words).toEqual(all)
      expect(await sectionsOf(client, "INFO cpu COMMANDSTATS cpu nope")).toEqual(["CPU", "Commandstats"])
      expect(await sectionsOf(client, "INFO nope")).toEqual([])
    }))
  test("counts keys and those that end; without being asked, too, as redis-cli --stat does", () =>
    withClient(async (client) => {
      expect((await info(client))["db0"]).toBeUndefined()
      await ask(client, "MSET a 1 b 2 c 3")
      await ask(client, "EXPIRE c 100")
      // Asked for, it is counted; without that, the last count may serve.
      for (const words of ["INFO keyspace", "INFO"])
        expect((await info(client, words))["db0"], words).toBe("keys=3,expires=1,avg_ttl=0")
      const found = await info(client)
      expect(found["used_memory_human"]).toMatch(/^\d+\.\d\dM$/)
      expect(Number(found["used_cpu_user"])).toBeGreaterThan(0)
      for (const name of ["instantaneous_ops_per_sec", "expired_keys", "total_net_output_bytes", "used_memory_peak"])
        expect(found[name], name).toMatch(/^\d+$/)
    }))
  test("counts each command, its refusals and its errors, also within EXEC, until CONFIG RESETSTAT", () =>
    withClient(async (client) => {
      for (const words of [
        "SET a x",
        "INCR a",
        "GET",
        "GET a",
        "CLIENT GETNAME",
        "CLIENT NOPE",
        "NOPE",
        "MULTI",
        "INCR a",
        "SET b 1",
        "EXEC",
        "WATCH a b",
        "EXPIRE a x",
      ])
        await ask(client, words)
      const {
        cmdstat_incr: incr,
        cmdstat_get: get,
        cmdstat_client: family,
        "cmdstat_client|getname": member,
        cmdstat_set: set,
        cmdstat_exec: exec,
        ...rest
      } = await info(client, "INFO commandstats errorstats")
      expect(incr).toMatch(/^calls=2,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=2$/)
      expect(get).toMatch(/^calls=1,.*rejected_calls=1,failed_calls=0$/)
      expect(set).toMatch(/^calls=2,/)
      expect(exec).toMatch(/^calls=1,.*failed_calls=0$/)
      expect(member).toMatch(/^calls=1,/)
      expect(family).toMatch(/^calls=0,.*rejected_calls=1,/)
      expect(rest["errorstat_ERR"]).toBe("count=6")
      await ask(client, "CONFIG RESETSTAT")
      expect(Object.keys(await info(client, "INFO commandstats"))).toEqual(["cmdstat_config|resetstat"])
    }))
  test("a count of keys that took long is used again, and nobody waits for a first one", async () => {
    let now = 0
    let counts = 0
    let give: (keyspace: Keyspace) => void = () => undefined
    const reader = {
      ...makeFake().reader,
      keyspace: () =>
        new Promise<Keyspace>((resolve) => {
          counts++
          give = resolve
        }),
    }
    const census = new KeyspaceCounter(reader, () => now)
    // Not given: the limit of patience passes.
    expect(await census.recent()).toBeNull()
    now = 1000
    give({ keys: 5, expires: 1, averageTtl: 7 })
    expect(await census.count()).toMatchObject({ keys: 5, at: 0, took: 1000 })
    now = 19_999
    expect([(await census.recent())?.keys, counts]).toEqual([5, 1])
    now = 20_000
    expect([(await census.recent())?.keys, counts]).toEqual([5, 2])
    give({ keys: 6, expires: 1, averageTtl: 7 })
    expect((await census.count())?.keys).toBe(6)
    const exact = census.count()
    give({ keys: 7, expires: 1, averageTtl: 7 })
    expect([(await exact)?.keys, counts]).toEqual([7, 3])
  })
  test("a rate is that of the last samples", () => {
    const rate = new Rate()
    expect(rate.perSecond()).toBe(0)
    for (let i = 0; i <= 100; i++) rate.sample(i * 250, i < 90 ? i * 1000 : 90_000)
    expect(rate.perSecond()).toBe(0)
    for (let i = 0; i < 6; i++) rate.sample(25_250 + i * 250, 90_000 + (i + 1) * 10)
    expect(rate.perSecond()).toBe(40)
  })
})

describe("COMMAND", () => {
  /** What is taken that its help does not tell: as Redis takes it. */
  const lenient: ReadonlySet<string> = new Set(["quit", "flushall", "flushdb"])
  test("tells of every command what it is for and how it is written, and that is how many words it takes", () => {
    const names = table.all.map(({ name }) => name)
    expect([...docs.keys()].sort()).toEqual([...names].sort())
    for (const known of table.all) {
      if (known.subcommands !== undefined)
        for (const { name, syntax, arity, summary } of known.subcommands)
          expect([name, arityOf(syntax, 2), summary !== ""]).toEqual([name, arity, true])
      else if (!lenient.has(known.name))
        expect([known.name, arityOf(docs.get(known.name)?.syntax ?? "", 1)]).toEqual([known.name, known.arity])
    }
  })
  test("DOCS gives arguments that a program can follow", () =>
    withClient(async (client) => {
      await client.send("HELLO", "3")
      const all = (await ask(client, "COMMAND DOCS")) as Map<string, Map<string, unknown>>
      expect(all.size).toBe(table.all.length)
      const simple = (value: unknown): unknown =>
        value instanceof Map
          ? Object.fromEntries([...value].map(([name, one]) => [name, simple(one)]))
          : Array.isArray(value)
            ? value.map(simple)
            : value
      expect(simple(all.get("set"))).toEqual({
        summary: "Sets a key.",
        since: "1.0.0",
        group: "string",
        arguments: [
          { name: "key", type: "key" },
          { name: "value", type: "string" },
          {
            name: "options",
            type: "oneof",
            flags: ["optional"],
            arguments: [
              { name: "nx", type: "pure-token", token: "NX" },
              { name: "xx", type: "pure-token", token: "XX" },
            ],
          },
          { name: "get", type: "pure-token", token: "GET", flags: ["optional"] },
          {
            name: "options",
            type: "oneof",
            flags: ["optional"],
            arguments: [
              { name: "seconds", type: "integer", token: "EX" },
              { name: "milliseconds", type: "integer", token: "PX" },
              { name: "unix-time-seconds", type: "unix-time", token: "EXAT" },
              { name: "unix-time-milliseconds", type: "unix-time", token: "PXAT" },
              { name: "keepttl", type: "pure-token", token: "KEEPTTL" },
            ],
          },
        ],
      })
      expect(simple(all.get("mset")?.get("arguments"))).toEqual([
        { name: "key", type: "key" },
        { name: "value", type: "string" },
        {
          name: "key",
          type: "block",
          flags: ["optional", "multiple"],
          arguments: [
            { name: "key", type: "key" },
            { name: "value", type: "string" },
          ],
        },
      ])
      expect([
        ...((all.get("client")?.get("subcommands") as Map<string, unknown> | undefined)?.keys() ?? []),
      ]).toContain("client|list")
      expect([...((await ask(client, "COMMAND DOCS get nope")) as Map<string, unknown>).keys()]).toEqual(["get"])
    }))
  test("INFO, COUNT, LIST and GETKEYS are of one table", () =>
    withClient(async (client) => {
      const all = (await ask(client, "COMMAND")) as unknown[][]
      expect([
        all.length,
        await ask(client, "COMMAND COUNT"),
        ((await ask(client, "COMMAND INFO")) as unknown[]).length,
      ]).toEqual([table.all.length, table.all.length, table.all.length])
      const named = all.flatMap((one) => [one[0], ...(one[9] as unknown[][]).map((member) => member[0])])
      expect(await ask(client, "COMMAND LIST")).toEqual(named)
      expect(await ask(client, "COMMAND INFO client|list nope config|nope GET")).toEqual([
        expect.arrayContaining(["client|list", -2]),
        null,
        null,
        expect.arrayContaining(["get", 2]),
      ])
      expect(await ask(client, "COMMAND LIST FILTERBY PATTERN client|s*")).toEqual(["client|setname", "client|setinfo"])
      expect(await ask(client, "COMMAND LIST FILTERBY ACLCAT nope")).toEqual([])
      expect(await ask(client, "COMMAND GETKEYS MEMORY USAGE k")).toEqual(["k"])
      expect(await ask(client, "COMMAND GETKEYSANDFLAGS RENAME a b")).toEqual([
        ["a", ["RW", "access", "delete"]],
        ["b", ["OW", "update"]],
      ])
      expect(await ask(client, "COMMAND GETKEYS OBJECT nope k")).toBe("-ERR Invalid command specified")
      expect(await ask(client, "COMMAND GETKEYS PING x")).toBe("-ERR The command has no key arguments")
    }))
  test("help that an error recommends is there", () =>
    withClient(async (client) => {
      for (const { name, subcommands } of table.all) {
        if (subcommands === undefined) continue
        const [, recommended = ""] = /Try ([A-Z]+ HELP)\./.exec(String(await ask(client, `${name} nope`))) ?? []
        const lines = await ask(client, recommended)
        expect(lines, name).toEqual(
          expect.arrayContaining([expect.stringContaining(`${name.toUpperCase()} <subcommand> `), "HELP"]),
        )
        expect(await ask(client, `${name} help more`)).toBe(`-ERR wrong number of arguments for '${name}|help' command`)
      }
    }))
})

describe("CLIENT and CONFIG", () => {
  test("CLIENT LIST tells of those that fit", () =>
    withClient(async (client, port) => {
      const other = await dial(port)
      await ask(other, "CLIENT SETNAME other")
      const [mine, its] = [await ask(client, "CLIENT ID"), await ask(other, "CLIENT ID")]
      const listed = async (words: string): Promise<readonly number[]> =>
        Array.from(String(await ask(client, words)).matchAll(/^id=(\d+) /gm), ([, id]) => Number(id)).sort(
          (a, b) => a - b,
        )
      const all = [Number(mine), Number(its)].sort((a, b) => a - b)
      expect(await listed("CLIENT LIST")).toEqual(all)
      expect(await listed("CLIENT LIST TYPE normal")).toEqual(all)
      expect(await listed("CLIENT LIST TYPE pubsub")).toEqual([])
      expect(await listed(`CLIENT LIST ID ${String(its)} 99999`)).toEqual([its])
      expect(String(await ask(client, "CLIENT LIST"))).toMatch(/ name=other .* qbuf=0 .*cmd=client\|id /)
      expect(String(await ask(client, "CLIENT INFO"))).toMatch(/ qbuf=26 .*omem=0 .*cmd=client\|info user=default /)
      for (const [words, wrong] of [
        ["TYPE x", "Unknown client type 'x'"],
        ["ID x", "Invalid client ID"],
        ["ID", "syntax error"],
        ["FOO 1", "syntax error"],
        ["TYPE normal x", "syntax error"],
      ] as const)
        expect(await ask(client, `CLIENT LIST ${words}`)).toBe(`-ERR ${wrong}`)
      await ask(client, "MULTI")
      await ask(client, `CLIENT LIST ID ${String(mine)}`)
      expect(String(await ask(client, "EXEC"))).toMatch(/^id=\d+ .* flags=N/)
      expect(await ask(client, "HELLO 2 SETNAME mine NOPE")).toMatch(/^-ERR Syntax error in HELLO/)
      expect(await ask(client, "CLIENT GETNAME")).toBe("mine")
      expect(await ask(client, "CLIENT KILL TYPE x")).toBe("-ERR Unknown client type 'x'")
      expect(await ask(client, "CLIENT KILL ID x more")).toBe("-ERR client-id should be greater than 0")
      other.socket.destroy()
    }))
  test("what EXEC does to its connection, those behind it find, and it nothing of theirs", () =>
    serving(makeFake({ delay: () => 2 }), {}, async (port) => {
      const sent =
        "MULTI\r\nSET a 1\r\nCLIENT GETNAME\r\nCLIENT SETNAME me\r\nEXEC\r\nCLIENT GETNAME\r\nCLIENT SETNAME you\r\n"
      expect(await exchange(port, sent)).toBe(
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n$-1\r\n+OK\r\n$2\r\nme\r\n+OK\r\n",
      )
    }))
  test("CONFIG SET of what is so already is no error", () =>
    withClient(async (client) => {
      expect(plain(await client.send("CONFIG", "SET", "save", "", "appendonly", "yes"))).toBe("OK")
      expect(await ask(client, "CONFIG SET appendonly no")).toMatch(
        /^-ERR CONFIG SET failed .*'appendonly'.* immutable/,
      )
      expect(await ask(client, "CONFIG SET hz 10 hz 10")).toMatch(/duplicate parameter$/)
      expect(await ask(client, "CONFIG SET nope 1")).toBe(
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
      )
    }))
  test("MONITOR says why not, ROLE who leads, FUNCTION that there are none", () =>
    withClient(async (client) => {
      expect(await ask(client, "MONITOR")).toMatch(/^-ERR MONITOR is not supported: no node sees/)
      expect(await ask(client, "ROLE")).toEqual(["master", 0, [["127.0.0.1", "7002", "1"]]])
      expect([await ask(client, "FUNCTION FLUSH"), await ask(client, "FUNCTION LIST")]).toEqual(["OK", []])
    }))
  test("bytes that an error quotes leave as they came", async () => {
    const name = Buffer.from([0x67, 0xc3, 0xb6, 0xff, 0x80])
    await serving(makeFake(), {}, async (port) => {
      const [text, sub] = [
        Buffer.concat([name, Buffer.from(" x\r\n")]),
        Buffer.concat([Buffer.from("CLIENT "), name, Buffer.from("\r\n")]),
      ]
      expect(await exchange(port, text)).toBe(
        `-ERR unknown command '${name.toString("latin1")}', with args beginning with: 'x' \r\n`,
      )
      expect(await exchange(port, sub)).toBe(
        `-ERR unknown subcommand '${name.toString("latin1")}'. Try CLIENT HELP.\r\n`,
      )
    })
  })
})
