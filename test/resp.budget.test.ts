/** The memory of all clients together: who is refused, who is closed, and who never notices. */
import { describe, expect, test } from "vitest"
import { Budget, type Account } from "../kv/server/limits/budget.ts"
import type { Limits, RespServer } from "../kv/server/index.ts"
import type { Reply, Service } from "../kv/types.ts"
import { until as inTime } from "./cluster.ts"
import { dial, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { codeOf, FakeWorld } from "./service.fake.ts"

const until = (what: () => boolean | Promise<boolean>): Promise<unknown> => inTime("what the test waits for", what)
const MB = 1_000_000

interface World {
  readonly port: number
  readonly server: RespServer
  readonly logged: string[]
  readonly polite: Raw
  /** A number of INFO's section about memory. */
  readonly info: (name: string) => Promise<number>
}
/** A server with little memory for clients, and one client with little under way, who must be served all the while. */
const world = (
  limits: Partial<Limits>,
  use: (at: World) => Promise<void>,
  service: Service = makeFake(),
): Promise<void> => {
  const logged: string[] = []
  return serving(
    service,
    { limits: { memoryBytes: 10 * MB, ...limits }, log: (message) => logged.push(message) },
    async (port, server) => {
      const polite = await dial(port)
      const info = async (name: string): Promise<number> =>
        Number(new RegExp(`${name}:(\\d+)`).exec(String(plain(await polite.send("INFO", "memory"))))?.[1])
      await use({ port, server, logged, polite, info })
      expect(plain(await polite.send("SET", "polite", "1"))).toBe("OK")
      expect(plain(await polite.send("GET", "polite"))).toBe("1")
      polite.socket.destroy()
    },
  )
}
const words = (...given: readonly string[]): string =>
  `*${given.length}\r\n${given.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`

describe("the budget", () => {
  const account = (name: string, closed: string[], nameless = false): Account & { closed: boolean } => {
    const it = {
      weight: 0,
      closed: false,
      nameless,
      evict: () => {
        closed.push(name)
        it.closed = true
        budget.weigh(it, 0)
      },
    }
    budget.open(it)
    return it
  }
  let budget = new Budget(100)

  test("closes the largest first, and no more than it takes", async () => {
    budget = new Budget(100)
    const closed: string[] = []
    for (const [name, weight] of [
      ["a", 10],
      ["b", 60],
      ["c", 40],
      ["d", 30],
    ] as const)
      budget.weigh(account(name, closed), weight)
    await Promise.resolve()
    expect(closed).toEqual(["b"])
    expect(budget).toMatchObject({ used: 80, evicted: 1, tight: false, room: 8 })
    budget.weigh(account("e", closed), 15)
    await Promise.resolve()
    expect(closed).toEqual(["b"])
    expect(budget).toMatchObject({ used: 95, tight: true, room: 0 })
    // However little it holds, whoever has not logged in goes first.
    budget.weigh(account("nobody", closed, true), 10)
    await Promise.resolve()
    expect(closed).toEqual(["b", "nobody"])
  })
})

describe("clients beyond their share", () => {
  test("half-sent requests: those that hold most are closed, by name", () =>
    world({}, async ({ port, server, logged, info }) => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => dial(port)))
      for (const { socket, write } of clients) {
        socket.on("error", () => {})
        write(`*2\r\n$3\r\nGET\r\n$${3 * MB}\r\n${"x".repeat(2 * MB)}`)
      }
      await until(async () => (await info("clients_closed_for_memory")) >= 3)
      expect(await info("used_memory_clients")).toBeLessThanOrEqual(10 * MB)
      expect(logged[0]).toMatch(
        /^client \d+ at [^ ]+ cut off: it holds \d+ bytes, the most of all, and all clients together hold \d+ of the 10000000 that they may$/,
      )
      expect(server.connections()).toBeGreaterThanOrEqual(4)
      for (const { socket } of clients) socket.destroy()
      await until(async () => (await info("used_memory_clients")) < 200_000)
    }))

  test("empty arguments count as the objects that they become, and there is a bound for one request", () =>
    world({}, async ({ port, info }) => {
      const client = await dial(port)
      client.write(`*100000\r\n${"$0\r\n\r\n".repeat(50_000)}`)
      await until(async () => (await info("used_memory_clients")) > 5 * MB)
      client.socket.destroy()
      const other = await dial(port)
      other.write("*131073\r\n")
      expect(await other.ended).toMatch(/^-ERR Protocol error: invalid multibulk length/)
    }))

  test("what MULTI holds counts, with what came beside it and was refused", () =>
    world({}, async ({ port, info }) => {
      const client = await dial(port)
      const before = await info("used_memory_clients")
      await client.send("MULTI")
      for (let round = 0; round < 20; round++) {
        await client.send("SET", "a", "1")
        await client.send("WATCH", "x".repeat(50_000))
      }
      expect((await info("used_memory_clients")) - before).toBeGreaterThan(20 * 50_000)
      await client.send("DISCARD")
      expect((await info("used_memory_clients")) - before).toBeLessThan(20_000)
      client.socket.destroy()
    }))

  test("values that nobody takes: refused by name when there is no room, and the clients that have taken little go on", () =>
    world(
      { pressedMs: 1e9 },
      async ({ port, server, logged, polite, info }) => {
        await polite.send("SET", "big", "x".repeat(MB))
        const idle = await Promise.all(Array.from({ length: 30 }, () => dial(port)))
        for (const { socket, write } of idle) {
          socket.on("error", () => {})
          socket.pause()
          write("GET big\r\n".repeat(10))
        }
        await until(async () => (await info("commands_refused_for_memory")) > 20)
        expect(await info("used_memory_clients")).toBeLessThanOrEqual(10 * MB)
        // Refusing was enough.
        expect(logged).toEqual([])
        for (const { socket } of idle) socket.resetAndDestroy()
        await until(() => server.connections() === 1)
        await until(async () => (await info("used_memory_clients")) < 200_000)
        expect(await polite.send("GET", "big")).toMatchObject({ type: "bulk" })
      },
      sized(),
    ))

  test("large requests are refused by name while there is little room, and change nothing; small ones are not", () =>
    world({}, async ({ port, polite, info }) => {
      const holder = await dial(port)
      holder.write(`*2\r\n$3\r\nGET\r\n$8000000\r\n${"x".repeat(5 * MB)}`)
      const other = await dial(port)
      other.write(`*2\r\n$3\r\nGET\r\n$8000000\r\n${"x".repeat(4 * MB)}`)
      await until(async () => (await info("used_memory_clients")) > 8.9 * MB)
      expect(plain(await polite.send("SET", "a", "x".repeat(100_000)))).toMatch(
        /^-BUSY the request is large, .* Nothing was executed: try again later\.$/,
      )
      expect(plain(await polite.send("SET", "a", "y"))).toBe("OK")
      expect(plain(await polite.send("GET", "a"))).toBe("y")
      holder.socket.destroy()
      other.socket.destroy()
    }))

  test("replies of writes are not made faster than they are taken", () => {
    const fake = makeFake({ delay: () => 0 })
    let most = 0
    let waiting = 0
    const write: Service["write"] = (calls, exec, watches, done) => {
      most = Math.max(most, ++waiting)
      fake.write(calls, exec, watches, (reply) => {
        waiting--
        done(reply)
      })
    }
    return world(
      { softOutputBytes: 4 * MB, hardOutputBytes: 6 * MB, memoryBytes: 100 * MB },
      async ({ port, polite, server }) => {
        await polite.send("SET", "big", "x".repeat(MB))
        const client = await dial(port)
        client.write("GETEX big\r\n".repeat(60))
        client.socket.end()
        expect((await client.ended).length).toBeGreaterThan(60 * MB)
        expect(server.stats().cutOff).toBe(0)
        expect(most).toBeLessThanOrEqual(4)
        // Small replies are not held back.
        await polite.send("SET", "small", "x")
        most = 0
        const fast = await dial(port)
        fast.write("GETEX small\r\n".repeat(3000))
        fast.socket.end()
        expect((await fast.ended).length).toBe(3000 * 7)
        expect(most).toBeGreaterThan(500)
      },
      { ...fake, write },
    )
  })

  test("writes that the service still holds count when their client has gone", () => {
    const held: ((reply: Reply) => void)[] = []
    const service: Service = {
      ...makeFake(),
      write: (calls, _, __, done) =>
        calls[0]?.[1]?.length === 1 ? void held.push(done) : queueMicrotask(() => done({ type: "simple", text: "OK" })),
    }
    return world(
      {},
      async ({ port, info, server }) => {
        const client = await dial(port)
        client.write(`${words("SET", "k", "x".repeat(MB))}${words("SET", "k", "x".repeat(MB))}`)
        await until(() => held.length === 2)
        // A reset: after a mere end the answers would still be due.
        client.socket.resetAndDestroy()
        await until(() => server.connections() === 1)
        expect(await info("used_memory_clients")).toBeGreaterThan(2 * MB)
        for (const done of held) done({ type: "simple", text: "OK" })
        expect(await info("used_memory_clients")).toBeLessThan(100_000)
      },
      { ...service, reader: { ...service.reader, read: () => ({ type: "bulk", bytes: Buffer.from("1") }) } },
    )
  })
})

