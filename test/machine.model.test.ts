/** The LevelDB machine, the in-memory twin and a naive model of the replicated store, over random logs. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import type { Command, Watch } from "../kv/types.ts"
import { buffers, digest, entryOf, Log, open, plain, removeTemporary, secretFor, temporary, transfer, type Held } from "./machine.kit.ts"

afterAll(removeTemporary)

/** Written from the commands' documentation, not from the code: strings and deadlines in a plain object. */
class Naive {
  data: Record<string, { value: string; until: number; version: number }> = Object.create(null)
  /** The last entry that wrote or removed the key. A FLUSHALL counts for all: who watches an absent key may be told that it changed. */
  private changed: Record<string, number> = Object.create(null)
  private at(key: string, now: number): { value: string; until: number; version: number } | undefined {
    const found = this.data[key]
    return found === undefined || found.until <= now ? undefined : found
  }
  run(words: readonly string[], now: number, version: number): unknown {
    const [name = "", key = "", a = "", b = ""] = words
    const old = this.at(key, now)
    const put = (value: string, until: number): void => {
      this.data[key] = { value, until, version }
      this.changed[key] = version
    }
    switch (name) {
      case "SET":
        if (b === "NX" && old !== undefined) return null
        put(a, b === "PX" ? now + Number(words[4]) : Infinity)
        return "+OK"
      case "GET":
        return old?.value ?? null
      case "APPEND":
        put((old?.value ?? "") + a, old?.until ?? Infinity)
        return (old?.value ?? "").length + a.length
      case "INCR": {
        const value = old === undefined ? 0 : /^(0|-?[1-9]\d*)$/.test(old.value) && old.value.length < 15 ? Number(old.value) : NaN
        if (Number.isNaN(value)) return "-ERR value is not an integer or out of range"
        put(String(value + 1), old?.until ?? Infinity)
        return value + 1
      }
      case "DEL":
        delete this.data[key]
        if (old !== undefined) this.changed[key] = version
        return old === undefined ? 0 : 1
      case "PEXPIRE":
        if (old === undefined) return 0
        put(old.value, now + Number(a))
        return 1
      case "PTTL":
        return old === undefined ? -2 : old.until === Infinity ? -1 : old.until - now
      case "CAS":
        if (old?.value !== a) return 0
        put(b, old.until)
        return 1
      case "FLUSHALL":
        this.data = Object.create(null)
        for (const name of KEYS) this.changed[name] = version
        return "+OK"
      default:
        throw new Error(`no such command: ${name}`)
    }
  }
  keys(now: number): string[] {
    return Object.keys(this.data).filter((key) => this.at(key, now) !== undefined).sort()
  }
  value(key: string, now: number): string | null {
    return this.at(key, now)?.value ?? null
  }
  version(key: string, now: number, index: number): number {
    return this.at(key, now)?.version ?? 2 ** 47 + index
  }
  /** Since the entry `index`, after which it was there or not. */
  differs(key: string, index: number, was: boolean, now: number): boolean {
    return (this.changed[key] ?? 0) > index || (this.at(key, now) !== undefined) !== was
  }
}

const KEYS = ["a", "b", "c", "dd", ""]
const key = fc.constantFrom(...KEYS)
const value = fc.oneof(fc.constantFrom("", "1", "x", "41"), fc.string({ maxLength: 6, unit: "binary-ascii" }))
const millis = fc.integer({ min: 1, max: 60 })
const words: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("SET"), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("SET"), key, value, fc.constant("PX"), millis.map(String)) },
  fc.tuple(fc.constant("SET"), key, value, fc.constant("NX")),
  fc.tuple(fc.constant("GET"), key),
  { weight: 3, arbitrary: fc.tuple(fc.constant("APPEND"), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("INCR"), key) },
  fc.tuple(fc.constant("DEL"), key),
  fc.tuple(fc.constant("PEXPIRE"), key, millis.map(String)),
  fc.tuple(fc.constant("PTTL"), key),
  fc.tuple(fc.constant("CAS"), key, value, value),
  { weight: 1, arbitrary: fc.constant(["FLUSHALL"]) },
)
/** What happens: commands (some of them sent twice, or out of order), time passing, batches ending, nodes restarting. */
const action = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant("call" as const), words, repeat: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), millis: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("watch" as const), key }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("exec" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("gap" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("openAgain" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("batch" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("checkpoint" as const) }) },
)

