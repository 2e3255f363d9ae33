/** A state machine that cannot write for want of room waits, keeps what it has, and goes on by itself. */
import { ClassicLevel } from "classic-level"
import { afterAll, afterEach, describe, expect, test } from "vitest"
import { MemoryMachine } from "../kv/machine/index.ts"
import { Log, digest, open, removeTemporary, temporary } from "./machine.kit.ts"
import { until } from "./tcp.nodes.ts"

afterAll(removeTemporary)

/**
 * Puts faults before and after a method of a class or object; null: there is none at the moment. Returns how to take them
 * out.
 */
const before = (
  target: object,
  name: string,
  fault: () => Error | null,
  afterwards: () => Error | null = () => null,
): (() => void) => {
  const original: unknown = Reflect.get(target, name)
  if (typeof original !== "function") throw new Error(`there is no ${name}`)
  Reflect.set(target, name, async function (this: unknown, ...args: unknown[]) {
    const error = fault()
    if (error !== null) throw error
    await Reflect.apply(original, this, args)
    const late = afterwards()
    if (late !== null) throw late
  })
  return () => Reflect.set(target, name, original)
}
let refuse: (() => Error | null) | null = null
let late: (() => Error | null) | null = null
let opens: (() => Error | null) | null = null
const restore = before(ClassicLevel.prototype, "_open", () => opens?.() ?? null)
const makeBatch: unknown = Reflect.get(ClassicLevel.prototype, "_chainedBatch")
Reflect.set(ClassicLevel.prototype, "_chainedBatch", function (this: unknown) {
  if (typeof makeBatch !== "function") throw new Error("there are no batches")
  const batch: unknown = Reflect.apply(makeBatch, this, [])
  if (typeof batch === "object" && batch !== null)
    before(
      batch,
      "_write",
      () => refuse?.() ?? null,
      () => late?.() ?? null,
    )
  return batch
})
afterEach(() => {
  refuse = null
  late = null
  opens = null
})
afterAll(() => {
  restore()
  Reflect.set(ClassicLevel.prototype, "_chainedBatch", makeBatch)
})

const full = (): Error =>
  new Error("Database is not open for writes", {
    cause: new Error("IO error: /data/000007.log: No space left on device"),
  })

describe("without room", () => {
  for (const [name, error, writeAfter] of [
    ["the disk is full", full, 10],
    ["the quota is used up", () => Object.assign(new Error("write"), { code: "EDQUOT" }), 0],
    ["there are no more descriptors", () => new Error("IO error: /data/000007.ldb: Too many open files"), 0],
  ] as const) {
    test(`${name}: nothing is lost, nobody ends; reads say so; it goes on once there is room`, async () => {
      const reports: string[] = []
      const held = await open(temporary(), { writeAfter, report: (text) => reports.push(text) })
      const twin = new MemoryMachine()
      const log = new Log()
      for (let i = 0; i < 30; i++) log.call("APPEND", `k${i % 7}`, `${i},`)
      await held.apply(log.entries.slice(0, 10))
      let refusals = 0
      let reopenings = 0
      refuse = () => (refusals++ < 2 ? error() : null)
      opens = () => (reopenings++ === 0 ? error() : null)
      const applying = held.apply(log.entries.slice(10))
      const scanning = applying.then(() => held.get("SCAN", "0"))
      if (writeAfter > 0) expect(await scanning).toMatch(/^-LOADING this node has no disk space/)
      await until("the machine says that it waits", () => held.machine.stats().short !== null)
      // What was answered already is executed, and is not served before it is executed again.
      expect(held.index()).toBe(31)
      expect(await held.get("GET", "k0")).toMatch(/^-LOADING this node has no disk space/)
      await applying
      await until("it goes on", () => held.machine.stats().short === null)
      expect([held.index(), held.machine.stats().short]).toEqual([31, null])
      expect([held.damages, held.failures]).toEqual([[], []])
      expect(reports).toEqual([expect.stringContaining("Nothing is lost"), expect.stringContaining("continues")])
      twin.applyNow(log.entries)
      expect(await digest(held)).toBe(twin.digest())
      expect(new Set(held.replies.map(([, sequence]) => sequence)).size).toBe(30)
      const { directory } = held
      await held.close()
      const again = await open(directory)
      expect(await digest(again)).toBe(twin.digest())
      await again.close()
    })
  }
  test("a batch that had reached the disk all the same is not executed again, and the machine goes on", async () => {
    const held = await open(temporary(), { writeAfter: 0 })
    const log = new Log()
    for (let i = 0; i < 5; i++) log.call("APPEND", "k", `${i},`)
    let times = 0
    late = () => (times++ === 0 ? full() : null)
    await held.apply(log.entries)
    expect([held.machine.stats().short, await held.get("GET", "k")]).toEqual([null, "0,1,2,3,4,"])
    await held.close()
  })
  test("it says that it is alive, for who executes without a word ends the node", async () => {
    const held = await open(temporary())
    const log = new Log()
    log.call("SET", "a", "1")
    refuse = full
    held.machine.apply(log.entries)
    await until(
      "the machine has told so twice while it waits",
      () => held.progress >= 2 && held.machine.stats().short !== null,
    )
    await held.close()
  })
  test("it can be stopped while it waits", async () => {
    const held = await open(temporary())
    const log = new Log()
    log.call("SET", "a", "1")
    refuse = full
    held.machine.apply(log.entries)
    await until("the machine says that it waits", () => held.machine.stats().short !== null)
    await held.close()
    expect([held.damages, held.failures]).toEqual([[], []])
    refuse = null
    const again = await open(held.directory)
    await again.apply(log.entries)
    expect(await again.get("GET", "a")).toBe("1")
    await again.close()
  })
  test("any other failure to write stops the node, as before", async () => {
    const held = await open(temporary())
    const log = new Log()
    refuse = () => new Error("IO error: /data/000007.log: Input/output error")
    await held.apply(log.entries)
    expect(await held.get("SCAN", "0")).toMatch(/^-REBUILDING/)
    expect(held.failures.map((error) => error.name)).toEqual(["MachineUnusable"])
    await held.close()
  })
})
