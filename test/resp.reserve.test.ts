/** A full server: who still gets in, what he may do, and who must make room. */
import { afterEach, describe, expect, test, vi } from "vitest"
import { placesFor } from "../kv/node/descriptors.ts"
import { isAdministrative, Reserve } from "../kv/server/limits/reserve.ts"
import { Table } from "../kv/server/commands/table.ts"
import { until } from "./cluster.ts"
import { dial, plain, serving, type Raw } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"

const words = (text: string): Buffer[] => text.split(" ").map((word) => Buffer.from(word))

describe("a full server", () => {
  test("answers those who look after it, and tells everybody else what is the matter", () =>
    serving(makeFake(), { limits: { maxClients: 2 } }, async (port, server) => {
      const full = [await dial(port), await dial(port)]
      for (const client of full) await client.send("PING")
      const admin = await dial(port)
      expect(plain(await admin.send("STEPRAFT", "STATUS"))).toContain('"id"')
      expect(plain(await admin.send("INFO", "clients"))).toContain("maxclients:2")
      expect(plain(await admin.send("CONFIG", "GET", "maxclients"))).toEqual(["maxclients", "2"])
      const other = await dial(port)
      other.write("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")
      expect(await other.ended).toMatch(/^-ERR max number of clients reached: .*CLIENT KILL/)
      // Room is made, and is there for an ordinary client.
      const lines = String(plain(await admin.send("CLIENT", "LIST"))).split("\n")
      const first = /^id=(\d+) /.exec(lines[0] ?? "")?.[1] ?? ""
      expect(plain(await admin.send("CLIENT", "KILL", "ID", first))).toBe(1)
      await until("there is room", () => server.connections() === 2)
      expect(plain(await (await dial(port)).send("SET", "a", "1"))).toBe("OK")
    }))

  test("nothing that uses the store is administrative", () => {
    const table = new Table()
    const administrative = (text: string): boolean =>
      isAdministrative(table.find(Buffer.from(text.split(" ")[0] ?? "")), words(text))
    expect(
      ["STEPRAFT STATUS", "info", "PING", "CLIENT KILL ID 1", "config get *", "HELLO 3", "CLIENT LIST"].filter(
        (text) => !administrative(text),
      ),
    ).toEqual([])
    for (const { name, does } of table.all) if (typeof does === "string") expect(administrative(name)).toBe(false)
    expect(
      [
        "MULTI",
        "WATCH a",
        "STEPRAFT DO 1 1 1 GET a",
        "STEPRAFT SESSION OPEN x",
        "STEPRAFT EXEC 1 1 1 0",
        "CLIENT REPLY OFF",
        "nothing",
      ].filter(administrative),
    ).toEqual([])
  })

  test("a place of the reserve is sure for a quarter of a second, then it may be another's; others' places are not this machine's", () => {
    const ended: string[] = []
    const reserve = new Reserve(4)
    const take = (name: string, now: number, local: boolean) => reserve.take(now, local, () => void ended.push(name))
    expect(take("a", 0, true)).not.toBeNull()
    const giveBack = take("b", 10, true)
    expect(take("c", 200, true)).toBeNull()
    expect(take("far 1", 200, false)).not.toBeNull()
    expect(take("far 2", 200, false)).not.toBeNull()
    expect(take("far 3", 300, false)).toBeNull()
    expect(ended).toEqual([])
    expect(take("c", 250, true)).not.toBeNull()
    expect(ended).toEqual(["a"])
    giveBack?.()
    expect(take("d", 251, true)).not.toBeNull()
    expect(ended).toEqual(["a"])
  })

  test("whoever comes and goes leaves its place behind", () =>
    serving(makeFake(), { limits: { maxClients: 1 } }, async (port, server) => {
      const first = await dial(port)
      await first.send("PING")
      for (let round = 0; round < 20; round++) {
        const admin = await dial(port)
        expect(plain(await admin.send("PING"))).toBe("PONG")
        admin.socket.destroy()
        await until("it is gone", () => server.connections() === 1)
      }
      first.socket.destroy()
      await until("all are gone", () => server.connections() === 0)
      expect(plain(await (await dial(port)).send("SET", "a", "1"))).toBe("OK")
    }))
})

