/** Whatever happens to the connections: each write takes effect once, in the order of the calls, or its error says what is known. */
import * as fc from "fast-check"
import { afterEach, describe, expect, test } from "vitest"
import {
  connect,
  type ConnectOptions,
  NoLeader,
  ServerError,
  SessionExpired,
  TimedOut,
  Unknown,
} from "../kv/client/index.ts"
import { type Fate, type FakeServer, type FakeStore, makeStore, startFake } from "./client.fake.ts"

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean()
})
const fakes = async (store: FakeStore, ...ids: readonly string[]): Promise<readonly FakeServer[]> => {
  const servers = await Promise.all(ids.map((id) => startFake(store, id)))
  cleanups.push(...servers.map(({ close }) => close))
  return servers
}
const client = async (servers: readonly FakeServer[], options: Partial<ConnectOptions> = {}) => {
  const made = await connect({
    endpoints: servers.map(({ port }) => `127.0.0.1:${port}`),
    backoffMs: [1, 4],
    timeoutMs: 5_000,
    ...options,
  })
  cleanups.unshift(made.close)
  return made
}
const isDo = (words: readonly string[]): boolean =>
  words[0] === "STEPRAFT" && (words[1] === "DO" || words[1] === "EXEC")

/** Gives each request the next fate of the list, then serves. */
const scripted = (
  store: FakeStore,
  fates: readonly Fate[],
  which: (words: readonly string[]) => boolean = isDo,
): void => {
  let at = 0
  store.fate = (words) => (which(words) ? (fates[at++] ?? "serve") : "serve")
}

describe("exactly once", () => {
  test("property: with connections cut and refusals at random, every write takes effect once, in order", async () => {
    const fate = fc.oneof(
      { weight: 4, arbitrary: fc.constant<Fate>("serve") },
      fc.constantFrom<Fate>(
        "cut-before",
        "cut-after",
        { reply: "-UNKNOWN outcome not learnt\r\n", executed: true },
        { reply: "-UNKNOWN outcome not learnt\r\n", executed: false },
        { reply: "-NOLEADER no leader\r\n", executed: false },
        { reply: "-BUSY\r\n", executed: false },
        { reply: "-OUTOFORDER lost\r\n", executed: false },
      ),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { maxLength: 30 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 8 }),
        async (fates, writes, window) => {
          const store = makeStore()
          const servers = await Promise.all([startFake(store, "n1"), startFake(store, "n2")])
          const made = await connect({
            endpoints: servers.map(({ port }) => `127.0.0.1:${port}`),
            backoffMs: [0, 1],
            window,
            timeoutMs: 20_000,
          })
          try {
            // Openings and reads are struck too: only the greeting is spared, so that the list is not used up before the first write.
            scripted(store, fates, (words) => words[1] !== "STATUS" && words[0] !== "PING")
            const work = Array.from({ length: writes }, (_, i) => made.append("k", `${i};`))
            const read = made.get("k")
            const lengths = await Promise.all(work)
            const text = Array.from({ length: writes }, (_, i) => `${i};`).join("")
            expect(store.data.get("k")).toBe(text)
            expect(store.effects).toHaveLength(writes)
            expect(lengths).toEqual(
              Array.from(
                { length: writes },
                (_, i) => Array.from({ length: i + 1 }, (__, j) => `${j};`).join("").length,
              ),
            )
            expect(await read).toBe(text) // a read sees the writes before it
          } finally {
            store.fate = () => "serve"
            await made.close()
            await Promise.all(servers.map(({ close }) => close()))
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test("a write of unknown outcome keeps its number, however often a node says that its turn has not come", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1", "n2"))
    const lost: Fate = { reply: "-OUTOFORDER lost\r\n", executed: false }
    scripted(store, [{ reply: "-UNKNOWN outcome not learnt\r\n", executed: true }, lost, lost, lost])
    expect(await made.append("k", "0;")).toBe(2)
    expect(store.effects).toEqual(["APPEND k 0;"])
    expect(store.opened).toBe(1)
  })

  test("a transaction whose connection breaks after it was executed is not executed again", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    scripted(store, ["cut-after"])
    expect(await made.multi().incr("n").incr("n").get("n").exec()).toEqual([1, 2, "2"])
    expect(store.effects).toHaveLength(2)
  })

  test("unanswered commands keep their numbers; the lowest of them is told with each", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    await made.set("a", "0")
    const sent: string[] = []
    let cut = false
    store.fate = (words) => {
      if (!isDo(words)) return "serve"
      sent.push(words.slice(3, 5).join("/"))
      if (words[3] !== "3" || cut) return "serve"
      cut = true
      return "cut-after"
    }
    await Promise.all([made.set("a", "1"), made.set("b", "2"), made.set("c", "3")])
    expect(sent).toEqual(["2/2", "3/2", "3/3", "4/3"])
  })
})

describe("sessions", () => {
  test("an expired session is replaced unseen when the refused command was never under way before", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    await made.set("a", "1")
    store.sessions.clear()
    await made.set("a", "2")
    expect(store.opened).toBe(2)
    expect(store.effects).toEqual(["SET a 1", "SET a 2"])
  })

  test("an expired session is named when the outcome was open", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    await made.set("a", "1")
    store.fate = (words) => {
      if (!isDo(words)) return "serve"
      store.fate = () => {
        store.sessions.clear()
        return "serve"
      }
      return "cut-after"
    }
    const end = await made.set("a", "2").catch((error: unknown) => error)
    expect(end).toBeInstanceOf(SessionExpired)
    store.fate = () => "serve"
    await made.set("a", "3") // and the client lives on
    expect(store.effects).toEqual(["SET a 1", "SET a 2", "SET a 3"])
  })

  test("a refused command gives its number back, and what was behind it is executed once", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    scripted(store, ["serve", { reply: "-TOOLARGE an entry is at most 8 MB\r\n", executed: false }])
    const ends = await Promise.allSettled([
      made.set("a", "1"),
      made.set("b", "2"),
      made.set("c", "3"),
      made.set("d", "4"),
    ])
    expect(ends.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"])
    expect(ends[1]?.status === "rejected" ? ends[1].reason : null).toBeInstanceOf(ServerError)
    expect(store.effects).toEqual(["SET a 1", "SET c 3", "SET d 4"])
  })

  test("only the first word of an error says that it is what the command gave: whatever else a node says, an earlier copy may have been executed", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    for (const reply of [
      "-ERR value is not an integer or out of range\r\n",
      "-WRONGTYPE of another kind\r\n",
      "-NEVERHEARD of it\r\n",
    ]) {
      scripted(store, [
        { reply: "-UNKNOWN outcome not learnt\r\n", executed: true },
        { reply, executed: false },
      ])
      await expect(made.append("k", "x")).rejects.toMatchObject({ _tag: "Unknown" })
      await made.set("a", "text")
    }
    expect(store.effects).toEqual(["APPEND k x", "SET a text", "APPEND k x", "SET a text", "APPEND k x", "SET a text"])
    scripted(store, [{ reply: "-UNKNOWN outcome not learnt\r\n", executed: true }])
    await expect(made.incr("a")).rejects.toMatchObject({
      _tag: "ServerError",
      code: "ERR",
      message: "ERR value is not an integer or out of range",
    })
    expect([store.opened, store.effects.length]).toEqual([1, 6])
  })

  test("a command that the server refuses to parse leaves no gap behind", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    scripted(store, [{ reply: "-ERR unknown command 'NONE'\r\n", executed: false }])
    await expect(made.call("NONE", "x")).rejects.toMatchObject({ _tag: "ServerError", code: "ERR" })
    await made.set("a", "1")
    expect(store.effects).toEqual(["SET a 1"])
  })

  test("closing ends the session", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    await made.set("a", "1")
    await made.close()
    expect(store.sessions.size).toBe(0)
    await expect(made.get("a")).rejects.toMatchObject({ _tag: "Closed", executed: "no" })
  })
})

