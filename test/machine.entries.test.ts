/** What single entries do, whatever befalls the node between them: WATCH of absent keys, entries handed over again, time. */
import { afterAll, describe, expect, test } from "vitest"
import { MemoryMachine } from "../kv/machine/index.ts"
import type { Watch } from "../kv/types.ts"
import { buffers, digest, Log, open, plain, removeTemporary, secretFor, temporary, transfer } from "./machine.kit.ts"

afterAll(removeTemporary)

describe("the WATCH of a key that does not exist", () => {
  /** What is done meanwhile, and whether the transaction must not run then. */
  const cases: readonly (readonly [string, readonly (readonly string[])[], number, boolean])[] = [
    ["nothing", [], 0, false],
    [
      "others come and go",
      [
        ["SET", "b", "1"],
        ["DEL", "b", "c"],
        ["SET", "c", "1", "PX", "5"],
      ],
      10,
      false,
    ],
    [
      "what is not there is removed",
      [
        ["DEL", "a"],
        ["GETDEL", "a"],
        ["PEXPIRE", "a", "5"],
      ],
      10,
      false,
    ],
    ["it comes", [["SET", "a", "1"]], 0, true],
    [
      "it comes and goes",
      [
        ["SET", "a", "1"],
        ["DEL", "a"],
      ],
      0,
      true,
    ],
    [
      "it comes and goes as another",
      [
        ["SET", "a", "1"],
        ["RENAME", "a", "b"],
      ],
      0,
      true,
    ],
    ["it comes and expires", [["SET", "a", "1", "PX", "5"]], 10, true],
    [
      "it comes, and expires by a later word",
      [
        ["SET", "a", "1"],
        ["PEXPIRE", "a", "5"],
      ],
      10,
      true,
    ],
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
        log.add({
          type: "Execute",
          session: log.session,
          secret: secretFor("t"),
          sequence: sequence + i,
          lowest: sequence,
          exec: true,
          watches: [{ key: Buffer.from("a"), version: watched }],
          calls: [buffers("STRLEN", "a")],
        })
      twin.applyNow(log.from(at))
      await held.apply(log.from(now))
      await other.apply(log.from(now))
      const there = plain(twin.read(buffers("EXISTS", "a"))) === 1
      for (const node of [held, other])
        expect(
          node.replies.slice(-2).map(([, , reply]) => reply),
          name,
        ).toEqual([fails ? null : [0], there ? null : [0]])
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
    const watches = ["never", "there", "gone", "expired", "within"].map((name): Watch => ({
      key: Buffer.from(name),
      version: held.machine.version(Buffer.from(name)),
    }))
    const kept: [string, number][] = []
    held.machine.onFlush?.((fits, version) =>
      kept.push(...watches.filter(fits).map(({ key }): [string, number] => [Buffer.from(key).toString(), version])),
    )
    const at = log.entries.length
    for (const words of [
      ["SET", "gone", "1"],
      ["DEL", "gone"],
      ["SET", "expired", "1", "PX", "5"],
    ])
      log.call(...words)
    log.time += 10
    const flush = log.add({
      type: "Execute",
      session: log.session,
      secret: secretFor("t"),
      sequence: 5,
      lowest: 5,
      exec: true,
      watches: [],
      calls: [buffers("SET", "within", "1"), buffers("FLUSHALL")],
    })
    const keeps = (version: number, sequence: number): number =>
      log.add({
        type: "Execute",
        session: log.session,
        secret: secretFor("t"),
        sequence,
        lowest: sequence,
        exec: true,
        watches: [{ key: Buffer.from("never"), version }],
        calls: [buffers("EXISTS", "never")],
      })
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
    const execute = (sequence: number, watches: readonly Watch[], ...calls: (readonly string[])[]): void =>
      void log.add({
        type: "Execute",
        session: log.session,
        secret: secretFor("t"),
        sequence,
        lowest: sequence,
        exec: true,
        watches,
        calls: calls.map((words) => buffers(...words)),
      })
    execute(
      1,
      [],
      ["SET", "a", "1"],
      ["DEL", "a"],
      ["SET", "a", "1", "PX", "1"],
      ["FLUSHALL"],
      ["SET", "a", big],
      ["GET", "a"],
      ["GET", "a"],
    )
    execute(2, [{ key: Buffer.from("a"), version }], ["EXISTS", "a"])
    const told: unknown[] = []
    twin.listen({
      replied: ({ reply }) => void told.push(plain(reply)),
      opened: () => undefined,
      closed: () => undefined,
      restored: () => undefined,
    })
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
