/** Whatever goes wrong while one client's command is handled ends that command, at worst that connection: never the node. */
import { describe, expect, test } from "vitest"
import { encodeRequest } from "../kv/client/resp.ts"
import { Faults } from "../kv/faults.ts"
import { encodeCommand } from "../kv/machine/command.ts"
import { KeyspaceCounter } from "../kv/server/keyspaceCounter.ts"
import { Budget } from "../kv/server/limits/budget.ts"
import { newClient } from "../kv/server/client.ts"
import { enqueue } from "../kv/server/commands/transaction.ts"
import { newStats, type Host } from "../kv/server/contract.ts"
import { defaultLimits } from "../kv/server/limits/limits.ts"
import { Table } from "../kv/server/commands/table.ts"
import { Usage } from "../kv/server/usage.ts"
import { serverCommand } from "../kv/server/words.ts"
import type { Reply, Service } from "../kv/types.ts"
import { dial, exchange, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { call, FakeWorld } from "./service.fake.ts"

const broken = (): never => {
  throw new Error("seeded")
}
/** No Reply at all: what encodes it throws. */
const unspeakable = { type: "bulk", bytes: undefined } as unknown as Reply

/** The uncaught exceptions of this process while `use` runs: each would have been the end of a node. */
const watched = async (use: () => Promise<void>): Promise<readonly unknown[]> => {
  const before = process.listeners("uncaughtException")
  const rejected = process.listeners("unhandledRejection")
  const seen: unknown[] = []
  const note = (thrown: unknown): void => void seen.push(thrown)
  process.removeAllListeners("uncaughtException").on("uncaughtException", note)
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", note)
  try {
    await use()
    await new Promise((next) => setImmediate(next))
  } finally {
    process.removeAllListeners("uncaughtException").removeAllListeners("unhandledRejection")
    for (const listener of before) process.on("uncaughtException", listener)
    for (const listener of rejected) process.on("unhandledRejection", listener)
  }
  return seen
}

/** The pipeline is answered in full, or the connection ends; another client is served as before. */
const survives = async (service: Service, pipeline: string, expected: string | RegExp): Promise<void> => {
  const logged: string[] = []
  const thrown = await watched(() =>
    serving(service, { log: (message) => logged.push(message) }, async (port) => {
      const other = await dial(port)
      const answer = await exchange(port, pipeline)
      if (typeof expected === "string") expect(answer).toBe(expected)
      else expect(answer).toMatch(expected)
      expect(plain(await other.send("ECHO", "still here"))).toBe("still here")
      other.socket.destroy()
    }),
  )
  expect(thrown).toEqual([])
  expect(logged.filter((line) => line.includes("seeded") || line.includes("TypeError"))).toHaveLength(1)
}
const internal = "-ERR internal error\r\n"

describe("an exception", () => {
  test("in a command of the server's own", () =>
    survives(
      {
        ...makeFake(),
        status: (() => {
          let calls = 0
          return () => (calls++ === 0 ? makeFake().status() : broken())
        })(),
      },
      "PING\r\nSTEPRAFT STATUS\r\nCLUSTER NODES\r\nINFO\r\nPING\r\n",
      `+PONG\r\n${internal.repeat(3)}+PONG\r\n`,
    ))

  test("in a read, at once or later", async () => {
    const fake = makeFake()
    await survives(
      { ...fake, reader: { ...fake.reader, read: broken } },
      "GET a\r\nGET a\r\nPING\r\n",
      `${internal}${internal}+PONG\r\n`,
    )
    await survives(
      { ...fake, reader: { ...fake.reader, read: async () => broken() } },
      "GET a\r\nPING\r\n",
      `${internal}+PONG\r\n`,
    )
  })

  test("in a watch: its transaction does not run", async () => {
    const fake = makeFake()
    await survives(
      { ...fake, reader: { ...fake.reader, version: broken } },
      "WATCH a\r\nMULTI\r\nSET a 1\r\nEXEC\r\nPING\r\n",
      /^-ERR internal error\r\n\+OK\r\n\+QUEUED\r\n-EXECABORT [^\r]+\r\n\+PONG\r\n$/,
    )
  })

  test("in what begins a write: the command has an answer, which does not say that nothing was executed", async () => {
    const fake = makeFake()
    const answer = /^-UNKNOWN internal error; whether the command was executed is not known\r\n\+PONG\r\n$/
    await survives({ ...fake, write: broken }, "SET a 1\r\nPING\r\n", answer)
    await survives({ ...fake, openSession: broken }, "STEPRAFT SESSION OPEN me\r\nPING\r\n", answer)
    // It may have begun all the same: an answer that comes after the exception changes nothing any more.
    const late: Service["write"] = (calls, exec, watches, done) => {
      fake.write(calls, exec, watches, done)
      broken()
    }
    await survives(
      { ...fake, write: late },
      "SET a 1\r\nGET a\r\n",
      /^-UNKNOWN internal error; [^\r]+\r\n\$1\r\n1\r\n$/,
    )
  })

  test("in a transaction's own commands: that place says so, the rest is there", async () => {
    const fake = makeFake()
    const logged: string[] = []
    const host: Host = {
      service: fake,
      limits: defaultLimits,
      redirect: false,
      table: new Table(),
      stats: newStats(),
      users: null,
      faults: new Faults((line) => logged.push(line)),
      budget: new Budget(1e9),
      self: "n1",
      port: () => 0,
      usage: new Usage(),
      census: new KeyspaceCounter(fake.reader),
      clients: () => [],
      clientCount: () => 0,
      netOutput: () => 0,
      named: () => {},
      kill: () => 0,
    }
    const client = newClient(1, "a", "b", 0)
    const context = { host, client }
    const exec = host.table.find(Buffer.from("exec"))?.does
    const transaction = { calls: [], local: new Map(), bytes: 0, weight: 0, aborted: false, silencing: false }
    client.transaction = transaction
    for (const known of [host.table.find(Buffer.from("set")), serverCommand("boom", 1, broken)])
      if (known !== undefined) enqueue(context, transaction, known, call(known.name, "a", "1"), 10)
    const work = typeof exec === "function" ? exec(context, call("EXEC")) : null
    const reply = await new Promise<Reply>((done) => {
      if (work?.type === "work.write") work.start(done, () => {})
    })
    expect(plain(reply)).toEqual(["OK", "-ERR internal error"])
    expect(logged).toHaveLength(1)
  })

  test("while a reply is encoded: in place of the reply if nothing of it has left, else the connection ends", async () => {
    const fake = makeFake()
    await survives(
      { ...fake, write: (_, __, ___, done) => queueMicrotask(() => done(unspeakable)) },
      "SET a 1\r\nPING\r\n",
      `${internal}+PONG\r\n`,
    )
    await survives(
      { ...fake, write: (_, __, ___, done) => queueMicrotask(() => done({ type: "array", items: [unspeakable] })) },
      "SET a 1\r\nPING\r\n",
      "",
    )
  })

  test("is told once for each place, and counted", async () => {
    const fake = makeFake()
    const logged: string[] = []
    await serving(
      { ...fake, reader: { ...fake.reader, read: broken } },
      { log: (message) => logged.push(message) },
      async (port) => {
        expect(await exchange(port, "GET a\r\n".repeat(50))).toBe(internal.repeat(50))
        expect(await exchange(port, "INFO stats\r\n")).toContain("internal_errors:50\r\n")
      },
    )
    expect(logged).toHaveLength(1)
    expect(logged[0]).toMatch(/seeded\n +at Object.broken/)
  })

  test("in a callback that the service was given ends nothing of the service", async () => {
    const logged: string[] = []
    const world = new FakeWorld({}, undefined, (line) => logged.push(line))
    const got: string[] = []
    const thrown = await watched(async () => {
      world.elect(0, 0)
      world.service.barrier(broken)
      world.service.openSession("x", broken)
      for (const [at, key] of ["a", "b", "c"].entries())
        world.service.write([call("SET", key, "1")], false, [], (reply) =>
          at === 1 ? broken() : void got.push(`${key} ${reply.type}`),
        )
      world.heal(2000)
      for (let turn = 0; turn < 3; turn++) await new Promise((next) => setImmediate(next))
    })
    world.end()
    expect(thrown).toEqual([])
    expect(got).toEqual(["a simple", "c simple"])
    expect(logged.length).toBeGreaterThan(0)
    expect(world.service.counters()["service.faults"]).toBeGreaterThanOrEqual(3)
  })
})

describe("every command, with every edge of every argument", () => {
  const numbers = [
    "-9223372036854775809",
    "-9223372036854775808",
    "-1",
    "0",
    "1",
    "2147483648",
    "4294967296",
    "281474976710655",
    "281474976710656",
    "281474976710657",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "9".repeat(400),
    "NaN",
    "1e3",
    " 1",
    "+1",
    "01",
    "0x10",
    "Infinity",
    "-0",
  ]
  const texts = ["", "\0\xff\r\n", "*", "[", "\\", "%s", "x".repeat(5_000), "GET", "LIMIT", "__proto__", "constructor"]
  const edges = [...numbers, ...texts]
  const key = `7-${"ab".repeat(16)}`
  /** Forms that lead to the inside of a command; the edges take each place of them in turn. */
  const forms = [
    "SET k v EX 10",
    "SET k v PXAT 10 GET",
    "GETEX k EX 10",
    "SCAN 0 MATCH a* COUNT 10 TYPE string",
    "EXPIRE k 10 NX",
    "CAS k a b",
    "MSET a 1 b 2",
    "CLIENT SETNAME n",
    "CLIENT SETINFO lib-name n",
    "CLIENT SETINFO lib-ver n",
    "CLIENT NO-EVICT on",
    "CLIENT CONSISTENCY local",
    "CLIENT LIST",
    "CLIENT INFO",
    "CLIENT GETNAME",
    "CLIENT ID",
    "COMMAND INFO get set",
    "COMMAND GETKEYS set a b",
    "COMMAND LIST FILTERBY pattern g*",
    "COMMAND COUNT",
    "COMMAND DOCS",
    "CONFIG GET a b",
    "CONFIG SET a b",
    "CONFIG RESETSTAT",
    "HELLO 3 AUTH a b SETNAME c",
    "AUTH a b",
    "SELECT 0",
    "CLUSTER KEYSLOT a",
    "CLUSTER COUNTKEYSINSLOT 1",
    "CLUSTER SHARDS",
    "CLUSTER SLOTS",
    "INFO server clients",
    `STEPRAFT DO ${key} 1 1 INCR a`,
    `STEPRAFT EXEC ${key} 1 1 1 a 0 2 INCR a`,
    "STEPRAFT SESSION OPEN o",
    `STEPRAFT SESSION CLOSE ${key}`,
    "STEPRAFT VERSION a b",
    "STEPRAFT STATUS",
    "WATCH a b",
    "ECHO a",
    "PING a",
  ].map((form) => form.split(" "))
  const plainForms = new Table().all.map(({ name, arity }) => [
    name,
    ...Array.from({ length: Math.max(Math.abs(arity) - 1, 3) }, (_, at) => (at === 0 ? "k" : "1")),
  ])
  const silent = (words: readonly string[]): boolean =>
    words[0]?.toLowerCase() === "client" && words[1]?.toLowerCase() === "reply"

  test("has an answer, and the next command too", async () => {
    const fake = makeFake()
    // As the real service does: what the log cannot carry shows here.
    const service: Service = {
      ...fake,
      writeInSession: (session, sequence, lowest, calls, exec, watches, done) => {
        encodeCommand({
          type: "Execute",
          session: session.id,
          secret: session.secret,
          sequence,
          lowest,
          exec,
          watches,
          calls,
        })
        fake.writeInSession(session, sequence, lowest, calls, exec, watches, done)
      },
      closeSession: (session, done) => {
        encodeCommand({ type: "CloseSession", session: session.id, secret: session.secret })
        fake.closeSession(session, done)
      },
    }
    let asked = 0
    const logged: string[] = []
    const thrown = await watched(() =>
      serving(
        service,
        { log: (message) => logged.push(message), limits: { hardOutputBytes: 4 * defaultLimits.hardOutputBytes } },
        async (port) => {
          for (const form of [...forms, ...plainForms]) {
            if (silent(form) || ["quit"].includes(form[0] ?? "")) continue
            const requests = form
              .flatMap((_, place) =>
                place === 0 ? [] : edges.map((edge) => form.map((word, at) => (at === place ? edge : word))),
              )
              .filter((words) => !silent(words))
            asked += requests.length
            const end = encodeRequest(["PING", "end"])
            const pipeline = requests.flatMap((words) => [
              encodeRequest(["RESET"]),
              encodeRequest(words.map((word) => Buffer.from(word, "latin1"))),
              end,
            ])
            const answer = await exchange(port, Buffer.concat(pipeline))
            expect(answer.split("+RESET\r\n").length - 1, form.join(" ")).toBe(requests.length)
            for (const [at, one] of answer.split("+RESET\r\n").slice(1).entries()) {
              // Protocol 3 or an open MULTI may have changed the form of the last answer, never whether it came.
              if (!/^[^]{3,}(\$3\r\nend|\+QUEUED)\r\n$/.test(one))
                expect.fail(`${requests[at]?.join(" ").slice(0, 200)} answered ${JSON.stringify(one.slice(0, 300))}`)
              if (one.includes("internal error"))
                expect.fail(`${requests[at]?.join(" ").slice(0, 200)}: internal error`)
            }
          }
        },
      ),
    )
    expect(thrown).toEqual([])
    expect(logged).toEqual([])
    expect(asked).toBeGreaterThan(5000)
  })
})
