import { origin } from "../core/index.ts"
/** What one entry of the log may do is bounded, by the log alone, the same on every store; what is refused leaves no trace. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { CommandEntry } from "../core/index.ts"
import { BATCH_COST, CALL_COST, INLINE, KEY_COST, MAX_ENTRY_COST, MAX_KEY, MAX_VALUE, Meter } from "../kv/machine/cost.ts"
import { execute } from "../kv/machine/commands/execute.ts"
import { glob } from "../kv/machine/commands/glob.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { VALUE, decodePosition, generationRange, positionKey, userKey, valueKey } from "../kv/machine/layout.ts"
import { type Outcome, Replica, type Store } from "../kv/machine/replica.ts"
import { replySize } from "../kv/machine/reply.ts"
import { Sessions } from "../kv/machine/sessions.ts"
import type { Item } from "../kv/machine/commands/view.ts"
import type { Reply } from "../kv/types.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { type Held, buffers, digest, entryOf, open, plain, removeTemporary, secretFor, temporary, transfer } from "./machine.kit.ts"

afterAll(removeTemporary)

type Words = readonly (string | Uint8Array)[]

/** The same entries for both machines; what they hold afterwards must be the same. */
class Pair {
  readonly twin = new MemoryMachine()
  held: Held
  private index = 0
  private sequence = 0
  private constructor(held: Held) {
    this.held = held
  }
  static async make(): Promise<Pair> {
    const pair = new Pair(await open(temporary()))
    await pair.apply([entryOf(++pair.index, 1000, { type: "OpenSession", owner: "o", secret: secretFor("t") })])
    return pair
  }
  entry(exec: boolean, calls: readonly Words[], watches: readonly (readonly [string, number])[] = []): CommandEntry {
    this.sequence++
    const watched = watches.map(([key, version]) => ({ key: Buffer.from(key), version }))
    return entryOf(++this.index, 1000, { type: "Execute", session: 1, secret: secretFor("t"), sequence: this.sequence, lowest: this.sequence, exec, watches: watched, calls: calls.map((words) => buffers(...words)) })
  }
  async apply(entries: readonly CommandEntry[]): Promise<readonly unknown[]> {
    const replies = this.twin.applyNow(entries).flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
    await this.held.apply(entries)
    expect(this.held.replies.splice(0).map(([, , reply]) => reply)).toEqual(replies)
    return replies
  }
  async call(...words: Words): Promise<unknown> {
    return (await this.apply([this.entry(false, [words])]))[0]
  }
  async exec(calls: readonly Words[], watches: readonly (readonly [string, number])[] = []): Promise<unknown> {
    return (await this.apply([this.entry(true, calls, watches)]))[0]
  }
  read(...words: readonly string[]): Promise<unknown> {
    return this.held.get(...words)
  }
  async same(): Promise<void> {
    expect(await digest(this.held)).toBe(this.twin.digest())
  }
  close(): Promise<void> {
    return this.held.close()
  }
}
const times = <A>(count: number, make: (i: number) => A): A[] => Array.from({ length: count }, (_, i) => make(i))
const big = Buffer.alloc(MAX_VALUE, "b")
const tooLarge = (what: RegExp): unknown => expect.stringMatching(new RegExp(`^-TOOLARGE .*${what.source}.* Nothing was executed\\.$`))
const overEntry = tooLarge(new RegExp(`bytes or more .* at most ${MAX_ENTRY_COST} are allowed`))

