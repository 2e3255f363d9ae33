/** Values of megabytes and lists of thousands of keys: what they cost to read, and that the loop turns meanwhile. */
import { origin } from "../core/index.ts"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { BATCH_COST, INLINE, MAX_KEY, MAX_VALUE } from "../kv/machine/cost.ts"
import { executeCall } from "../kv/machine/commands/execute.ts"
import { glob } from "../kv/machine/commands/glob.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { VALUE, decodePosition, generationRange, positionKey, userKey, valueKey } from "../kv/machine/layout.ts"
import { type MachineOutcome, KvExecutor } from "../kv/machine/executor.ts"
import { Sessions } from "../kv/machine/sessions.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import {
  buffers,
  digest,
  entryOf,
  open,
  plain,
  removeTemporary,
  secretFor,
  temporary,
  transfer,
} from "./machine.kit.ts"
import { Pair, big, entry, mapStore, times, tooLarge } from "./machine.cost.kit.ts"

afterAll(removeTemporary)

/** LevelDB's records of large values, by key; those that a FLUSHALL left go in the background. */
const valuesIn = async (directory: string): Promise<string[]> => {
  const db = new ClassicLevel<Buffer, Buffer>(
    join(directory, readFileSync(join(directory, "current"), "utf8").trim()),
    { keyEncoding: "buffer", valueEncoding: "buffer", compression: false },
  )
  const { generation } = decodePosition((await db.get(positionKey)) ?? Buffer.alloc(0))
  const found = await db.keys(generationRange(VALUE, generation)).all()
  await db.close()
  return found.map((name) => userKey(name).toString("latin1"))
}

describe("large values stand apart", () => {
  test("both machines agree, through restarts and snapshots, and no value stays behind its key", async () => {
    const calls = fc.array(
      fc.oneof(
        { weight: 20, arbitrary: entry },
        { weight: 1, arbitrary: fc.constantFrom("restart" as const, "move" as const) },
      ),
      { minLength: 1, maxLength: 40, size: "max" },
    )
    await fc.assert(
      fc.asyncProperty(calls, async (steps) => {
        const pair = await Pair.make()
        for (const step of steps) {
          if (typeof step !== "string") await pair.apply([pair.entry(step.exec || step.calls.length > 1, step.calls)])
          else {
            const before = pair.held
            if (step === "restart") await before.close()
            pair.held = await open(step === "restart" ? before.directory : temporary(), { writeAfter: 0 })
            if (step === "move") {
              await transfer(before, pair.held)
              await before.close()
            }
          }
        }
        await pair.same()
        const lengths = await Promise.all(
          ["a", "b", "c", "d"].map(async (name) => [name, Number(await pair.read("STRLEN", name))] as const),
        )
        await pair.close()
        expect((await valuesIn(pair.held.directory)).sort()).toEqual(
          lengths.filter(([, length]) => length > INLINE).map(([name]) => name),
        )
        removeTemporary()
      }),
      { numRuns: full ? many(1000, 40) : 8 },
    )
  })
  test("what asks about the key does not read the value; a damaged value is noticed when it is read, and in a snapshot", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(0, 100_000))
    const { directory } = pair.held
    await pair.close()
    const db = new ClassicLevel<Buffer, Buffer>(
      join(directory, readFileSync(join(directory, "current"), "utf8").trim()),
      { keyEncoding: "buffer", valueEncoding: "buffer", compression: false },
    )
    await db.put(valueKey(0, Buffer.from("big")), Buffer.alloc(100_000, "c"))
    await db.close()
    for (const reads of [["GET", "big"], ["MGET", "big"], null]) {
      const held = await open(directory)
      for (const [words, reply] of [
        [["STRLEN", "big"], 100_000],
        [["TTL", "big"], -1],
        [["EXISTS", "big"], 1],
        [["TYPE", "big"], "+string"],
        [["KEYS", "*"], ["big"]],
        [["DBSIZE"], 1],
      ] as const) {
        expect(await held.get(...words)).toEqual(reply)
      }
      expect(held.damages).toEqual([])
      if (reads === null) await expect(digest(held)).rejects.toThrow(/fails its checksum/)
      else expect(await held.get(...reads)).toMatch(/^-REBUILDING/)
      expect(held.damages.map(({ message }) => message)).toEqual([
        expect.stringMatching(/the value of the key that starts with "big" fails its checksum/),
      ])
      await held.close()
    }
  })
  test("a value that is missing is damage too", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(0, 100_000))
    const { directory } = pair.held
    await pair.close()
    const db = new ClassicLevel<Buffer, Buffer>(
      join(directory, readFileSync(join(directory, "current"), "utf8").trim()),
      { keyEncoding: "buffer", valueEncoding: "buffer", compression: false },
    )
    await db.del(valueKey(0, Buffer.from("big")))
    await db.close()
    const held = await open(directory)
    expect(await held.get("GET", "big")).toMatch(/^-REBUILDING/)
    expect(held.damages.map(({ message }) => message)).toEqual([
      expect.stringMatching(/the value of the key that starts with "big" is missing/),
    ])
    await held.close()
  })
})