describe("deadlines", () => {
  test("a write that was sent and never answered is Unknown, and those behind it still take effect once", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"), { stallTimeoutMs: 60_000, timeoutMs: 30_000 })
    await made.set("a", "0")
    scripted(store, ["mute"])
    const late = made
      .run({ task: { type: "write", args: ["APPEND", "a", "1"] }, answer: () => true }, { timeoutMs: 1000 })
      .catch((error: unknown) => error)
    const behind = made
      .run({ task: { type: "write", args: ["APPEND", "a", "2"] }, answer: () => true }, { timeoutMs: 1500 })
      .catch((error: unknown) => error)
    expect(await late).toBeInstanceOf(Unknown)
    expect(store.effects).toEqual(["SET a 0", "APPEND a 1", "APPEND a 2"])
    await Promise.race([made.close(), behind])
  })

  test("no leader in time is NoLeader, and nothing was executed", async () => {
    const store = makeStore()
    const made = await client(await fakes(store, "n1"))
    store.fate = (words) =>
      isDo(words) || words[2] === "OPEN" ? { reply: "-NOLEADER no leader\r\n", executed: false } : "serve"
    const end = await made
      .run({ task: { type: "write", args: ["SET", "a", "1"] }, answer: () => true }, { timeoutMs: 150 })
      .catch((error: unknown) => error)
    expect(end).toBeInstanceOf(NoLeader)
    store.fate = () => "serve"
    await made.set("b", "2")
    expect(store.effects).toEqual(["SET b 2"])
  })

  test("no server at all is TimedOut, with the reason", async () => {
    const end = await connect({ endpoints: "127.0.0.1:1", timeoutMs: 100, backoffMs: [1, 4] }).catch(
      (error: unknown) => error,
    )
    expect(end).toBeInstanceOf(TimedOut)
    expect((end as TimedOut).message).toContain("ECONNREFUSED")
  })

  test("a silent server is given up for another", async () => {
    const store = makeStore()
    const servers = await fakes(store, "n1", "n2")
    const made = await client(servers, { stallTimeoutMs: 50, route: "any" })
    let first = true
    store.fate = (words) => {
      if (!isDo(words) || !first) return "serve"
      first = false
      return "mute"
    }
    expect(await made.append("a", "x")).toBe(1)
    expect(store.effects).toEqual(["APPEND a x"])
  })
})