describe("one entry", () => {
  test("GET of 8 MB a hundred times, and of a hundred keys of a few hundred kB: refused by name, all of it undone, also FLUSHALL", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big)
    expect(await pair.exec([["GET", "big"], ["SET", "x", "1"]])).toEqual([big.toString("latin1"), "+OK"])
    expect(await pair.exec(times(100, () => ["GET", "big"]))).toEqual(overEntry)
    expect(await pair.exec([["SET", "x", "2"], ["SET", "new", "2"], ["DEL", "big"], ["FLUSHALL"], ["SET", "x", "3"], ["SET", "y", big.subarray(0, 4 << 20)], ...times(4, () => ["GETSET", "y", big.subarray(0, 3 << 20)])])).toEqual(overEntry)
    expect([await pair.read("MGET", "x", "new", "y"), await pair.read("STRLEN", "big")]).toEqual([["1", null, null], MAX_VALUE])
    await pair.same()
    await pair.close()
  })
  test("APPEND to 8 MB five hundred times in one EXEC; growing a value beyond 8 MB; each refused before it is read", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(1))
    expect(await pair.exec(times(500, () => ["APPEND", "big", ""]))).toEqual(overEntry)
    expect(await pair.call("APPEND", "big", "x")).toBe(MAX_VALUE)
    expect(await pair.call("APPEND", "big", "x")).toEqual(tooLarge(new RegExp(`the value would have ${MAX_VALUE + 1} bytes, at most ${MAX_VALUE} are allowed`)))
    expect(await pair.call("SET", "big", Buffer.concat([big, Buffer.from("x")]))).toEqual(tooLarge(/the value would have/))
    expect(await pair.read("STRLEN", "big")).toBe(MAX_VALUE)
    await pair.same()
    await pair.close()
  })
  test("SETRANGE, RENAME and COPY of large values, and long numbers, are charged for what they read and write, and are undone like the rest", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big, "EX", "100")
    expect(await pair.call("COPY", "big", "copy")).toBe(1)
    expect(await pair.call("RENAME", "copy", "moved")).toBe("+OK")
    expect([await pair.read("EXISTS", "copy"), await pair.read("TTL", "moved"), await pair.read("GETRANGE", "moved", "-3", "-1")]).toEqual([0, 100, "bbb"])
    for (const words of [["COPY", "big", "x"], ["RENAME", "moved", "x"], ["SETRANGE", "big", "0", "c"], ["GETRANGE", "big", "0", "0"]]) {
      expect(await pair.exec([["SET", "a", "1"], ...times(3, () => words), ...times(2, () => ["GET", "big"])]), words.join(" ")).toEqual(overEntry)
    }
    expect(await pair.call("SETRANGE", "new", String(MAX_VALUE - 1), "x")).toBe(MAX_VALUE)
    for (const offset of [String(MAX_VALUE), "9223372036854775807"]) expect(await pair.call("SETRANGE", "new2", offset, "x")).toEqual(tooLarge(/the value would have/))
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
    for (const words of [["SET", `${long}k`, "1"], ["MSET", "a", "1", `${long}k`, "1"], ["GETDEL", `${long}k`], ["DEL", "a", `${long}k`]]) {
      expect(await pair.call(...words)).toEqual(tooLarge(new RegExp(`a key of ${MAX_KEY + 1} bytes`)))
    }
    expect(await pair.exec([["SET", "a", "1"]], [[`${long}k`, 0]])).toEqual(tooLarge(/a key of/))
    const keys = times(17_000, (i) => `k${i}`)
    expect(await pair.call("DEL", ...keys)).toEqual(overEntry)
    expect(await pair.call("MSET", ...keys.flatMap((key) => [key, "1"]))).toEqual(overEntry)
    expect(await pair.exec([["SET", "a", "1"]], keys.map((key) => [key, 0] as const))).toEqual(overEntry)
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
      for (const fault of [new TypeError("a mistake"), Object.assign(new RangeError("out of range"), { code: "ERR_OUT_OF_RANGE" })]) {
        const { store, replica, told, run } = faulty(at, fault)
        expect([run(1), plain(run(2))]).toEqual([{ type: "error", code: "ERR", text: expect.stringContaining("internal error") as unknown }, ["+OK", 1]])
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

/** A replica whose nth charge throws, once. `run`: SET a, INCR n in one EXEC, of that number. */
const faulty = (at: number, fault: Error) => {
  let charges = 0
  class Faulty extends Meter {
    override charge(cost: number): void {
      if (++charges === at) throw fault
      super.charge(cost)
    }
  }
  const store = mapStore()
  const told: unknown[] = []
  const replica = new Replica(store, origin, new Sessions(1000), (thrown) => told.push(thrown), new Faulty())
  replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
  const run = (sequence: number): Reply => {
    const outcomes: Outcome[] = []
    const calls = sequence === 1 ? [buffers("SET", "a", "x"), buffers("DEL", "b"), buffers("MSET", "c", "1", "d", "2"), buffers("APPEND", "a", "y")] : [buffers("SET", "a", "x"), buffers("INCR", "n")]
    replica.apply(entryOf(1 + sequence, 1, { type: "Execute", session: 1, secret: secretFor("t"), sequence, lowest: sequence, exec: true, watches: [], calls }), outcomes)
    const [outcome] = outcomes
    if (outcome?.type !== "replied") throw new Error("no answer")
    return outcome.reply
  }
  return { store, replica, told, run }
}

/** A store that counts what is read and written of it. */
const mapStore = (): Store & { items: Map<string, Item>; moved: number; fault: Error | null } => {
  let undos: (() => void)[] = []
  const name = (key: Buffer): string => key.toString("latin1")
  const store = {
    items: new Map<string, Item>(),
    moved: 0,
    fault: null as Error | null,
    get: (key: Buffer) => {
      if (store.fault !== null) throw store.fault
      const item = store.items.get(name(key))
      if (item !== undefined && item.length <= INLINE) store.moved += item.length
      return item
    },
    value: (_: Buffer, item: Item) => {
      if (item.length > INLINE) store.moved += item.length
      return item.value ?? Buffer.alloc(0)
    },
    put: (key: Buffer, item: Item) => {
      const { items } = store
      const before = items.get(name(key))
      undos.push(() => (before === undefined ? items.delete(name(key)) : items.set(name(key), before)))
      store.moved += key.length + (before?.value === item.value ? 0 : item.length)
      items.set(name(key), item)
    },
    delete: (key: Buffer) => {
      const { items } = store
      const before = items.get(name(key))
      if (before === undefined) return
      undos.push(() => items.set(name(key), before))
      items.delete(name(key))
    },
    clear: () => {
      const before = store.items
      undos.push(() => {
        store.items = before
      })
      store.items = new Map()
    },
    begin: () => {
      undos = []
    },
    undo: () => {
      for (const undo of undos.reverse()) undo()
    },
  }
  return store
}

const key = fc.constantFrom("a", "b", "c", "d")
const value = fc.oneof(fc.constantFrom("", "1", "17", "x".repeat(100)), fc.nat({ max: 20_000 }).map((size) => "v".repeat(size)))
const call: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("SET"), key, value) },
  fc.tuple(fc.constant("SET"), key, value, fc.constantFrom("NX", "XX", "GET", "KEEPTTL")),
  fc.tuple(fc.constant("SET"), key, value, fc.constant("PX"), fc.constantFrom("1", "1000", "x", "9223372036854775807")),
  fc.tuple(fc.constantFrom("GET", "GETDEL", "GETEX", "STRLEN", "INCR", "TTL", "PERSIST", "TYPE", "DEL", "UNLINK", "EXISTS", "nonsense"), key),
  fc.tuple(fc.constantFrom("DEL", "EXISTS", "MGET"), key, key, key),
  fc.tuple(fc.constantFrom("APPEND", "GETSET", "SETNX"), key, value),
  fc.tuple(fc.constantFrom("GETEX"), key, fc.constantFrom("PERSIST", "EX"), fc.constantFrom("5", "0")),
  fc.tuple(fc.constantFrom("MSET", "MSETNX"), key, value, key, value),
  fc.tuple(fc.constant("CAS"), key, value, value),
  fc.tuple(fc.constant("EXPIRE"), key, fc.constantFrom("5", "-1", "z"), fc.constantFrom("NX", "GT", "y".repeat(9000))),
  fc.constant(["FLUSHALL"]),
)
const entry = fc.record({ exec: fc.boolean(), calls: fc.array(call, { minLength: 1, maxLength: 8 }) })

