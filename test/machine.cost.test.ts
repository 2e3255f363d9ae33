import { origin } from "../core/index.ts"
/** What one entry of the log may do is bounded, by the log alone, the same on every store; what is refused leaves no trace. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { CALL_COST, INLINE, KEY_COST, MAX_KEY, MAX_VALUE, CostMeter } from "../kv/machine/cost.ts"
import { type MachineOutcome, KvExecutor } from "../kv/machine/executor.ts"
import { replySize } from "../kv/machine/reply.ts"
import { Sessions } from "../kv/machine/sessions.ts"
import { many } from "./long.ts"
import { buffers, entryOf, plain, removeTemporary, secretFor } from "./machine.kit.ts"
import { Pair, big, entry, faulty, mapStore, overEntry, times, tooLarge } from "./machine.cost.kit.ts"

afterAll(removeTemporary)

describe("one entry", () => {
  test("GET of 8 MB a hundred times, and of a hundred keys of a few hundred kB: refused by name, all of it undone, also FLUSHALL", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big)
    expect(
      await pair.exec([
        ["GET", "big"],
        ["SET", "x", "1"],
      ]),
    ).toEqual([big.toString("latin1"), "+OK"])
    expect(await pair.exec(times(100, () => ["GET", "big"]))).toEqual(overEntry)
    expect(
      await pair.exec([
        ["SET", "x", "2"],
        ["SET", "new", "2"],
        ["DEL", "big"],
        ["FLUSHALL"],
        ["SET", "x", "3"],
        ["SET", "y", big.subarray(0, 4 << 20)],
        ...times(4, () => ["GETSET", "y", big.subarray(0, 3 << 20)]),
      ]),
    ).toEqual(overEntry)
    expect([await pair.read("MGET", "x", "new", "y"), await pair.read("STRLEN", "big")]).toEqual([
      ["1", null, null],
      MAX_VALUE,
    ])
    await pair.same()
    await pair.close()
  })
  test("APPEND to 8 MB five hundred times in one EXEC; growing a value beyond 8 MB; each refused before it is read", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(1))
    expect(await pair.exec(times(500, () => ["APPEND", "big", ""]))).toEqual(overEntry)
    expect(await pair.call("APPEND", "big", "x")).toBe(MAX_VALUE)
    expect(await pair.call("APPEND", "big", "x")).toEqual(
      tooLarge(new RegExp(`the value would have ${MAX_VALUE + 1} bytes, at most ${MAX_VALUE} are allowed`)),
    )
    expect(await pair.call("SET", "big", Buffer.concat([big, Buffer.from("x")]))).toEqual(
      tooLarge(/the value would have/),
    )
    expect(await pair.read("STRLEN", "big")).toBe(MAX_VALUE)
    await pair.same()
    await pair.close()
  })
  test("SETRANGE, RENAME and COPY of large values, and long numbers, are charged for what they read and write, and are undone like the rest", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big, "EX", "100")
    expect(await pair.call("COPY", "big", "copy")).toBe(1)
    expect(await pair.call("RENAME", "copy", "moved")).toBe("+OK")
    expect([
      await pair.read("EXISTS", "copy"),
      await pair.read("TTL", "moved"),
      await pair.read("GETRANGE", "moved", "-3", "-1"),
    ]).toEqual([0, 100, "bbb"])
    for (const words of [
      ["COPY", "big", "x"],
      ["RENAME", "moved", "x"],
      ["SETRANGE", "big", "0", "c"],
      ["GETRANGE", "big", "0", "0"],
    ]) {
      expect(
        await pair.exec([["SET", "a", "1"], ...times(3, () => words), ...times(2, () => ["GET", "big"])]),
        words.join(" "),
      ).toEqual(overEntry)
    }
    expect(await pair.call("SETRANGE", "new", String(MAX_VALUE - 1), "x")).toBe(MAX_VALUE)
    for (const offset of [String(MAX_VALUE), "9223372036854775807"])
      expect(await pair.call("SETRANGE", "new2", offset, "x")).toEqual(tooLarge(/the value would have/))
    expect(await pair.exec(times(200, () => ["INCRBYFLOAT", "n", "1e4932"]))).toEqual(overEntry)
    expect(await pair.exec(times(2000, () => ["INCRBYFLOAT", "n", "0.5"]))).toHaveLength(2000)
    expect([await pair.read("EXISTS", "a", "new2"), await pair.read("GET", "n")]).toEqual([0, "1000"])
    await pair.same()
    await pair.close()
  })
  test("keys: none above 64 kB; so many in one command, one EXEC, one list of watches", async () => {
    const pair = await Pair.make()
    const long = "k".repeat(MAX_KEY)
    expect(await pair.call("SET", long, "1")).toBe("+OK")
    for (const words of [
      ["SET", `${long}k`, "1"],
      ["MSET", "a", "1", `${long}k`, "1"],
      ["GETDEL", `${long}k`],
      ["DEL", "a", `${long}k`],
    ]) {
      expect(await pair.call(...words)).toEqual(tooLarge(new RegExp(`a key of ${MAX_KEY + 1} bytes`)))
    }
    expect(await pair.exec([["SET", "a", "1"]], [[`${long}k`, 0]])).toEqual(tooLarge(/a key of/))
    const keys = times(17_000, (i) => `k${i}`)
    expect(await pair.call("DEL", ...keys)).toEqual(overEntry)
    expect(await pair.call("MSET", ...keys.flatMap((key) => [key, "1"]))).toEqual(overEntry)
    expect(
      await pair.exec(
        [["SET", "a", "1"]],
        keys.map((key) => [key, 0] as const),
      ),
    ).toEqual(overEntry)
    expect(await pair.exec(times(33_000, () => ["nonsense"]))).toEqual(overEntry)
    expect(await pair.read("DBSIZE")).toBe(1)
    expect(await pair.call("MSET", ...keys.slice(0, 10_000).flatMap((key) => [key, "1"]))).toBe("+OK")
    expect(await pair.call("DEL", ...keys.slice(3000, 10_000))).toBe(7000)
    await pair.same()
    await pair.close()
  })
  test("a refused command has its number: a copy of it gets the same answer, and the next one follows", async () => {
    const pair = await Pair.make()
    const refused = pair.entry(false, [["SET", "k".repeat(MAX_KEY + 1), "1"]])
    const copy = { ...refused, index: refused.index + 1 }
    const [first, second] = await pair.apply([refused, copy])
    expect(first).toEqual(tooLarge(/a key of/))
    expect(second).toEqual(first)
    await pair.close()
  })
  test("an exception of a command's own ends that command with all of it undone; what the store throws, and memory or stack that end, are no command's fault", () => {
    for (let at = 1; at <= 8; at++) {
      for (const fault of [
        new TypeError("a mistake"),
        Object.assign(new RangeError("out of range"), { code: "ERR_OUT_OF_RANGE" }),
      ]) {
        const { store, replica, told, run } = faulty(at, fault)
        expect([run(1), plain(run(2))]).toEqual([
          { type: "error", code: "ERR", text: expect.stringContaining("internal error") as unknown },
          ["+OK", 1],
        ])
        expect(told).toEqual([fault])
        expect([...store.items.keys()]).toEqual(["a", "n"])
        expect(replica.base.index).toBe(3)
      }
    }
    const { run, told } = faulty(3, new RangeError("Maximum call stack size exceeded"))
    expect(() => run(1)).toThrow("Maximum call stack")
    const broken = faulty(Infinity, new Error())
    broken.store.fault = new TypeError("the disk")
    expect(() => broken.run(1)).toThrow("the disk")
    expect([...told, ...broken.told]).toEqual([])
  })
})

describe("the account", () => {
  test("covers what is read, written and returned; what is refused leaves nothing behind", () => {
    let refusals = 0
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 20_000, max: 200_000 }),
        (entries, limit) => {
          const store = mapStore()
          const meter = new CostMeter(limit)
          const replica = new KvExecutor(store, origin, new Sessions(1000), undefined, meter)
          replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
          entries.forEach(({ exec, calls }, i) => {
            const before = new Map(store.items)
            store.moved = 0
            const outcomes: MachineOutcome[] = []
            replica.apply(
              entryOf(2 + i, 1, {
                type: "Execute",
                session: 1,
                secret: secretFor("t"),
                sequence: 1 + i,
                lowest: 1 + i,
                exec: exec || calls.length > 1,
                watches: [],
                calls: calls.map((words) => buffers(...words)),
              }),
              outcomes,
            )
            const [outcome] = outcomes
            if (outcome?.type !== "replied") throw new Error("no answer")
            const { reply } = outcome
            expect(meter.cost).toBeLessThanOrEqual(limit)
            if (reply.type === "error" && reply.code === "TOOLARGE") {
              refusals++
              expect(store.items).toEqual(before)
            } else expect(meter.cost).toBeGreaterThanOrEqual(store.moved + replySize(reply))
            expect(store.moved).toBeLessThanOrEqual(limit + INLINE)
          })
        },
      ),
      { numRuns: many(20_000, 150) },
    )
    // Else the second half says nothing.
    expect(refusals).toBeGreaterThan(50)
  })
  test("a call and a key count what the constants say", () => {
    const meter = new CostMeter()
    const replica = new KvExecutor(mapStore(), origin, new Sessions(1000), undefined, meter)
    replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
    replica.apply(
      entryOf(2, 1, {
        type: "Execute",
        session: 1,
        secret: secretFor("t"),
        sequence: 1,
        lowest: 1,
        exec: false,
        watches: [],
        calls: [buffers("SET", "key", "value")],
      }),
      [],
    )
    expect(meter.cost).toBe(CALL_COST + KEY_COST + 8)
  })
})