describe("reads", () => {
  test("a reply is refused by its size before it is made: MGET, KEYS, GET; SCAN gives less at a time", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big)
    const mget = (count: number): string[] => ["MGET", ...times(count, () => "big")]
    for (const machine of [pair.held.machine, pair.twin]) {
      const refused = (count: number): unknown =>
        tooLarge(new RegExp(`the reply would have .* at most ${count} are allowed`))
      for (const count of [5, 64, 700])
        expect(plain(await machine.read(buffers(...mget(count))))).toEqual(refused(32 << 20))
      expect(plain(await machine.read(buffers("GET", "big"), MAX_VALUE - 1))).toEqual(refused(MAX_VALUE - 1))
      expect(plain(await machine.read(buffers("MGET", "big"), MAX_VALUE))).toHaveLength(1)
      expect(plain(await machine.read(buffers("MGET", "big", "none", "big"), MAX_VALUE * 2))).toEqual([
        big.toString("latin1"),
        null,
        big.toString("latin1"),
      ])
    }
    const keys = times(40, (i) => `${i}`.padStart(50_000, "k"))
    for (const name of keys) await pair.call("SET", name, "1")
    for (const machine of [pair.held.machine, pair.twin]) {
      expect(plain(await machine.read(buffers("KEYS", "*"), 1 << 20))).toEqual(tooLarge(/the reply would have/))
      const seen: unknown[] = []
      let cursor = "0"
      do {
        const [next, found] = plain(await machine.read(buffers("SCAN", cursor, "COUNT", "9999999999"))) as [
          string,
          string[],
        ]
        expect(found.reduce((sum, name) => sum + name.length, 0)).toBeLessThan((1 << 20) + MAX_KEY)
        seen.push(...found)
        cursor = next
      } while (cursor !== "0")
      expect(new Set(seen)).toEqual(new Set([...keys, "big"]))
      expect(seen).toHaveLength(41)
    }
    await pair.close()
  })
  test("a pattern beyond its limit is refused by name; one within is matched in linear time", async () => {
    const pair = await Pair.make()
    for (const machine of [pair.held.machine, pair.twin]) {
      for (const words of [["KEYS"], ["SCAN", "0", "MATCH"]])
        expect(plain(await machine.read(buffers(...words, `*${"a".repeat(50_000)}b`)))).toEqual(
          tooLarge(/a pattern of 50002 bytes/),
        )
    }
    await pair.close()
    // The work, not the time: how often a byte of the key is looked at.
    let looks = 0
    const counted = new Proxy(Buffer.alloc(20_000, "a"), {
      get: (target, name) => {
        if (typeof name === "string" && /^\d+$/.test(name)) looks++
        return Reflect.get(target, name, target) as unknown
      },
    })
    for (const pattern of [
      `*${"a".repeat(900)}b`,
      `*${"a".repeat(900)}b*`,
      `${"*a".repeat(400)}b`,
      `*${"[ab]".repeat(200)}c*d`,
      `*${"?".repeat(500)}b*`,
      `${"*?a".repeat(300)}*b*`,
    ]) {
      looks = 0
      expect(glob(Buffer.from(pattern))(counted)).toBe(false)
      expect(looks).toBeLessThanOrEqual(counted.length + 2000)
    }
  })
})