describe("the account", () => {
  test("covers what is read, written and returned; what is refused leaves nothing behind", () => {
    let refusals = 0
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 12 }), fc.integer({ min: 20_000, max: 200_000 }), (entries, limit) => {
        const store = mapStore()
        const meter = new Meter(limit)
        const replica = new Replica(store, origin, new Sessions(1000), undefined, meter)
        replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
        entries.forEach(({ exec, calls }, i) => {
          const before = new Map(store.items)
          store.moved = 0
          const outcomes: Outcome[] = []
          replica.apply(entryOf(2 + i, 1, { type: "Execute", session: 1, secret: secretFor("t"), sequence: 1 + i, lowest: 1 + i, exec: exec || calls.length > 1, watches: [], calls: calls.map((words) => buffers(...words)) }), outcomes)
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
      }),
      { numRuns: many(20_000, 150) },
    )
    // Else the second half says nothing.
    expect(refusals).toBeGreaterThan(50)
  })
  test("a call and a key count what the constants say", () => {
    const meter = new Meter()
    const replica = new Replica(mapStore(), origin, new Sessions(1000), undefined, meter)
    replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
    replica.apply(entryOf(2, 1, { type: "Execute", session: 1, secret: secretFor("t"), sequence: 1, lowest: 1, exec: false, watches: [], calls: [buffers("SET", "key", "value")] }), [])
    expect(meter.cost).toBe(CALL_COST + KEY_COST + 8)
  })
})

