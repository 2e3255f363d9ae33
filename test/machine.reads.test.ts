/** Reads of the LevelDB machine while it works: whole states only, never backwards, large ones in slices. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { INLINE } from "../kv/machine/cost.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { placeOf } from "../kv/machine/place.ts"
import { NULL } from "../kv/machine/reply.ts"
import type { Reply } from "../kv/types.ts"
import { longTest, many } from "./long.ts"
import { buffers, entryOf, Log, open, plain, removeTemporary, secretFor, temporary } from "./machine.kit.ts"

afterAll(removeTemporary)

describe("RANDOMKEY", () => {
  test("draws from all keys, never one that is gone, and nothing only if nothing is there", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    expect(await held.get("RANDOMKEY")).toBe(null)
    for (let i = 0; i < 400; i++) log.call("SET", `k${i}`, "v")
    for (let i = 0; i < 300; i++) log.call("SET", `past${i}`, "v", "PX", "10")
    await held.apply(log.entries)
    let done = log.entries.length
    const next = async (): Promise<void> => {
      await held.apply(log.from(done))
      done = log.entries.length
    }
    log.time = 2000
    log.call("DEL", "k0")
    await next()
    const drawn = new Set<unknown>()
    for (let i = 0; i < 5000; i++) drawn.add(await held.get("RANDOMKEY"))
    for (const key of drawn) expect(key).toMatch(/^k[1-9]\d*$/)
    // Keys are as likely as the gaps between their places, so a few in a hundred are hardly ever met.
    expect(drawn.size).toBeGreaterThan(300)
    for (let i = 1; i < 399; i++) log.call("DEL", `k${i}`)
    await next()
    for (let i = 0; i < 300; i++) expect(await held.get("RANDOMKEY")).toBe("k399")
    log.call("FLUSHALL")
    await next()
    expect(await held.get("RANDOMKEY")).toBe(null)
    await held.close()
  })

  test("looks twice at one state: there is always a key, while one expires and the next is written", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    let done = 0
    for (let i = 0; i < 200; i++) {
      log.time += 10
      log.call("SET", `k${i}`, "v", "PX", "10")
      const drawn = i === 0 ? null : held.get("RANDOMKEY")
      await held.apply(log.from(done))
      done = log.entries.length
      if (drawn !== null) expect([`k${i - 1}`, `k${i}`]).toContain(await drawn)
    }
    await held.close()
  })
})

describe("SCAN", () => {
  /**
   * Goes through all keys, each call on another node (which start anew now and then), while keys come, go and change. What
   * is there throughout comes exactly once.
   */
  const scanned = async (size: number, count: number, restarts: number): Promise<void> => {
    const log = new Log()
    const pairs = 500
    for (let i = 0; i < size; i += pairs)
      log.call("MSET", ...Array.from({ length: Math.min(pairs, size - i) }, (_, j) => [`key:${i + j}`, "v"]).flat())
    for (let i = 0; i < 300; i++) log.call("SET", `past:${i}`, "v", "PX", "10")
    log.time += 100
    log.add({ type: "Tick" })
    const nodes = [await open(temporary()), await open(temporary(), { node: "n2" })]
    // It sorts all keys anew after each change.
    const twin = size > 10_000 ? null : new MemoryMachine()
    let done = 0
    const everywhere = async (): Promise<void> => {
      for (const node of nodes) await node.apply(log.from(done))
      twin?.applyNow(log.from(done))
      done = log.entries.length
    }
    await everywhere()
    const seen = new Map<string, number>()
    let cursor = "0"
    let calls = 0
    do {
      const machine = calls % 3 === 2 && twin !== null ? twin : nodes[calls % 2]?.machine
      const [next, keys] = plain((await machine?.read(buffers("SCAN", cursor, "COUNT", String(count)))) ?? NULL) as [
        string,
        string[],
      ]
      expect(keys.length).toBeLessThanOrEqual(count + 1)
      for (const key of keys) seen.set(key, (seen.get(key) ?? 0) + 1)
      cursor = next
      calls++
      // Everything that was just found may go: a cursor is no key.
      log.call("DEL", ...keys.filter((key) => key.endsWith("7")), "no")
      log.call("MSET", `new:${calls}`, "v", `key:${calls % size}`, "changed")
      await everywhere()
      if (calls % restarts === 0) {
        const again = nodes.shift()
        if (again === undefined) throw new Error("no node")
        await again.close()
        nodes.push(await open(again.directory, calls % (2 * restarts) === 0 ? { node: "n2" } : {}))
      }
      expect(calls).toBeLessThan((4 * size) / count + 100)
    } while (cursor !== "0")
    const throughout = Array.from({ length: size }, (_, i) => `key:${i}`).filter((key) => !key.endsWith("7"))
    expect(throughout.filter((key) => seen.get(key) !== 1)).toEqual([])
    for (const node of nodes) await node.close()
  }
  test("each call on another node, over restarts, while keys come and go: what is there throughout comes once", () =>
    scanned(1000, 10, 20))
  longTest("the same over a million keys", () => scanned(1_000_000, 1000, 400))

  test("two keys of one place go together", async () => {
    const [one, other] = ["54a7i", "ffsre"]
    expect(placeOf(Buffer.from(one))).toBe(placeOf(Buffer.from(other)))
    const held = await open(temporary())
    const log = new Log()
    for (const key of ["a", one, "b", other, "c"]) log.call("SET", key, "v")
    await held.apply(log.entries)
    const found: string[] = []
    let cursor = "0"
    do {
      const [next, keys] = (await held.get("SCAN", cursor, "COUNT", "1")) as [string, string[]]
      found.push(keys.sort().join(" "))
      cursor = next
      expect(found.length).toBeLessThan(10)
    } while (cursor !== "0")
    expect(found.sort()).toEqual(["a", "b", "c", `${one} ${other}`].sort())
    await held.close()
  })
  test("a call walks over no more of what has expired, and is still there, than of what lives", async () => {
    const held = await open(temporary())
    const log = new Log()
    log.call("MSET", "a", "v", "b", "v")
    for (let i = 0; i < 1000; i++) log.call("SET", `past:${i}`, "v", "PX", "10")
    log.time += 100
    log.add({ type: "Tick" })
    await held.apply(log.entries.slice(0, -1))
    await held.apply(log.entries.slice(-1))
    const [cursor, keys] = (await held.get("SCAN", "0", "COUNT", "10")) as [string, string[]]
    expect(keys.length).toBeLessThan(3)
    expect(cursor).not.toBe("0")
    await held.close()
  })
  test("a place is HalfSipHash-2-4", () => {
    // The first of its authors' test vectors, for the key 00 01 … 07: six of eight bytes.
    const places = ["218d1f59b9b8", "be552412f838", "064f39ef7c50", "ce0f1a45f706", "d5e78a175be5"]
    places.forEach((bytes, length) => {
      expect(placeOf(Buffer.from(Array.from({ length }, (_, i) => i)), 0x03020100, 0x07060504)).toBe(
        Buffer.from(bytes, "hex").readUIntLE(0, 6),
      )
    })
  })
})

