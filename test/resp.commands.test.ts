import { describe, expect, test } from "vitest"
import type { Reply } from "../kv/types.ts"
import { dial, exchange, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake, type FakeOptions } from "./resp.fake.ts"

const withClient = (
  options: FakeOptions,
  use: (client: Raw, port: number) => Promise<void>,
  redirect = false,
): Promise<void> =>
  serving(makeFake(options), { redirect }, async (port) => {
    const client = await dial(port)
    await use(client, port)
    client.socket.destroy()
  })
const says = async (client: Raw, words: string, expected: unknown): Promise<void> => {
  expect(plain(await client.send(...words.split(" ")))).toEqual(expected)
}

/** Of the fake's session. */
const key = `7-${"ab".repeat(16)}`

describe("MULTI", () => {
  test("EXEC is one write with all replies in one array", async () => {
    const fake = makeFake()
    await serving(fake, {}, async (port) => {
      const client = await dial(port)
      await says(client, "MULTI", "OK")
      for (const words of ["SET a 1", "PING", "INCR a", "GET a", "ECHO x"]) await says(client, words, "QUEUED")
      await says(client, "EXEC", ["OK", "PONG", 2, "2", "x"])
      expect(fake.counts.writes).toBe(1)
      client.socket.destroy()
    })
  })

  test("an error while queueing discards all of it", () =>
    withClient({}, async (client) => {
      for (const wrong of ["GET", "NONSENSE a", "KEYS *", "STEPRAFT STATUS"]) {
        await says(client, "MULTI", "OK")
        expect(plain(await client.send(...wrong.split(" ")))).toMatch(/^-ERR/)
        await says(client, "SET a 1", "QUEUED")
        await says(client, "EXEC", "-EXECABORT Transaction discarded because of previous errors.")
      }
      await says(client, "GET a", null)
    }))

  test("a subcommand that does not exist, or has the wrong words, is refused before it is queued", () =>
    withClient({}, async (client) => {
      for (const [wrong, refusal] of [
        ["CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."],
        ["CLIENT REPLY", "-ERR wrong number of arguments for 'client|reply' command"],
      ] as const) {
        await says(client, "MULTI", "OK")
        await says(client, wrong, refusal)
        await says(client, "EXEC", "-EXECABORT Transaction discarded because of previous errors.")
      }
    }))

  test("an EXEC with the wrong words ends the transaction and its watches; a WATCH without keys touches neither", () =>
    withClient({}, async (client) => {
      const refused = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
      await says(client, "EXEC k", refused)
      await says(client, "SET a 1", "OK")
      await says(client, "WATCH a", "OK")
      await says(client, "MULTI", "OK")
      await says(client, "SET a 2", "QUEUED")
      await says(client, "EXEC k", refused)
      await says(client, "EXEC", "-ERR EXEC without MULTI")
      await says(client, "SET a 3", "OK")
      await says(client, "WATCH", "-ERR wrong number of arguments for 'watch' command")
      await says(client, "MULTI", "OK")
      await says(client, "GET a", "QUEUED")
      await says(client, "EXEC", ["3"])
    }))

  test("misplaced words are named as in Redis, and DISCARD forgets", () =>
    withClient({}, async (client) => {
      await says(client, "EXEC", "-ERR EXEC without MULTI")
      await says(client, "DISCARD", "-ERR DISCARD without MULTI")
      await says(client, "MULTI", "OK")
      await says(client, "MULTI", "-ERR MULTI calls can not be nested")
      await says(client, "WATCH a", "-ERR WATCH inside MULTI is not allowed")
      await says(client, "SET a 1", "QUEUED")
      await says(client, "DISCARD", "OK")
      await says(client, "GET a", null)
    }))

  test("a watched key that has changed makes EXEC null; one that has not does not", () =>
    withClient({}, async (client, port) => {
      const other = await dial(port)
      await says(client, "SET a 1", "OK")
      for (const meddle of [false, true]) {
        await says(client, "WATCH a b", "OK")
        if (meddle) await says(other, "SET b 1", "OK")
        await says(client, "MULTI", "OK")
        await says(client, "INCR a", "QUEUED")
        await says(client, "EXEC", meddle ? null : [2])
      }
      expect(client.received().endsWith("*-1\r\n")).toBe(true)
      await says(other, "SET a 5", "OK")
      // The watches of an EXEC end with it, and those of UNWATCH at once.
      await says(client, "MULTI", "OK")
      await says(client, "GET a", "QUEUED")
      await says(client, "EXEC", ["5"])
      await says(client, "WATCH a", "OK")
      await says(other, "SET a 6", "OK")
      await says(client, "UNWATCH", "OK")
      await says(client, "MULTI", "OK")
      await says(client, "EXEC", [])
      other.socket.destroy()
    }))

  test("a watched key that a FLUSHALL does not touch goes on being watched", async () => {
    const fake = makeFake()
    let told: Parameters<NonNullable<typeof fake.reader.onFlush>>[0] = () => undefined
    const versions: Record<string, number> = { absent: 2 ** 47 + 1, gone: 2 ** 47 + 2, there: 3 }
    const seen: number[] = []
    const reader = {
      ...fake.reader,
      version: (key: Uint8Array) => versions[Buffer.from(key).toString()] ?? 0,
      onFlush: (listener: typeof told) => {
        told = listener
      },
    }
    const write: typeof fake.write = (calls, exec, watches, done) => {
      seen.push(...watches.map(({ version }) => version))
      fake.write(calls, exec, [], done)
    }
    await serving({ ...fake, reader, write }, {}, async (port) => {
      const client = await dial(port)
      await says(client, "WATCH absent gone there", "OK")
      told(({ key }) => Buffer.from(key).toString() === "absent", 2 ** 47 + 9)
      await says(client, "MULTI", "OK")
      await says(client, "EXEC", [])
      expect(seen).toEqual([2 ** 47 + 9, 2 ** 47 + 2, 3])
      client.socket.destroy()
    })
  })

  test("WATCH, MULTI and EXEC may come in one piece", () =>
    serving(makeFake({ delay: () => 1 }), {}, async (port) => {
      const answer = await exchange(
        port,
        "SET a 1\r\nWATCH a\r\nMULTI\r\nINCR a\r\nEXEC\r\nWATCH a\r\nSET a 5\r\nMULTI\r\nINCR a\r\nEXEC\r\nGET a\r\n",
      )
      expect(answer).toBe(
        "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n$1\r\n5\r\n",
      )
    }))

  test("a transaction does not run when its WATCH could not be served", () => {
    const refuse = (at: number): Reply | null => (at === 0 ? { type: "error", code: "NOLEADER", text: "none" } : null)
    return withClient({ refuse }, async (client) => {
      await says(client, "WATCH a", "-NOLEADER none")
      await says(client, "MULTI", "OK")
      await says(client, "SET a 1", "QUEUED")
      await says(client, "EXEC", "-EXECABORT Transaction discarded because WATCH failed before it.")
      await says(client, "GET a", null)
    })
  })

  test("a transaction larger than an entry is refused while it grows", () =>
    serving(makeFake(), { limits: { maxEntryBytes: 1000 } }, async (port) => {
      const client = await dial(port)
      await says(client, "MULTI", "OK")
      await says(client, `SET a ${"x".repeat(600)}`, "QUEUED")
      await says(client, `SET a ${"x".repeat(600)}`, "-TOOLARGE Transaction is larger than 1000 bytes")
      await says(client, "EXEC", "-EXECABORT Transaction discarded because of previous errors.")
      client.socket.destroy()
    }))
})