test("commands that wait in the service count as the words that they hold, not only as their bytes", () => {
  const world = new FakeWorld()
  const refusals: (Reply | undefined)[] = []
  // 50,000 words of a byte each: 100 kB in the log, 3 MB in memory. Nobody leads, so they wait.
  const many = Array.from({ length: 50_000 }, () => Buffer.from("x"))
  for (let at = 0; at < 200; at++)
    world.service.write([[Buffer.from("DEL"), ...many]], false, [], (reply) => refusals.push(reply))
  return Promise.resolve().then(() => {
    expect(world.service.counters()["service.waiting"]).toBeLessThan(25)
    expect(refusals.length).toBeGreaterThan(175)
    expect(refusals.every((reply) => codeOf(reply) === "BUSY")).toBe(true)
    world.end()
  })
})

test("EXEC counts as what it executes, until that is answered", () => {
  const held: ((reply: Reply) => void)[] = []
  const service: Service = {
    ...makeFake(),
    write: (_, exec, __, done) =>
      exec ? void held.push(done) : queueMicrotask(() => done({ type: "simple", text: "OK" })),
  }
  return world(
    {},
    async ({ port, info }) => {
      const client = await dial(port)
      client.write(`MULTI\r\n${words("SET", "k", "x".repeat(2 * MB))}EXEC\r\n`)
      await until(() => held.length === 1)
      expect(await info("used_memory_clients")).toBeGreaterThan(2 * MB)
      for (const done of held) done({ type: "array", items: [] })
      await until(async () => (await info("used_memory_clients")) < 100_000)
      client.socket.destroy()
    },
    { ...service, reader: { ...service.reader, read: () => ({ type: "bulk", bytes: Buffer.from("1") }) } },
  )
})