describe("clients that ask nothing", () => {
  // The server's looks are the test's to give.
  const withLooks = (): void => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
  const look = (): void => void vi.advanceTimersByTime(100)
  afterEach(() => vi.useRealTimers())

  test("are disconnected after the time-out, and no sooner; whoever asks, or waits for an answer, stays", async () => {
    let now = 0
    withLooks()
    const fake = makeFake()
    const waiting: (() => void)[] = []
    const service = {
      ...fake,
      write: (...call: Parameters<typeof fake.write>) => void waiting.push(() => fake.write(...call)),
    }
    await serving(service, { limits: { idleMs: 1000 }, now: () => now }, async (port, server) => {
      const gone: string[] = []
      const clients = new Map<string, Raw>()
      for (const name of ["silent", "asking", "waiting"]) {
        const client = await dial(port)
        await client.send("PING")
        void client.ended.then(() => gone.push(name))
        clients.set(name, client)
      }
      clients.get("waiting")?.write("SET a 1\r\n")
      await until("the write is under way", () => waiting.length === 1)
      now = 900
      await clients.get("asking")?.send("PING")
      look()
      expect(server.connections()).toBe(3)
      now = 1500
      look()
      await until("one is gone", () => gone.length > 0)
      look()
      expect([gone, server.connections()]).toEqual([["silent"], 2])
      expect(server.stats().idle).toBe(1)
      for (const answer of waiting) answer()
      // Its own time starts with the answer.
      await until("it is answered", () => clients.get("waiting")?.received().includes("+OK") === true)
      now = 2600
      look()
      await until("all are gone", () => server.connections() === 0)
    })
  })

  test("stay for ever without it", () => {
    withLooks()
    return serving(makeFake(), { now: () => 1e12 }, async (port, server) => {
      const client = await dial(port)
      expect(plain(await client.send("CONFIG", "GET", "timeout"))).toEqual(["timeout", "0"])
      look()
      expect(server.connections()).toBe(1)
      client.socket.destroy()
    })
  })

  test("CONFIG GET timeout tells it in seconds", () =>
    serving(makeFake(), { limits: { idleMs: 90_000 } }, async (port) => {
      const client = await dial(port)
      expect(plain(await client.send("CONFIG", "GET", "timeout"))).toEqual(["timeout", "90"])
      client.socket.destroy()
    }))
})

test("clients get the descriptors that storage and peers cannot need, and a person learns why they are fewer", () => {
  const plain = { peers: 4, peersTls: false, http: false, handshakes: 0, reserved: 16 }
  const secured = { ...plain, peersTls: true, http: true, handshakes: 1024 }
  for (const doors of [plain, secured]) {
    const all = { clients: 10_000, handshakes: doors.handshakes, advice: null }
    expect(placesFor(null, doors, 10_000)).toEqual(all)
    expect(placesFor(20_000, doors, 10_000)).toEqual(all)
    const strangers = doors === plain ? 64 : 64 + 64 + 64
    for (const limit of [512, 1024, 4096, 11_000]) {
      const { clients, handshakes, advice } = placesFor(limit, doors, 10_000)
      // Handshakes are no clients yet, and whoever begins them is nobody.
      expect(limit - clients - handshakes).toBeGreaterThanOrEqual(112 + strangers + 16 + 16)
      expect(handshakes).toBeLessThanOrEqual(clients)
      if (doors === secured || limit < 10_000) expect(advice).toContain(`${limit} file descriptors`)
      if (advice !== null) expect(advice).toContain("ulimit -n")
    }
  }
  expect(placesFor(100, plain, 10_000)).toMatchObject({ clients: 16, advice: expect.stringContaining("too few") })
})

describe("CLIENT KILL", () => {
  test("by filters that all fit, by address, and itself only if asked", () =>
    serving(makeFake(), {}, async (port, server) => {
      const [one, two, self] = [await dial(port), await dial(port), await dial(port)]
      const address = (client: Raw): string => `127.0.0.1:${client.socket.localPort}`
      for (const client of [one, two, self]) await client.send("PING")
      expect(plain(await self.send("CLIENT", "KILL", "ADDR", address(one), "USER", "nobody"))).toBe(
        "-ERR No such user 'nobody'",
      )
      expect(plain(await self.send("CLIENT", "KILL", "ADDR", address(one), "USER", "default"))).toBe(1)
      await one.ended
      expect(plain(await self.send("CLIENT", "KILL", address(two)))).toBe("OK")
      await two.ended
      expect(plain(await self.send("CLIENT", "KILL", address(two)))).toBe("-ERR No such client")
      expect(plain(await self.send("CLIENT", "KILL", "ADDR", address(self)))).toBe(0)
      for (const wrong of [
        ["ID"],
        ["ID", "x"],
        ["ID", "0"],
        ["ID", "-1"],
        ["ADDR", "a", "ID"],
        ["SKIPME", "maybe"],
        ["COLOUR", "red"],
      ])
        expect(plain(await self.send("CLIENT", "KILL", ...wrong))).toMatch(/^-ERR/)
      expect(plain(await self.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"))).toBe(1)
      await self.ended
      await until("all are gone", () => server.connections() === 0)
    }))
})
