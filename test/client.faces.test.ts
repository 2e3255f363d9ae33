/** The two faces, the decoder, and finding the leader. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { afterEach, describe, expect, test } from "vitest"
import { parseEndpoint, requireEndpoint } from "../kv/client/endpoints.ts"
import { ClientService } from "../kv/client/effect.ts"
import { connect } from "../kv/client/index.ts"
import { encodeRequest, makeDecoder, MalformedReply } from "../kv/client/resp.ts"
import type { Reply } from "../kv/types.ts"
import { type FakeServer, type FakeStore, makeStore, startFake } from "./client.fake.ts"

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean()
})
const fakes = async (store: FakeStore, ...ids: readonly string[]): Promise<readonly FakeServer[]> => {
  const servers = await Promise.all(ids.map((id) => startFake(store, id)))
  cleanups.push(...servers.map(({ close }) => close))
  return servers
}
const address = (server: FakeServer | undefined): string => `127.0.0.1:${server?.port ?? 0}`

describe("the promise face", () => {
  test("strings, bytes, lists, transactions, scans and raw calls", async () => {
    const store = makeStore()
    const [server] = await fakes(store, "n1")
    const client = await connect({ endpoints: address(server) })
    cleanups.unshift(client.close)
    expect(await client.get("a")).toBeNull()
    expect(await client.set("a", "1")).toBe(true)
    expect(await client.get("a")).toBe("1")
    expect(await client.getBuffer("a")).toEqual(Buffer.from("1"))
    expect(await client.mget(["a", "none"])).toEqual(["1", null])
    expect(await client.incr("a", 4)).toBe(5)
    expect(await client.append("a", "x")).toBe(2)
    await expect(client.incr("a")).rejects.toMatchObject({ _tag: "ServerError", code: "ERR" })
    expect(await client.multi().set("b", "2").call("SET", "c", "3").get("a").incr("a").exec()).toEqual([
      "OK",
      "OK",
      "5x",
      expect.objectContaining({ _tag: "ServerError" }),
    ])
    const keys: string[] = []
    for await (const key of client.scan()) keys.push(key)
    expect(keys).toEqual(["a", "b", "c"])
    expect(await client.call("MGET", "b", "c")).toEqual(["2", "3"])
    await expect(client.expire("a", 5)).rejects.toMatchObject({ _tag: "ServerError" })
    await expect(connect({ endpoints: "nonsense" })).rejects.toThrow(/host:port/)
  })
})

describe("the window", () => {
  test("bounds what is under way, and so what is sent again after a break", async () => {
    const store = makeStore()
    const [server] = await fakes(store, "n1")
    const client = await connect({ endpoints: address(server), window: 3 })
    cleanups.unshift(client.close)
    let asked = 0
    let answered = 0
    let most = 0
    store.fate = (words) => {
      if (words[1] === "DO") most = Math.max(most, ++asked - answered)
      return "serve"
    }
    const writes = Array.from({ length: 20 }, (_, i) => client.append("k", `${i};`).then(() => answered++))
    await Promise.all(writes)
    expect(asked).toBe(20)
    expect(most).toBe(3)
  })
})

describe("the Effect face", () => {
  test("a layer gives the service, errors are typed, and the scope closes the session", async () => {
    const store = makeStore()
    const [server] = await fakes(store, "n1")
    const program = Effect.gen(function* () {
      const client = yield* ClientService
      yield* client.set("a", "1")
      const wrong = yield* client.set("b", "x").pipe(
        Effect.andThen(client.incr("b")),
        Effect.catchTag("ServerError", ({ code }) => Effect.succeed(code)),
      )
      const ran = yield* client.multi().incr("a").exec()
      const keys = yield* Stream.runCollect(client.scan())
      return { wrong, ran, keys, sessions: store.sessions.size }
    })
    expect(
      await Effect.runPromise(program.pipe(Effect.provide(ClientService.layer({ endpoints: address(server) })))),
    ).toEqual({ wrong: "ERR", ran: [2], keys: ["a", "b"], sessions: 1 })
    expect(store.sessions.size).toBe(0)
  })

  test("an interrupted command that was never sent is never executed", async () => {
    const store = makeStore()
    const [server] = await fakes(store, "n1")
    const program = Effect.gen(function* () {
      const client = yield* ClientService
      store.fate = (words) => (words[2] === "OPEN" ? { reply: "-NOLEADER\r\n", executed: false } : "serve")
      const out = yield* client.set("a", "1").pipe(Effect.timeoutOption("50 millis"))
      store.fate = () => "serve"
      yield* client.set("a", "2")
      return Option.isNone(out)
    })
    expect(
      await Effect.runPromise(program.pipe(Effect.provide(ClientService.layer({ endpoints: address(server) })))),
    ).toBe(true)
    expect(store.effects).toEqual(["SET a 2"])
  })

  test("a lease is held for as long as its scope; whoever loses the lease is interrupted, and leads again with a greater token", async () => {
    const store = makeStore()
    const [server] = await fakes(store, "n1")
    const led: (readonly [string, number])[] = []
    const program = Effect.gen(function* () {
      const client = yield* ClientService
      const inScope = yield* client.lock("job").pipe(
        Effect.andThen(() => Effect.sync(() => store.leases.has("lease:job"))),
        Effect.scoped,
      )
      const released = !store.leases.has("lease:job")
      const election = client.elect("cron", {
        ttl: 60,
        onLead: (token) =>
          Effect.suspend(() => {
            led.push(["leads", token])
            if (led.length > 1) return Effect.fail("resigns" as const)
            // Somebody else has taken it: the next renewal finds that.
            store.leases.set("lease:cron", { holder: "other", token: 100 })
            return Effect.never.pipe(
              Effect.onInterrupt(() =>
                Effect.sync(() => {
                  led.push(["stops", token])
                  store.leases.delete("lease:cron")
                }),
              ),
            )
          }),
      })
      const end = yield* Effect.flip(election)
      // Interrupted while another one has the lease, it leaves nothing behind.
      store.leases.set("lease:busy", { holder: "other", token: 100 })
      const waited = yield* client.lock("busy").pipe(Effect.scoped, Effect.timeoutOption("30 millis"))
      return { inScope, released, end, waited: Option.isNone(waited) }
    })
    expect(
      await Effect.runPromise(program.pipe(Effect.provide(ClientService.layer({ endpoints: address(server) })))),
    ).toEqual({ inScope: true, released: true, end: "resigns", waited: true })
    expect(led.map(([what]) => what)).toEqual(["leads", "stops", "leads"])
    expect(led[2]?.[1]).toBeGreaterThan(led[0]?.[1] ?? Number.POSITIVE_INFINITY)
    expect([...store.leases.values()].map(({ holder }) => holder)).toEqual(["other"])
    expect(store.sessions.size).toBe(0)
  })
})

describe("finding the leader", () => {
  test("the status of any node leads there, and what it knows of others serves when it is gone", async () => {
    const store = makeStore()
    const [first, second] = await fakes(store, "n1", "n2")
    store.leader = "n2"
    const client = await connect({ endpoints: address(first), backoffMs: [1, 4] })
    cleanups.unshift(client.close)
    expect(client.endpoint().port).toBe(second?.port)
    store.leader = "n1"
    await second?.close()
    await client.set("a", "1")
    expect(client.endpoint().port).toBe(first?.port)
  })

  test("a client that was given one node only leaves it for the others when it serves nothing, as one without its disk", async () => {
    const store = makeStore()
    const [first] = await fakes(store, "n1", "n2", "n3")
    store.fate = (words, id) =>
      id !== "n1" || words[0] === "PING" || words[1] === "STATUS"
        ? "serve"
        : { reply: "-NOLEADER n1 has an empty data directory\r\n", executed: false }
    for (const route of ["any", "leader"] as const) {
      const client = await connect({ endpoints: address(first), route, backoffMs: [1, 4], timeoutMs: 5_000 })
      cleanups.unshift(client.close)
      await client.set("a", route)
      expect(await client.get("a")).toBe(route)
    }
  })

  test("MOVED is followed", async () => {
    const store = makeStore()
    const [first, second] = await fakes(store, "n1", "n2")
    const client = await connect({ endpoints: address(first), route: "any" })
    cleanups.unshift(client.close)
    let moved = false
    store.fate = (words) => {
      if (words[1] !== "DO" || moved) return "serve"
      moved = true
      return { reply: `-MOVED 12 ${address(second)}\r\n`, executed: false }
    }
    await client.set("a", "1")
    expect(client.endpoint().port).toBe(second?.port)
    expect(store.effects).toEqual(["SET a 1"])
  })

  test("endpoints as people write them", () => {
    expect(parseEndpoint("example.org:7001")).toEqual({ host: "example.org", port: 7001 })
    expect(parseEndpoint("[::1]:7001")).toEqual({ host: "::1", port: 7001 })
    expect(parseEndpoint("redis://h:1/")).toEqual({ host: "h", port: 1 })
    expect(parseEndpoint("7001")).toEqual({ host: "127.0.0.1", port: 7001 })
    for (const bad of ["", "h", "h:", "h:0", "h:70000", "h:1:2"]) expect(parseEndpoint(bad)).toBeNull()
  })
})

describe("the decoder", () => {
  const wire =
    "+OK\r\n-ERR bad thing\r\n:12\r\n$5\r\nhe\r\nl\r\n$-1\r\n*-1\r\n*2\r\n*1\r\n:1\r\n$0\r\n\r\n%1\r\n+a\r\n_\r\n>1\r\n+news\r\n#t\r\n,1.5\r\n(99999999999999999999\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n~0\r\n|1\r\n+k\r\n+v\r\n:7\r\n"
  const decode = (pieces: readonly string[]): { replies: Reply[]; pushes: Reply[] } => {
    const replies: Reply[] = []
    const pushes: Reply[] = []
    const decoder = makeDecoder(
      (reply) => replies.push(reply),
      (reply) => pushes.push(reply),
    )
    for (const piece of pieces) decoder.feed(Buffer.from(piece))
    return { replies, pushes }
  }
  const whole = decode([wire])

  test("every kind of value", () => {
    expect(whole.pushes).toHaveLength(1)
    expect(whole.replies.map(({ type }) => type)).toEqual([
      "simple",
      "error",
      "integer",
      "bulk",
      "null",
      "null",
      "array",
      "map",
      "integer",
      "bulk",
      "integer",
      "bulk",
      "error",
      "array",
      "integer",
    ])
  })

  test("property: cut anywhere, the same values", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(wire.length), { maxLength: 12 }), (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), wire.length]
        expect(decode(edges.slice(1).map((to, i) => wire.slice(edges[i], to)))).toEqual(whole)
      }),
    )
  })

  test("what is not RESP is refused, not guessed at", () => {
    for (const bad of ["HTTP/1.1 400\r\n", "$x\r\n", ":a\r\n", "+".repeat(70_000)])
      expect(() => decode([bad])).toThrow(MalformedReply)
  })

  test("requests", () => {
    expect(encodeRequest(["SET", "ключ", new Uint8Array([0, 255]), 7]).toString("latin1")).toBe(
      "*4\r\n$3\r\nSET\r\n$8\r\n\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\r\n$2\r\n\x00\xff\r\n$1\r\n7\r\n",
    )
  })
})

test("an address that cannot be read is shown without the password in it", () => {
  expect(() => requireEndpoint("rediss://alice:top@secret@10.0.0.1")).toThrow(/^not an endpoint: "…@10\.0\.0\.1"/)
})
