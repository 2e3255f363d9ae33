import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { makeServer } from "../kv/server/index.ts"
import type { Reply } from "../kv/types.ts"
import { until as inTime } from "./cluster.ts"
import { dial, exchange, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { quiet } from "./waiting.ts"

const until = (what: () => boolean): Promise<unknown> => inTime("what the test waits for", what)

test("a port in use is an error that says so", async () => {
  await serving(makeFake(), {}, async (port) => {
    const failure = await Effect.runPromise(
      Effect.flip(Effect.scoped(makeServer({ host: "127.0.0.1", port, service: makeFake() }))),
    )
    expect(failure).toMatchObject({
      _tag: "ClientPortUnavailable",
      reason: "address in use",
      message: `another process listens on 127.0.0.1:${port}: stop it, or choose another port`,
    })
  })
})

test("a connection with too much under way is not read from until it is answered, and loses nothing", async () => {
  const held: ((reply: Reply) => void)[] = []
  const fake = {
    ...makeFake(),
    write: (_: unknown, __: unknown, ___: unknown, done: (reply: Reply) => void) => void held.push(done),
  }
  await serving(fake, { limits: { pipelinedCommands: 100 } }, async (port, server) => {
    const client = await dial(port)
    const other = await dial(port)
    const sent = 300_000
    client.write("INCR a\r\n".repeat(sent))
    await until(() => held.length === 100)
    await quiet(other)
    expect(held).toHaveLength(100)
    expect(server.stats().netInput).toBeLessThan(1_000_000)
    expect(plain(await other.send("PING"))).toBe("PONG")
    let value = 0
    while (value < sent) {
      const batch = held.splice(0)
      for (const done of batch) done({ type: "integer", value: ++value })
      await new Promise((next) => setImmediate(next))
    }
    client.socket.end()
    const lines = (await client.ended).split("\r\n")
    expect(lines.length - 1).toBe(sent)
    expect(lines.at(-2)).toBe(`:${sent}`)
    other.socket.destroy()
  })
})

const unread = "reads are not executed for a client that does not take their replies, and all arrive once it does"
test.each([
  // Too long to be read at once, and short enough for it.
  { consistency: "LINEARIZABLE", bytes: 1_000_000 },
  { consistency: "LINEARIZABLE", bytes: 200_000 },
  { consistency: "LOCAL", bytes: 1_000_000 },
  { consistency: "LOCAL", bytes: 200_000 },
])(`${unread}: $consistency, $bytes bytes`, async ({ consistency, bytes }) => {
  const count = 100_000_000 / bytes
  const fake = makeFake()
  await serving(fake, { limits: { softOutputBytes: 2_000_000 } }, async (port) => {
    const client = await dial(port)
    const other = await dial(port)
    await client.send("SET", "a", "x".repeat(bytes))
    await client.send("CLIENT", "CONSISTENCY", consistency)
    client.socket.pause()
    const before = fake.counts.reads
    client.write("GET a\r\n".repeat(count))
    await until(() => fake.counts.reads > before)
    await quiet(other)
    expect(fake.counts.reads - before).toBeLessThan(0.3 * count)
    other.socket.destroy()
    client.socket.resume()
    client.socket.end()
    expect((await client.ended).length).toBeGreaterThan(100_000_000)
    expect(fake.counts.reads - before).toBe(count)
  })
})

test("a client that takes nothing while its replies pile up is cut off", async () => {
  const logged: string[] = []
  await serving(
    makeFake(),
    { limits: { softOutputBytes: 8_000_000, hardOutputBytes: 4_000_000 }, log: (message) => logged.push(message) },
    async (port, server) => {
      const client = await dial(port)
      await client.send("SET", "a", "x".repeat(1_000_000))
      client.socket.pause()
      client.write("GET a\r\n".repeat(200))
      await until(() => server.stats().cutOff === 1)
      expect(logged[0]).toMatch(/cut off: \d+ bytes of replies not read/)
      await until(() => server.connections() === 0)
      client.socket.destroy()
    },
  )
})

test("closing answers what is under way and leaves nobody connected", async () => {
  const fake = makeFake({ delay: () => 5 })
  const start = performance.now()
  let answer: Promise<string> = Promise.resolve("")
  let idle: Promise<string> = Promise.resolve("")
  await serving(fake, { limits: { closeGraceMs: 20_000 } }, async (port) => {
    const [one, two] = [await dial(port), await dial(port)]
    answer = one.ended
    idle = two.ended
    one.write("SET a 1\r\nGET a\r\n")
    await until(() => fake.counts.writes === 1)
  })
  expect(await answer).toBe("+OK\r\n$1\r\n1\r\n")
  expect(await idle).toBe("")
  expect(performance.now() - start).toBeLessThan(10_000)
})

test("a client that ends its side after a long pipeline still gets all of its answers", () =>
  serving(makeFake({ delay: () => 0 }), { limits: { pipelinedCommands: 3 } }, async (port) => {
    expect(await exchange(port, "INCR a\r\n".repeat(200))).toBe(
      Array.from({ length: 200 }, (_, at) => `:${at + 1}\r\n`).join(""),
    )
  }))

test("closing does not wait for ever for a service that does not answer", async () => {
  const start = performance.now()
  let asked = false
  await serving({ ...makeFake(), write: () => void (asked = true) }, {}, async (port) => {
    const client = await dial(port)
    client.socket.on("error", () => {})
    client.write("SET a 1\r\n")
    await until(() => asked)
  })
  expect(performance.now() - start).toBeLessThan(2000)
})

test("no more than so many clients", () =>
  serving(makeFake(), { limits: { maxClients: 1, reservedClients: 0 } }, async (port, server) => {
    const first = await dial(port)
    expect(plain(await first.send("PING"))).toBe("PONG")
    expect(await (await dial(port)).ended).toMatch(
      /^-ERR max number of clients reached: this node serves 1\. [^\r]*\r\n$/,
    )
    first.socket.destroy()
    await until(() => server.connections() === 0)
    expect(await exchange(port, "PING\r\n")).toBe("+PONG\r\n")
  }))

test("many clients at once each get their own", () =>
  serving(makeFake({ delay: () => 0 }), {}, async (port) => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => dial(port)))
    await Promise.all(
      clients.map(async (client, at) => {
        for (let round = 1; round <= 10; round++) {
          expect(plain(await client.send("APPEND", `k${at}`, "x"))).toBe(round)
          expect(plain(await client.send("STRLEN", `k${at}`))).toBe(round)
        }
        client.socket.destroy()
      }),
    )
  }))

test("a broken read is an error to its client and no more", () => {
  const fake = makeFake()
  const reader = {
    ...fake.reader,
    read: (): Reply => {
      throw new Error("disk on fire")
    },
  }
  const logged: string[] = []
  return serving({ ...fake, reader }, { log: (message) => logged.push(message) }, async (port) => {
    expect(await exchange(port, "GET a\r\nPING\r\n")).toBe("-ERR internal error\r\n+PONG\r\n")
    expect(logged[0]).toMatch(/disk on fire/)
  })
})