const compare = async (held: Held, twin: MemoryMachine, naive: Naive): Promise<void> => {
  const { machine } = held
  expect(machine.position()).toEqual(twin.position())
  const now = machine.now()
  expect(((await held.get("KEYS", "*")) as string[]).sort()).toEqual(naive.keys(now))
  expect(await held.get("DBSIZE")).toEqual(naive.keys(now).length)
  for (const name of KEYS) {
    expect(await held.get("GET", name)).toEqual(naive.value(name, now))
    expect(plain(twin.read(buffers("GET", name)))).toEqual(naive.value(name, now))
    expect(machine.version(Buffer.from(name))).toBe(naive.version(name, now, twin.position().index))
    expect(twin.version(Buffer.from(name))).toBe(machine.version(Buffer.from(name)))
  }
  expect(await digest(held)).toBe(twin.digest())
}

describe("one log, three stores", () => {
  test("LevelDB, twin and model agree after every batch, through restarts, retries and checkpoints", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 120, size: "max" }), async (actions) => {
        const directory = temporary()
        let held = await open(directory)
        const twin = new MemoryMachine()
        const naive = new Naive()
        const entries: Entry[] = []
        const expected: unknown[] = []
        const replies: unknown[] = []
        let time = 1000
        let session = 0
        let sequence = 0
        let applied = 0
        let watched: { readonly key: string; readonly version: number; readonly index: number; readonly was: boolean } | null = null
        const add = (command: Command): void => {
          entries.push(entryOf(entries.length + 1, time, command))
        }
        const begin = (): void => {
          session = entries.length + 1
          add({ type: "OpenSession", owner: "me", secret: secretFor(`t${session}`) })
          sequence = 0
        }
        const flush = async (): Promise<void> => {
          const batch = entries.slice(applied)
          applied = entries.length
          if (batch.length === 0) return
          twin.applyNow(batch)
          await held.apply(batch)
          for (const [, , reply] of held.replies.splice(0)) replies.push(reply)
          expect(replies).toEqual(expected)
          await compare(held, twin, naive)
        }
        begin()
        for (const step of actions) {
          switch (step.do) {
            case "call": {
              sequence++
              const command: Command = { type: "Execute", session, secret: secretFor(`t${session}`), sequence, lowest: Math.max(1, sequence - 3), exec: false, watches: [], calls: [buffers(...step.words)] }
              add(command)
              const reply = naive.run(step.words, time, entries.length)
              expected.push(reply)
              // The same command again: the kept reply, no second effect.
              if (step.repeat === 0) {
                add(command)
                expected.push(reply)
              }
              break
            }
            case "watch":
              await flush()
              watched = { key: step.key, version: held.machine.version(Buffer.from(step.key)), index: applied, was: naive.value(step.key, time) !== null }
              break
            case "exec": {
              if (watched === null) break
              const { key: name, version, index, was } = watched
              sequence++
              add({ type: "Execute", session, secret: secretFor(`t${session}`), sequence, lowest: Math.max(1, sequence - 3), exec: true, watches: [{ key: Buffer.from(name), version }], calls: [buffers("GET", name)] })
              expected.push(naive.differs(name, index, was, time) ? null : [naive.value(name, time)])
              break
            }
            case "gap":
              add({ type: "Execute", session, secret: secretFor(`t${session}`), sequence: sequence + 2, lowest: 1, exec: false, watches: [], calls: [buffers("APPEND", "a", "never")] })
              expected.push(`-OUTOFORDER sequence ${sequence + 1} comes next; nothing was executed`)
              break
            case "reopen": {
              const earlier = session
              add({ type: "CloseSession", session, secret: secretFor(`t${session}`) })
              begin()
              add({ type: "Execute", session: earlier, secret: secretFor(`t${earlier}`), sequence: 1, lowest: 1, exec: false, watches: [], calls: [buffers("APPEND", "a", "never")] })
              expected.push("-SESSIONEXPIRED the session is unknown, closed or expired, or this is not its key; nothing was executed")
              break
            }
            // The opening proposed a second time: nothing changes.
            case "openAgain":
              add({ type: "OpenSession", owner: "me", secret: secretFor(`t${session}`) })
              break
            case "wait":
              time += step.millis
              add({ type: "Tick" })
              break
            case "batch":
              await flush()
              break
            case "checkpoint":
              expect(await held.machine.takeSnapshot()).toEqual(held.machine.position())
              break
            case "restart":
              await flush()
              await held.close()
              held = await open(directory)
              expect(held.index()).toBe(applied)
              await compare(held, twin, naive)
              break
          }
        }
        await flush()
        await held.close()
        removeTemporary()
      }),
      { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 15 : 40 },
    )
  }, 120_000)

  test("the clone of a twin goes its own way", () => {
    const log = new Log()
    log.call("SET", "a", "1")
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    const clone = twin.clone()
    const before = twin.digest()
    log.call("APPEND", "a", "2")
    clone.applyNow(log.from(2))
    expect(twin.digest()).toBe(before)
    expect(plain(clone.read(buffers("GET", "a")))).toBe("12")
    twin.applyNow(log.from(2))
    expect(clone.digest()).toBe(twin.digest())
  })
})