describe("the connection", () => {
  test("HELLO changes the protocol from its own reply on", () =>
    withClient({}, async (client) => {
      await says(client, "GET a", null)
      const hello = plain(await client.send("HELLO", "3", "SETNAME", "me"))
      expect(hello).toBeInstanceOf(Map)
      expect(hello instanceof Map ? [hello.get("proto"), hello.get("mode"), hello.get("role")] : []).toEqual([
        3,
        "standalone",
        "master",
      ])
      await says(client, "CLIENT GETNAME", "me")
      await says(client, "GET a", null)
      expect(client.received().endsWith("_\r\n")).toBe(true)
      await says(client, "HELLO 4", "-NOPROTO unsupported protocol version")
      await says(client, "RESET", "RESET")
      await says(client, "GET a", null)
      expect(client.received().endsWith("$-1\r\n")).toBe(true)
    }))

  test("errors are those of Redis 7", () =>
    withClient({}, async (client) => {
      await says(client, "FOO bar baz", "-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' ")
      await says(client, "get", "-ERR wrong number of arguments for 'get' command")
      await says(client, "SELECT 1", "-ERR DB index is out of range")
      await says(client, "SELECT 0", "OK")
      await says(client, "CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.")
      await says(
        client,
        "AUTH x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
      )
      await says(client, "CLIENT hasOwnProperty", "-ERR unknown subcommand 'hasOwnProperty'. Try CLIENT HELP.")
    }))

  test("CLIENT REPLY silences what it says", () =>
    serving(makeFake(), {}, async (port) => {
      const sent =
        "CLIENT REPLY SKIP\r\nPING one\r\nPING two\r\nCLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n"
      expect(await exchange(port, sent)).toBe("$3\r\ntwo\r\n+OK\r\n$1\r\n1\r\n")
    }))

  test("CLIENT REPLY silences to the byte what Redis 7 silences, in MULTI too, however late the answer comes", () =>
    serving(makeFake({ delay: () => 2 }), {}, async (port) => {
      // What Redis 7.0.15 answered.
      const exchanges: readonly (readonly [string, string])[] = [
        ["PING|CLIENT REPLY SKIP|CLIENT REPLY ON|ECHO a", "+PONG|+OK|$1|a|"],
        ["CLIENT REPLY SKIP|CLIENT REPLY SKIP|ECHO a|ECHO b", "$1|b|"],
        ["CLIENT REPLY OFF|CLIENT REPLY SKIP|ECHO a|CLIENT REPLY ON|ECHO b", "+OK|$1|b|"],
        ["CLIENT REPLY SKIP|CLIENT REPLY OFF|ECHO a|CLIENT REPLY ON|ECHO b", "+OK|$1|b|"],
        ["CLIENT REPLY SKIP|CLIENT REPLY FOO|CLIENT REPLY FOO", "-ERR syntax error|"],
        [
          "MULTI|SET a 1|CLIENT REPLY OFF|GET a|EXEC|ECHO x|CLIENT REPLY ON|ECHO y",
          "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|+OK|$1|y|",
        ],
        ["MULTI|SET a 1|CLIENT REPLY SKIP|GET a|EXEC|ECHO x|ECHO y", "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|$1|1|$1|y|"],
        ["CLIENT REPLY OFF|MULTI|SET a 1|CLIENT REPLY ON|GET a|EXEC|ECHO x", "+OK|$1|1|$1|x|"],
        ["CLIENT REPLY OFF|MULTI|CLIENT REPLY OFF|EXEC|ECHO x|CLIENT REPLY ON", "+OK|"],
        ["CLIENT REPLY SKIP|MULTI|SET a 1|EXEC|ECHO y", "+QUEUED|*1|+OK|$1|y|"],
        [
          "MULTI|SET a 1|CLIENT REPLY SKIP|CLIENT REPLY ON|EXEC|ECHO x|ECHO y",
          "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|+OK|$1|y|",
        ],
        ["MULTI|CLIENT REPLY SKIP|EXEC|ECHO x|ECHO y", "+OK|+QUEUED|*1|$1|y|"],
      ]
      const lines = (text: string): string => text.replaceAll("|", "\r\n")
      for (const [sent, answer] of exchanges)
        expect(await exchange(port, `${lines(sent)}\r\n`), sent).toBe(lines(answer))
    }))

  test("a request that is too large is refused by name and aborts a transaction; the connection goes on", () =>
    serving(makeFake(), { limits: { maxEntryBytes: 1000 } }, async (port) => {
      const client = await dial(port)
      const tooLarge = "-TOOLARGE an argument of 1001 bytes was given, at most 1000 are allowed. Nothing was executed."
      await says(client, `SET a ${"x".repeat(1001)}`, tooLarge)
      await says(client, "GET a", null)
      await says(client, "MULTI", "OK")
      await says(client, `SET a ${"x".repeat(1001)}`, tooLarge)
      await says(client, "SET b 1", "QUEUED")
      await says(client, "EXEC", "-EXECABORT Transaction discarded because of previous errors.")
      await says(client, `WATCH a ${"x".repeat(1001)}`, tooLarge)
      await says(client, "MULTI", "OK")
      await says(client, "EXEC", "-EXECABORT Transaction discarded because WATCH failed before it.")
      client.write("CLIENT REPLY SKIP\r\n")
      client.write(`*1\r\n$1001\r\n${"x".repeat(1001)}\r\n`)
      await says(client, "ECHO b", "b")
      client.socket.destroy()
      expect(await exchange(port, "*2\r\n$3\r\nGET\r\n$8001\r\n")).toMatch(
        /^-ERR Protocol error: invalid bulk length: a request of 8004 bytes or more/,
      )
    }))

  test("QUIT answers all that came before it, and nothing behind", () =>
    serving(makeFake({ delay: () => 2 }), {}, async (port) => {
      const client = await dial(port)
      client.write("SET a 1\r\nGET a\r\nQUIT\r\nSET a 2\r\n")
      expect(await client.ended).toBe("+OK\r\n$1\r\n1\r\n+OK\r\n")
    }))

  test("what is no RESP is answered with what is wrong, and closes that connection only", () =>
    withClient({ delay: () => 2 }, async (client, port) => {
      expect(await exchange(port, "SET a 1\r\n*1\r\n+3\r\n")).toBe(
        "+OK\r\n-ERR Protocol error: expected '$', got '+'\r\n",
      )
      expect(await exchange(port, Buffer.from([0x16, 3, 1, 0, 200]))).toMatch(/^-ERR Protocol error: .*TLS/)
      const noisy = await dial(port)
      noisy.write(Buffer.alloc(300_000, 0x85))
      expect(await noisy.ended).toMatch(/^-ERR Protocol error/)
      await says(client, "GET a", "1")
    }))

  test("tools find what they look for", () =>
    withClient({}, async (client) => {
      await says(client, "CONFIG GET save", ["save", ""])
      await says(client, "CONFIG GET APPEND*", ["appendfsync", "always", "appendonly", "yes"])
      expect(plain(await client.send("CONFIG", "SET", "save", "1"))).toMatch(/^-ERR CONFIG SET failed/)
      await says(client, "COMMAND GETKEYS MSET a 1 b 2", ["a", "b"])
      const [get, nope] = plain(await client.send("COMMAND", "INFO", "get", "nope")) as unknown[]
      expect(Array.isArray(get) ? get.slice(0, 6) : get).toEqual(["get", 2, ["readonly", "fast"], 1, 1, 1])
      expect(nope).toBeNull()
      await client.send("SET", "a", "1")
      expect(plain(await client.send("INFO"))).toMatch(/# Raft\r\nraft_node:n1\r\n/)
      expect(plain(await client.send("INFO", "keyspace"))).toBe("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n")
      expect(plain(await client.send("CLIENT", "LIST"))).toMatch(/^id=\d+ addr=127/)
    }))
})

describe("names and lists of words", () => {
  test("have a bound, and what is beyond it is refused by name and changes nothing", () =>
    withClient({}, async (client) => {
      const long = "x".repeat(513)
      await says(client, `CLIENT SETNAME ${"x".repeat(512)}`, "OK")
      for (const words of [
        `CLIENT SETNAME ${long}`,
        `CLIENT SETINFO lib-name ${long}`,
        `CLIENT SETINFO lib-ver ${long}`,
        `HELLO 3 SETNAME ${long}`,
      ]) {
        expect(plain(await client.send(...words.split(" ")))).toMatch(
          /^-TOOLARGE (Client names|lib-name|lib-ver) has 513 bytes, 512 are allowed\. Nothing was changed\.$/,
        )
      }
      await says(client, "CLIENT GETNAME", "x".repeat(512))
      for (const words of [["INFO"], ["COMMAND", "INFO"], ["CONFIG", "GET"]])
        expect(plain(await client.send(...words, ...Array.from({ length: 2000 }, () => "x")))).toMatch(
          /^-TOOLARGE .* was given 200[12] words/,
        )
      for (const words of [
        ["COMMAND", "LIST", "FILTERBY", "PATTERN"],
        ["CONFIG", "GET"],
      ])
        expect(plain(await client.send(...words, "*".repeat(200)))).toMatch(/^-TOOLARGE a pattern has at most/)
      // Errors quote the beginning of a word.
      for (const words of [["CLIENT"], ["CLIENT", "SETINFO"], ["CONFIG", "SET"], ["HELLO", "3"]])
        expect(String(plain(await client.send(...words, "y".repeat(100_000), "z"))).length).toBeLessThan(300)
    }))
})

describe("a cluster client", () => {
  test("is told that the leader has all slots", () =>
    withClient({}, async (client) => {
      const [[from, to, leader, replica] = []] = plain(await client.send("CLUSTER", "SLOTS")) as unknown[][]
      expect([from, to]).toEqual([0, 16_383])
      expect([leader, replica].map((node) => (Array.isArray(node) ? node.slice(0, 2) : node))).toEqual([
        ["127.0.0.1", 7001],
        ["127.0.0.1", 7002],
      ])
      expect(plain(await client.send("CLUSTER", "NODES"))).toMatch(
        /^[0-9a-f]{40} 127\.0\.0\.1:7001@\d+ myself,master - 0 0 3 connected 0-16383\n[0-9a-f]{40} 127\.0\.0\.1:7002@\d+ slave /,
      )
      expect(plain(await client.send("CLUSTER", "INFO"))).toMatch(/cluster_state:ok/)
      expect(plain(await client.send("CLUSTER", "SHARDS"))).toHaveLength(1)
      await says(client, "CLUSTER KEYSLOT a", 15_495)
      expect(String(plain(await client.send("CLUSTER", "MYID")))).toHaveLength(40)
    }))

  test("is sent to the leader, unless it takes stale reads", () =>
    withClient(
      { id: "n2" },
      async (client) => {
        await says(client, "GET {foo}x", "-MOVED 12182 127.0.0.1:7001")
        await says(client, "SET foo 1", "-MOVED 12182 127.0.0.1:7001")
        await says(client, "PING", "PONG")
        await says(client, "MULTI", "OK")
        await says(client, "SET foo 1", "-MOVED 12182 127.0.0.1:7001")
        await says(client, "EXEC", "-EXECABORT Transaction discarded because of previous errors.")
        await says(client, `STEPRAFT DO ${key} 1 1 INCR foo`, "-MOVED 12182 127.0.0.1:7001")
        await says(client, "READONLY", "OK")
        await says(client, "GET foo", null)
        await says(client, "READWRITE", "OK")
        await says(client, "GET foo", "-MOVED 12182 127.0.0.1:7001")
      },
      true,
    ))

  test("without a leader finds no slots", () =>
    withClient({ leader: null }, async (client) => {
      await says(client, "CLUSTER SLOTS", [])
      expect(plain(await client.send("CLUSTER", "INFO"))).toMatch(/cluster_state:fail/)
    }))
})

describe("STEPRAFT", () => {
  test("a client's own session", () => {
    const fake = makeFake()
    return serving(fake, {}, async (port) => {
      const client = await dial(port)
      await says(client, "STEPRAFT SESSION OPEN me", key)
      await says(client, `STEPRAFT DO ${key} 1 1 INCR a`, 1)
      await says(client, "STEPRAFT VERSION a nope", [1, 0])
      await says(client, `STEPRAFT EXEC ${key} 2 2 2 a 1 nope 0 2 INCR a 3 SET b x`, [2, "OK"])
      await says(client, `STEPRAFT EXEC ${key} 3 2 1 a 1 2 INCR a`, null)
      await says(client, `STEPRAFT DO ${key.replace("7", "9")} 1 1 INCR a`, "-SESSIONEXPIRED open another")
      await says(client, `STEPRAFT SESSION CLOSE ${key}`, "OK")
      expect(fake.counts.sessions).toEqual(["7/1/1", "7/2/2", "7/3/2", "9/1/1"])
      client.socket.destroy()
    })
  })

  test("refuses what it cannot make sense of before it reaches the log", () => {
    const fake = makeFake()
    return serving(fake, {}, async (port) => {
      const client = await dial(port)
      const wrong = [
        `STEPRAFT DO ${key} 0 1 INCR a`,
        "STEPRAFT DO x 1 1 INCR a",
        `STEPRAFT DO ${key} 1 1 INCR`,
        `STEPRAFT DO ${key} 1 1 PING`,
        `STEPRAFT DO ${key} 1 1 KEYS *`,
        `STEPRAFT DO ${key} 1 1`,
        `STEPRAFT EXEC ${key} 1 1 0`,
        `STEPRAFT EXEC ${key} 1 1 1 a`,
        `STEPRAFT EXEC ${key} 1 1 0 3 INCR a`,
        `STEPRAFT EXEC ${key} 1 1 0 0`,
        `STEPRAFT EXEC ${key} 1 1 99999999 a 1`,
        "STEPRAFT SESSION",
        "STEPRAFT SESSION CLOSE x",
        "STEPRAFT NOPE",
        // A session is entered with all of its key: a place in the log alone is none.
        "STEPRAFT DO 7 1 1 INCR a",
        "STEPRAFT DO 7- 1 1 INCR a",
        `STEPRAFT DO ${key}0 1 1 INCR a`,
        `STEPRAFT DO ${key.slice(0, -1)} 1 1 INCR a`,
        "STEPRAFT EXEC 7 1 1 0 2 INCR a",
        "STEPRAFT SESSION CLOSE 7",
      ]
      for (const words of wrong) expect(plain(await client.send(...words.split(" ")))).toMatch(/^-ERR/)
      expect(fake.counts.writes).toBe(0)
      client.socket.destroy()
    })
  })

  test("numbers that the log cannot carry are refused, at every place", () => {
    const fake = makeFake()
    return serving(fake, {}, async (port) => {
      const client = await dial(port)
      const secret = key.slice(2)
      for (const number of [
        2 ** 48,
        2 ** 48 + 1,
        2 ** 53 - 1,
        2 ** 53,
        2 ** 53 + 2,
        1e16,
        "1e16",
        "18446744073709551616",
        -1,
        "NaN",
        "Infinity",
        "0x10",
        "1.5",
        "",
        "9".repeat(400),
      ]) {
        const places = [
          ["DO", `${number}-${secret}`, 1, 1, "INCR", "a"],
          ["DO", key, number, 1, "INCR", "a"],
          ["DO", key, 1, number, "INCR", "a"],
          ["EXEC", `${number}-${secret}`, 1, 1, 0, 2, "INCR", "a"],
          ["EXEC", key, number, 1, 0, 2, "INCR", "a"],
          ["EXEC", key, 1, number, 0, 2, "INCR", "a"],
          ["EXEC", key, 1, 1, number, 2, "INCR", "a"],
          ["EXEC", key, 1, 1, 1, "a", number, 2, "INCR", "a"],
          ["EXEC", key, 1, 1, 0, number, "INCR", "a"],
          ["SESSION", "CLOSE", `${number}-${secret}`],
        ]
        for (const words of places)
          expect(plain(await client.send("STEPRAFT", ...words.map(String))), words.join(" ")).toMatch(/^-ERR/)
      }
      await says(client, `STEPRAFT DO ${key} ${2 ** 48 - 1} ${2 ** 48 - 1} INCR a`, 1)
      expect(fake.counts.writes).toBe(1)
      client.socket.destroy()
    })
  })

  test("STATUS is the node's, as JSON", () =>
    withClient({}, async (client) => {
      expect(JSON.parse(String(plain(await client.send("STEPRAFT", "STATUS"))))).toMatchObject({
        id: "n1",
        role: "leader",
        peers: [{ id: "n2" }],
      })
    }))
})