describe("bounds of one client", () => {
  test("MULTI holds so many commands, and EXEC then discards all", () =>
    world({ maxQueued: 10 }, async ({ port }) => {
      const client = await dial(port)
      await client.send("MULTI")
      for (let at = 0; at < 10; at++)
        expect(plain(await client.send(at % 2 === 0 ? "PING" : "INCR", ...(at % 2 === 0 ? [] : ["n"])))).toBe("QUEUED")
      expect(plain(await client.send("PING"))).toBe("-TOOLARGE Transaction has more than 10 commands")
      expect(plain(await client.send("EXEC"))).toMatch(/^-EXECABORT/)
      expect(plain(await client.send("GET", "n"))).toBeNull()
      client.socket.destroy()
    }))

  test("commands with long answers of the server's own are no part of a transaction", () =>
    world({}, async ({ port }) => {
      const client = await dial(port)
      for (const name of ["COMMAND", "INFO", "CONFIG GET *", "CLUSTER SLOTS"]) {
        await client.send("MULTI")
        expect(plain(await client.send(...name.split(" ")))).toBe(
          `-ERR ${name.split(" ")[0] ?? ""} inside MULTI is not allowed`,
        )
        expect(plain(await client.send("EXEC"))).toMatch(/^-EXECABORT/)
      }
      client.socket.destroy()
    }))

  test("a client watches so many keys; the same key again is none more, and what was refused discards the transaction", () =>
    world({ maxWatched: 100 }, async ({ port }) => {
      const client = await dial(port)
      const keys = Array.from({ length: 100 }, (_, at) => `k${at}`)
      for (const each of [keys, keys, keys.slice(0, 50)]) expect(plain(await client.send("WATCH", ...each))).toBe("OK")
      expect(plain(await client.send("WATCH", "one more"))).toMatch(
        /^-TOOLARGE WATCH: this client already watches 100 keys, the most that it may/,
      )
      await client.send("MULTI")
      expect(plain(await client.send("EXEC"))).toMatch(/^-EXECABORT/)
      expect(plain(await client.send("WATCH", ...keys, "one more"))).toMatch(
        /^-TOOLARGE WATCH of 101 keys: a client may watch 100/,
      )
      await client.send("MULTI")
      expect(plain(await client.send("EXEC"))).toMatch(/^-EXECABORT/)
      await client.send("UNWATCH")
      expect(plain(await client.send("WATCH", ...keys))).toBe("OK")
      await client.send("MULTI")
      expect(plain(await client.send("EXEC"))).toEqual([])
      client.socket.destroy()
    }))
})

/** A service whose reader refuses what is larger than it is allowed, as the state machine does. */
function sized(): Service {
  const fake = makeFake()
  const read: Service["reader"]["read"] = (call, most = 1e9) => {
    const reply = fake.direct(call)
    return reply.type === "bulk" && reply.bytes.length > most
      ? { type: "error", code: "TOOLARGE", text: "the reply is larger" }
      : reply
  }
  return { ...fake, reader: { ...fake.reader, read } }
}