describe("the WATCH of a key that does not exist", () => {
  /** What is done meanwhile, and whether the transaction must not run then. */
  const cases: readonly (readonly [string, readonly (readonly string[])[], number, boolean])[] = [
    ["nothing", [], 0, false],
    ["others come and go", [["SET", "b", "1"], ["DEL", "b", "c"], ["SET", "c", "1", "PX", "5"]], 10, false],
    ["what is not there is removed", [["DEL", "a"], ["GETDEL", "a"], ["PEXPIRE", "a", "5"]], 10, false],
    ["it comes", [["SET", "a", "1"]], 0, true],
    ["it comes and goes", [["SET", "a", "1"], ["DEL", "a"]], 0, true],
    ["it comes and goes as another", [["SET", "a", "1"], ["RENAME", "a", "b"]], 0, true],
    ["it comes and expires", [["SET", "a", "1", "PX", "5"]], 10, true],
    ["it comes, and expires by a later word", [["SET", "a", "1"], ["PEXPIRE", "a", "5"]], 10, true],
    ["it comes with an end that has passed", [["SET", "a", "1", "PXAT", "1"]], 0, true],
    ["it comes and all goes", [["SET", "a", "1"], ["FLUSHALL"]], 0, true],
  ]
  test("fails if it was there meanwhile: at once, after a restart and after a snapshot", async () => {
    for (const [name, calls, millis, fails] of cases) {
      const log = new Log(1000)
      log.call("SET", "a", "1", "PX", "1")
      log.call("DEL", "b")
      log.time += 10
      log.add({ type: "Tick" })
      let held = await open(temporary())
      const twin = new MemoryMachine()
      await held.apply(log.entries)
      twin.applyNow(log.entries)
      const version = held.machine.version(Buffer.from("a"))
      const at = log.entries.length
      for (const call of calls) log.call(...call)
      log.time += millis
      log.add({ type: "Tick" })
      await held.apply(log.from(at))
      await held.close()
      held = await open(held.directory)
      const other = await open(temporary(), { node: "n2" })
      await transfer(held, other)
      const now = log.entries.length
      const sequence = calls.length + 3
      // Of the two watches one asks no more than that it does not exist.
      for (const [i, watched] of [version, 0].entries())
        log.add({ type: "Execute", session: log.session, secret: secretFor("t"), sequence: sequence + i, lowest: sequence, exec: true, watches: [{ key: Buffer.from("a"), version: watched }], calls: [buffers("STRLEN", "a")] })
      twin.applyNow(log.from(at))
      await held.apply(log.from(now))
      await other.apply(log.from(now))
      const there = plain(twin.read(buffers("EXISTS", "a"))) === 1
      for (const node of [held, other]) expect(node.replies.slice(-2).map(([, , reply]) => reply), name).toEqual([fails ? null : [0], there ? null : [0]])
      expect(await digest(held)).toBe(twin.digest())
      expect(await digest(other)).toBe(twin.digest())
      await held.close()
      await other.close()
    }
  }, 60_000)
  test("a FLUSHALL touches only what is there: whoever keeps watches on the node is told which may go on", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    log.call("SET", "there", "1")
    await held.apply(log.entries)
    const watches = ["never", "there", "gone", "expired", "within"].map((name): Watch => ({ key: Buffer.from(name), version: held.machine.version(Buffer.from(name)) }))
    const kept: [string, number][] = []
    held.machine.onFlush?.((fits, version) => kept.push(...watches.filter(fits).map(({ key }): [string, number] => [Buffer.from(key).toString(), version])))
    const at = log.entries.length
    for (const words of [["SET", "gone", "1"], ["DEL", "gone"], ["SET", "expired", "1", "PX", "5"]]) log.call(...words)
    log.time += 10
    const flush = log.add({ type: "Execute", session: log.session, secret: secretFor("t"), sequence: 5, lowest: 5, exec: true, watches: [], calls: [buffers("SET", "within", "1"), buffers("FLUSHALL")] })
    const keeps = (version: number, sequence: number): number => log.add({ type: "Execute", session: log.session, secret: secretFor("t"), sequence, lowest: sequence, exec: true, watches: [{ key: Buffer.from("never"), version }], calls: [buffers("EXISTS", "never")] })
    keeps(2 ** 47 + flush, 6)
    keeps(2 ** 47 + flush - 1, 7)
    await held.apply(log.from(at))
    expect(kept).toEqual([["never", 2 ** 47 + flush]])
    expect(held.replies.slice(-2).map(([, , reply]) => reply)).toEqual([[0], null])
    await held.close()
  })
  test("does not count what was undone", () => {
    const log = new Log(1000)
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    const version = twin.version(Buffer.from("a"))
    const big = "x".repeat(7 << 20)
    const execute = (sequence: number, watches: readonly Watch[], ...calls: (readonly string[])[]): void => void log.add({ type: "Execute", session: log.session, secret: secretFor("t"), sequence, lowest: sequence, exec: true, watches, calls: calls.map((words) => buffers(...words)) })
    execute(1, [], ["SET", "a", "1"], ["DEL", "a"], ["SET", "a", "1", "PX", "1"], ["FLUSHALL"], ["SET", "a", big], ["GET", "a"], ["GET", "a"])
    execute(2, [{ key: Buffer.from("a"), version }], ["EXISTS", "a"])
    const told: unknown[] = []
    twin.listen({ replied: ({ reply }) => void told.push(plain(reply)), opened: () => undefined, closed: () => undefined, restored: () => undefined })
    twin.applyNow(log.from(1))
    expect(told).toEqual([expect.stringMatching(/^-TOOLARGE/), [0]])
  })
})