describe("a command over many keys", () => {
  test("is executed in parts, and answers and leaves behind what it would at once", () => {
    const names = fc.array(fc.nat({ max: 500 }), { minLength: 200, maxLength: 900, size: "max" })
    const command = fc.record({
      name: fc.constantFrom("DEL", "UNLINK", "EXISTS", "MGET", "MSET", "mset", "MSETNX"),
      names,
      odd: fc.boolean(),
      exec: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 4 }), (steps) => {
        const machine = new MemoryMachine()
        machine.applyNow([entryOf(1, 1000, { type: "OpenSession", owner: "o", secret: secretFor("t") })])
        const plainView = mapStore()
        steps.forEach(({ name, names: ids, odd, exec }, i) => {
          const pairs = name.toUpperCase().startsWith("MSET")
          const call = buffers(
            name,
            ...ids.flatMap((id) => (pairs ? [`k${id}`, `${i}`] : [`k${id}`])),
            ...(pairs && odd ? ["k1"] : []),
          )
          const [outcome] = machine.applyNow([
            entryOf(2 + i, 1000, {
              type: "Execute",
              session: 1,
              secret: secretFor("t"),
              sequence: 1 + i,
              lowest: 1 + i,
              exec,
              watches: [],
              calls: [call],
            }),
          ])
          if (outcome?.type !== "replied") throw new Error("no answer")
          const atOnce = executeCall(
            {
              now: 1000,
              index: 2 + i,
              get: plainView.get,
              value: plainView.value,
              answering: () => undefined,
              charge: () => undefined,
              delete: plainView.delete,
              clear: plainView.clear,
              touch: () => undefined,
              put: (key, value, expiry) =>
                plainView.put(key, { value, length: value.length, crc: 0, version: 2 + i, expiry }),
            },
            call,
          )
          expect(plain(outcome.reply)).toEqual(exec ? [plain(atOnce)] : plain(atOnce))
        })
        expect(new Set(plain(machine.read(buffers("KEYS", "*"))) as string[])).toEqual(new Set(plainView.items.keys()))
      }),
      { numRuns: many(2000, 12) },
    )
  })
  test("turns the loop meanwhile", () => {
    const keys = times(12_000, (i) => `k${i}`)
    let steps = 0
    const store = mapStore()
    const replica = new KvExecutor(store, origin, new Sessions(1000))
    replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
    const outcomes: MachineOutcome[] = []
    const going = replica.start(
      entryOf(2, 1, {
        type: "Execute",
        session: 1,
        secret: secretFor("t"),
        sequence: 1,
        lowest: 1,
        exec: false,
        watches: [],
        calls: [buffers("MSET", ...keys.flatMap((key) => [key, "1"]))],
      }),
      outcomes,
    )
    while (going?.next().done === false) steps++
    expect(steps).toBeGreaterThan(90)
    expect(outcomes.map((outcome) => outcome.type === "replied" && plain(outcome.reply))).toEqual(["+OK"])
    expect(store.items.size).toBe(12_000)
  })
})

describe("a batch", () => {
  test("is cut by cost: what one call of apply hands over is written in parts, and every part is a state after an entry", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(0, 5 << 19))
    const { batches } = pair.held.machine.stats()
    const before = pair.held.machine.position()?.index ?? 0
    const entries = times(10, () => pair.entry(false, [["GETEX", "big", "PERSIST"]]))
    const positions = new Set<number>()
    const applying = pair.apply(entries)
    for (let at = 0; at < entries.length;) {
      at = (pair.held.machine.position()?.index ?? 0) - before
      positions.add(at)
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
    await applying
    // Each reads and returns 5 MB.
    expect(Math.ceil(BATCH_COST / (5 << 20))).toBe(2)
    expect(pair.held.machine.stats().batches - batches).toBe(5)
    expect(positions.size).toBeGreaterThan(2)
    expect([...positions].every((position) => position % 2 === 0)).toBe(true)
    await pair.same()
    await pair.close()
  })
})