/** LevelDB's records of large values, by key; those that a FLUSHALL left go in the background. */
const valuesIn = async (directory: string): Promise<string[]> => {
  const db = new ClassicLevel<Buffer, Buffer>(join(directory, readFileSync(join(directory, "current"), "utf8").trim()), { keyEncoding: "buffer", valueEncoding: "buffer", compression: false })
  const { generation } = decodePosition((await db.get(positionKey)) ?? Buffer.alloc(0))
  const found = await db.keys(generationRange(VALUE, generation)).all()
  await db.close()
  return found.map((name) => userKey(name).toString("latin1"))
}

describe("large values stand apart", () => {
  test("both machines agree, through restarts and snapshots, and no value stays behind its key", async () => {
    const calls = fc.array(fc.oneof({ weight: 20, arbitrary: entry }, { weight: 1, arbitrary: fc.constantFrom("restart" as const, "move" as const) }), { minLength: 1, maxLength: 40, size: "max" })
    await fc.assert(
      fc.asyncProperty(calls, async (steps) => {
        const pair = await Pair.make()
        for (const step of steps) {
          if (typeof step !== "string") await pair.apply([pair.entry(step.exec || step.calls.length > 1, step.calls)])
          else {
            const before = pair.held
            if (step === "restart") await before.close()
            pair.held = await open(step === "restart" ? before.directory : temporary())
            if (step === "move") {
              await transfer(before, pair.held)
              await before.close()
            }
          }
        }
        await pair.same()
        const lengths = await Promise.all(["a", "b", "c", "d"].map(async (name) => [name, Number(await pair.read("STRLEN", name))] as const))
        await pair.close()
        expect((await valuesIn(pair.held.directory)).sort()).toEqual(lengths.filter(([, length]) => length > INLINE).map(([name]) => name))
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
    const db = new ClassicLevel<Buffer, Buffer>(join(directory, readFileSync(join(directory, "current"), "utf8").trim()), { keyEncoding: "buffer", valueEncoding: "buffer", compression: false })
    await db.put(valueKey(0, Buffer.from("big")), Buffer.alloc(100_000, "c"))
    await db.close()
    for (const reads of [["GET", "big"], ["MGET", "big"], null]) {
      const held = await open(directory)
      for (const [words, reply] of [[["STRLEN", "big"], 100_000], [["TTL", "big"], -1], [["EXISTS", "big"], 1], [["TYPE", "big"], "+string"], [["KEYS", "*"], ["big"]], [["DBSIZE"], 1]] as const) {
        expect(await held.get(...words)).toEqual(reply)
      }
      expect(held.damages).toEqual([])
      if (reads === null) await expect(digest(held)).rejects.toThrow(/fails its checksum/)
      else expect(await held.get(...reads)).toMatch(/^-REBUILDING/)
      expect(held.damages.map(({ message }) => message)).toEqual([expect.stringMatching(/the value of the key that starts with "big" fails its checksum/)])
      await held.close()
    }
  })
  test("a value that is missing is damage too", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big.subarray(0, 100_000))
    const { directory } = pair.held
    await pair.close()
    const db = new ClassicLevel<Buffer, Buffer>(join(directory, readFileSync(join(directory, "current"), "utf8").trim()), { keyEncoding: "buffer", valueEncoding: "buffer", compression: false })
    await db.del(valueKey(0, Buffer.from("big")))
    await db.close()
    const held = await open(directory)
    expect(await held.get("GET", "big")).toMatch(/^-REBUILDING/)
    expect(held.damages.map(({ message }) => message)).toEqual([expect.stringMatching(/the value of the key that starts with "big" is missing/)])
    await held.close()
  })
})

describe("reads", () => {
  test("a reply is refused by its size before it is made: MGET, KEYS, GET; SCAN gives less at a time", async () => {
    const pair = await Pair.make()
    await pair.call("SET", "big", big)
    const mget = (count: number): string[] => ["MGET", ...times(count, () => "big")]
    for (const machine of [pair.held.machine, pair.twin]) {
      const refused = (count: number): unknown => tooLarge(new RegExp(`the reply would have .* at most ${count} are allowed`))
      for (const count of [5, 64, 700]) expect(plain(await machine.read(buffers(...mget(count))))).toEqual(refused(32 << 20))
      expect(plain(await machine.read(buffers("GET", "big"), MAX_VALUE - 1))).toEqual(refused(MAX_VALUE - 1))
      expect(plain(await machine.read(buffers("MGET", "big"), MAX_VALUE))).toHaveLength(1)
      expect(plain(await machine.read(buffers("MGET", "big", "none", "big"), MAX_VALUE * 2))).toEqual([big.toString("latin1"), null, big.toString("latin1")])
    }
    const keys = times(40, (i) => `${i}`.padStart(50_000, "k"))
    for (const name of keys) await pair.call("SET", name, "1")
    for (const machine of [pair.held.machine, pair.twin]) {
      expect(plain(await machine.read(buffers("KEYS", "*"), 1 << 20))).toEqual(tooLarge(/the reply would have/))
      const seen: unknown[] = []
      let cursor = "0"
      do {
        const [next, found] = plain(await machine.read(buffers("SCAN", cursor, "COUNT", "9999999999"))) as [string, string[]]
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
      for (const words of [["KEYS"], ["SCAN", "0", "MATCH"]]) expect(plain(await machine.read(buffers(...words, `*${"a".repeat(50_000)}b`)))).toEqual(tooLarge(/a pattern of 50002 bytes/))
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
    for (const pattern of [`*${"a".repeat(900)}b`, `*${"a".repeat(900)}b*`, `${"*a".repeat(400)}b`, `*${"[ab]".repeat(200)}c*d`, `*${"?".repeat(500)}b*`, `${"*?a".repeat(300)}*b*`]) {
      looks = 0
      expect(glob(Buffer.from(pattern))(counted)).toBe(false)
      expect(looks).toBeLessThanOrEqual(counted.length + 2000)
    }
  })
})

describe("a command over many keys", () => {
  test("is executed in parts, and answers and leaves behind what it would at once", () => {
    const names = fc.array(fc.nat({ max: 500 }), { minLength: 200, maxLength: 900, size: "max" })
    const command = fc.record({ name: fc.constantFrom("DEL", "UNLINK", "EXISTS", "MGET", "MSET", "mset", "MSETNX"), names, odd: fc.boolean(), exec: fc.boolean() })
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 4 }), (steps) => {
        const machine = new MemoryMachine()
        machine.applyNow([entryOf(1, 1000, { type: "OpenSession", owner: "o", secret: secretFor("t") })])
        const plainView = mapStore()
        steps.forEach(({ name, names: ids, odd, exec }, i) => {
          const pairs = name.toUpperCase().startsWith("MSET")
          const call = buffers(name, ...ids.flatMap((id) => (pairs ? [`k${id}`, `${i}`] : [`k${id}`])), ...(pairs && odd ? ["k1"] : []))
          const [outcome] = machine.applyNow([entryOf(2 + i, 1000, { type: "Execute", session: 1, secret: secretFor("t"), sequence: 1 + i, lowest: 1 + i, exec, watches: [], calls: [call] })])
          if (outcome?.type !== "replied") throw new Error("no answer")
          const atOnce = execute(
            {
              now: 1000, index: 2 + i, get: plainView.get, value: plainView.value, answering: () => undefined, charge: () => undefined, delete: plainView.delete, clear: plainView.clear, touch: () => undefined,
              put: (key, value, expiry) => plainView.put(key, { value, length: value.length, crc: 0, version: 2 + i, expiry }),
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
    const replica = new Replica(store, origin, new Sessions(1000))
    replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
    const outcomes: Outcome[] = []
    const going = replica.start(entryOf(2, 1, { type: "Execute", session: 1, secret: secretFor("t"), sequence: 1, lowest: 1, exec: false, watches: [], calls: [buffers("MSET", ...keys.flatMap((key) => [key, "1"]))] }), outcomes)
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
    for (let at = 0; at < entries.length; ) {
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