describe("defect-D2: after a restart nothing is applied twice", () => {
  test("the log handed over again from any earlier point changes nothing", async () => {
    const log = new Log()
    for (let i = 0; i < 40; i++) log.call("APPEND", "list", `${i},`)
    const expected = Array.from({ length: 40 }, (_, i) => `${i},`).join("")
    for (const cut of [1, 7, 20, 40]) {
      const directory = temporary()
      let held = await open(directory)
      await held.apply(log.entries.slice(0, cut))
      await held.close()
      held = await open(directory)
      expect(held.index()).toBe(cut)
      // A careless interpreter starts over at entry 1, another somewhere in the middle.
      await held.apply(log.entries.slice(0, Math.min(41, cut + 10)))
      await held.apply(log.entries.slice(Math.max(0, cut - 5)))
      expect(await held.get("GET", "list")).toBe(expected)
      expect(held.index()).toBe(41)
      await held.close()
    }
  })
  test("a gap in what is handed over stops the node instead of being executed", async () => {
    const log = new Log()
    log.call("SET", "a", "1")
    log.call("SET", "a", "2")
    const held = await open(temporary())
    await held.apply(log.entries.slice(0, 1))
    await held.apply(log.entries.slice(2))
    expect(held.failures.map((error) => error.name)).toEqual(["MachineUnusable"])
    await held.close()
  })
})