describe("reads beside writes", () => {
  test("property: what is read before a command is what it finds, and what has been told can be read", async () => {
    const key = fc.constantFrom("a", "b", "c")
    const long = "x".repeat(INLINE + 1)
    const call = fc.oneof(
      fc.tuple(fc.constantFrom("SET", "APPEND"), key, fc.constantFrom("1", "2", long)),
      fc.tuple(fc.constantFrom("DEL", "INCR", "PERSIST"), key),
      fc.tuple(fc.constant("PEXPIRE"), key, fc.constantFrom("1", "30")),
      fc.constantFrom(
        ["FLUSHALL"],
        ["MSET", "a", "7", "b", long],
        ["MGET", ...Array.from({ length: 70 }, () => "a")],
        null,
      ),
    )
    const look = buffers("MGET", "a", "b", "c")
    const brief = (reply: Reply): string =>
      JSON.stringify(plain(reply)).replaceAll(/x{9,}/g, (run) => `x*${run.length}`)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(call, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 }),
        async (batches) => {
          const held = await open(temporary())
          const twin = new MemoryMachine()
          const entries = [entryOf(1, 0, { type: "OpenSession", owner: "node:n1", secret: secretFor("t") })]
          twin.applyNow(entries)
          await held.apply(entries)
          const before: unknown[] = []
          const after: unknown[] = []
          const shown = (reply: Reply | Promise<Reply>): unknown => (reply instanceof Promise ? "later" : brief(reply))
          held.machine.listen({
            executing: () => (read) => void before.push(brief(read(look))),
            replied: () => void after.push(shown(held.machine.read(look))),
            opened: () => {},
            closed: () => {},
            restored: () => {},
          })
          let [index, time, sequence] = [1, 0, 0]
          for (const batch of batches) {
            const made = batch.map((words) => {
              // Time goes on alone, so that both look at the same clock.
              if (words === null) time += 20
              return entryOf(
                ++index,
                time,
                words === null
                  ? { type: "Tick" }
                  : {
                      type: "Execute",
                      session: 1,
                      secret: null,
                      sequence: ++sequence,
                      lowest: sequence,
                      exec: false,
                      watches: [],
                      calls: [buffers(...words)],
                    },
              )
            })
            const [expected, told] = [new Array<unknown>(), batch.filter((words) => words !== null).length]
            for (const [i, entry] of made.entries()) {
              if (batch[i] !== null) expected.push(brief(twin.read(look)))
              twin.applyNow([entry])
            }
            before.length = after.length = 0
            await held.apply(made)
            expect([held.damages, held.failures]).toEqual([[], []])
            expect([before, after]).toEqual([expected, Array.from({ length: told }, () => brief(twin.read(look)))])
          }
          await held.close()
        },
      ),
      { numRuns: many(1000, 12) },
    )
  })
  test("a read of several keys sees a state between two batches, and a later read never an earlier one", async () => {
    const held = await open(temporary())
    const log = new Log()
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
    const round = (value: number): void => {
      log.call("MSET", ...keys.flatMap((key) => [key, String(value)]))
    }
    round(0)
    await held.apply(log.entries)
    const progress = { writing: true, reads: 0 }
    let last = 0
    const pump = (async () => {
      for (let i = 1; i <= 150 || progress.reads < 40; i++) {
        round(i)
        last = i
        await held.apply(log.entries.slice(-1))
      }
      progress.writing = false
    })()
    let seen = 0
    const look = (values: unknown): void => {
      const list = values as string[]
      expect(new Set(list).size).toBe(1)
      const value = Number(list[0])
      expect(value).toBeGreaterThanOrEqual(seen)
      seen = value
      progress.reads++
    }
    while (progress.writing) {
      look(await held.get("MGET", "k0", "k50", "k99"))
      look(await held.get("MGET", ...keys))
      const [, found] = (await held.get("SCAN", "0", "COUNT", "1000")) as [string, string[]]
      expect(found).toHaveLength(100)
      look(await held.get("MGET", "k0", "k1"))
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
    await pump
    expect(await held.get("MGET", "k3", "k4")).toEqual([`${last}`, `${last}`])
    await held.close()
  })
  test("a long batch is executed in slices: the event loop goes on turning", async () => {
    const held = await open(temporary())
    const log = new Log()
    for (let i = 0; i < 20_000; i++) log.call("APPEND", `k${i % 5000}`, "x".repeat(50))
    let turns = 0
    let applying = true
    const turn = (): void => {
      turns++
      if (applying) setImmediate(turn)
    }
    turn()
    await held.apply(log.entries)
    applying = false
    expect(turns).toBeGreaterThan(10)
    expect(await held.get("STRLEN", "k7")).toBe(200)
    await held.close()
  })
})