describe("time", () => {
  test("a key is gone at its deadline on the replicated clock, for reads and writes alike, and Ticks remove it", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    log.call("SET", "a", "1", "PX", "500")
    for (let i = 0; i < 600; i++) log.call("SET", `k${String(i).padStart(3, "0")}`, "v", "PX", String(1000 + i))
    await held.apply(log.entries)
    expect(held.machine.earliestDeadline()).toBe(1500)
    let done = log.entries.length
    const step = async (time: number, ...call: string[]): Promise<void> => {
      log.time = time
      if (call.length === 0) log.add({ type: "Tick" })
      else log.call(...call)
      await held.apply(log.from(done))
      done = log.entries.length
    }
    await step(1499)
    expect(await held.get("GET", "a")).toBe("1")
    expect(await held.get("PTTL", "a")).toBe(1)
    await step(1500, "APPEND", "a", "new")
    expect(await held.get("GET", "a")).toBe("new")
    expect(await held.get("TTL", "a")).toBe(-1)
    expect(held.machine.version(Buffer.from("k000"))).toBe(3)
    await step(10_000)
    expect(held.machine.version(Buffer.from("k000"))).toBe(2 ** 47 + done)
    expect(await held.get("DBSIZE")).toBe(1)
    // More had expired than one tick removes: it is due again at once, until all are gone.
    expect(held.machine.earliestDeadline()).toBeLessThan(10_000)
    for (let i = 0; i < 20 && held.machine.earliestDeadline() !== null; i++) await step(10_000)
    expect(held.machine.earliestDeadline()).toBe(null)
    expect(await held.get("KEYS", "*")).toEqual(["a"])
    await held.close()
  })
  test("a stale deadline does not remove a key that was written anew", async () => {
    const held = await open(temporary())
    const log = new Log(1000)
    log.call("SET", "a", "1", "PX", "100")
    log.call("SET", "b", "1", "PX", "100")
    await held.apply(log.entries)
    log.call("SET", "a", "2")
    log.call("PEXPIRE", "b", "5000")
    await held.apply(log.from(3))
    log.time = 2000
    log.add({ type: "Tick" })
    await held.apply(log.from(5))
    expect(await held.get("MGET", "a", "b")).toEqual(["2", "1"])
    expect(held.machine.earliestDeadline()).toBe(6000)
    await held.close()
  })
  test("FLUSHALL of many keys is one step; what it left is removed, and comes back neither at once nor after a restart", async () => {
    const directory = temporary()
    let held = await open(directory)
    const log = new Log()
    for (let i = 0; i < 10_000; i++) log.call("SET", `k${i}`, "v", "EX", "100")
    await held.apply(log.entries)
    const before = log.entries.length
    log.call("FLUSHALL")
    log.call("SET", "k5", "after")
    await held.apply(log.from(before))
    expect(await held.get("DBSIZE")).toBe(1)
    expect(await held.get("MGET", "k4", "k5")).toEqual([null, "after"])
    expect(held.machine.earliestDeadline()).toBe(null)
    await held.close()
    held = await open(directory)
    expect(await held.get("KEYS", "*")).toEqual(["k5"])
    await held.close()
  })
})
