/** Exactly once: the contract of Command in kv/types.ts, on both machines. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { MAX_KEPT_REPLIES, MemoryMachine, NODE_OWNER, type Outcome } from "../kv/machine/index.ts"
import type { Command } from "../kv/types.ts"
import { buffers, digest, entryOf, open, plain, removeTemporary, temporary, transfer } from "./machine.kit.ts"

afterAll(removeTemporary)

class Script {
  readonly entries: Entry[] = []
  time = 1000
  add(command: Command): this {
    this.entries.push(entryOf(this.entries.length + 1, this.time, command))
    return this
  }
  open(owner: string, token = `t${this.entries.length + 1}`): this {
    return this.add({ type: "OpenSession", owner, token })
  }
  run(session: number, sequence: number, lowest: number, ...words: string[]): this {
    return this.add({ type: "Execute", session, sequence, lowest, exec: false, watches: [], calls: [buffers(...words)] })
  }
  exec(session: number, sequence: number, watches: readonly (readonly [string, number])[], ...calls: string[]): this {
    const watched = watches.map(([key, version]) => ({ key: Buffer.from(key), version }))
    return this.add({ type: "Execute", session, sequence, lowest: 1, exec: true, watches: watched, calls: calls.map((call) => buffers(...call.split(" "))) })
  }
}
const repliesOf = (out: readonly Outcome[]): unknown[] => out.flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
const expired = "-SESSIONEXPIRED the session is unknown, closed or expired; nothing was executed"

describe("sessions", () => {
  test("a retry answers with the kept reply; below `lowest` it is forgotten; a gap is refused", () => {
    const machine = new MemoryMachine()
    const script = new Script().open("o").run(1, 1, 1, "INCR", "n").run(1, 2, 1, "INCR", "n").run(1, 1, 1, "INCR", "n").run(1, 3, 3, "INCR", "n").run(1, 2, 3, "INCR", "n").run(1, 5, 3, "INCR", "n").run(1, 4, 3, "INCR", "n")
    expect(repliesOf(machine.applyNow(script.entries))).toEqual([
      1, 2, 1, 3, "-FORGOTTEN executed before; its reply was reported as arrived and is no longer kept", "-OUTOFORDER sequence 4 comes next; nothing was executed", 4,
    ])
    expect(machine.replyOf(1, 2)).toEqual({ type: "forgotten" })
    expect(machine.replyOf(1, 4)).toMatchObject({ type: "kept", reply: { type: "integer", value: 4 } })
    expect(machine.replyOf(1, 5)).toEqual({ type: "notExecuted" })
    expect(machine.replyOf(7, 1)).toEqual({ type: "expired" })
  })
  test("opening again ends the owner's earlier session; closing ends it too; others go on", () => {
    const machine = new MemoryMachine()
    const script = new Script().open("o").open("other").run(1, 1, 1, "INCR", "n").open("o").run(1, 2, 1, "INCR", "n").run(4, 1, 1, "INCR", "n").run(2, 1, 1, "INCR", "n").add({ type: "CloseSession", session: 4 }).run(4, 2, 1, "INCR", "n").run(99, 1, 1, "INCR", "n")
    expect(repliesOf(machine.applyNow(script.entries))).toEqual([1, expired, 2, 3, expired, expired])
  })
  test("an opening that is proposed twice opens once: at once, after a restart and after a snapshot; the session works on", async () => {
    const directory = temporary()
    let held = await open(directory)
    const twin = new MemoryMachine()
    const script = new Script()
    const opened: number[] = []
    const step = async (change: () => void): Promise<void> => {
      const from = script.entries.length
      change()
      const entries = script.entries.slice(from)
      for (const outcome of twin.applyNow(entries)) if (outcome.type === "opened") opened.push(outcome.session)
      await held.apply(entries)
      expect(await digest(held)).toBe(twin.digest())
    }
    await step(() => script.open("o", "a").open("o", "a"))
    await step(() => script.run(1, 1, 1, "INCR", "n").open("o", "a").run(1, 2, 1, "INCR", "n"))
    await held.close()
    held = await open(directory)
    await step(() => script.open("o", "a").run(1, 3, 1, "INCR", "n").run(1, 1, 1, "INCR", "n"))
    const other = await open(temporary())
    await transfer(held, other)
    await held.close()
    held = other
    twin.restoreNow([twin.imageNow()])
    await step(() => script.open("o", "a").run(1, 4, 1, "INCR", "n"))
    expect(held.replies.map(([, , reply]) => reply)).toEqual([4])
    expect(held.opened).toEqual([1])
    expect(opened).toEqual([1, 1, 1, 1, 1])
    // Another token is another opening.
    const next = script.entries.length + 1
    await step(() => script.open("o", "b").run(1, 5, 1, "INCR", "n").run(next, 1, 1, "INCR", "n").open("o", "b").run(next, 2, 1, "INCR", "n"))
    expect(held.replies.map(([, , reply]) => reply)).toEqual([4, expired, 5, 6])
    expect(held.opened).toEqual([1, next, next])
    await held.close()
  })
  test("a second copy of an opening counts as activity; after its session has expired it opens a new one", () => {
    const machine = new MemoryMachine(1000)
    const script = new Script().open("o", "a")
    script.time = 1999
    script.open("o", "a")
    script.time = 2998
    script.run(1, 1, 1, "INCR", "n")
    script.time = 3998
    script.open("o", "a").run(1, 2, 1, "INCR", "n").run(4, 1, 1, "INCR", "n")
    const out = machine.applyNow(script.entries)
    expect(out.flatMap((outcome) => (outcome.type === "opened" ? [outcome.session] : []))).toEqual([1, 1, 4])
    expect(repliesOf(out)).toEqual([1, expired, 2])
  })
  test("an idle session expires by the replicated clock, at the same entry on every node, whatever the batches", async () => {
    const script = new Script().open("a").open("b")
    script.time = 1999
    script.run(1, 1, 1, "INCR", "n")
    script.time = 2000
    script.run(2, 1, 1, "INCR", "n")
    script.time = 2998
    script.run(1, 2, 1, "INCR", "n")
    script.time = 3998
    script.run(1, 3, 1, "INCR", "n")
    const expected = [1, expired, 2, expired]
    expect(repliesOf(new MemoryMachine(1000).applyNow(script.entries))).toEqual(expected)
    for (const size of [1, 2, 6]) {
      const held = await open(temporary(), { sessionIdle: 1000 })
      for (let i = 0; i < script.entries.length; i += size) await held.apply(script.entries.slice(i, i + size))
      expect(held.replies.map(([, , reply]) => reply)).toEqual(expected)
      expect(held.machine.stats().sessions).toBe(0)
      await held.close()
    }
  })
  test("kept replies survive a restart, large ones are written once, arrived ones go", async () => {
    const directory = temporary()
    let held = await open(directory)
    const big = "x".repeat(1 << 20)
    const script = new Script().open("o").run(1, 1, 1, "SET", "big", big).run(1, 2, 1, "GET", "big")
    await held.apply(script.entries)
    const bytes = (): number => held.machine.stats().keptReplyBytes
    expect(bytes()).toBeGreaterThan(1 << 20)
    for (let i = 3; i < 30; i++) await held.apply(script.run(1, i, 2, "SET", "small", String(i)).entries.slice(-1))
    const before = await digest(held)
    await held.close()
    held = await open(directory)
    expect(await digest(held)).toBe(before)
    expect(held.machine.replyOf(1, 1)).toEqual({ type: "forgotten" })
    const kept = held.machine.replyOf(1, 2)
    expect(kept.type === "kept" && plain(kept.reply) === big).toBe(true)
    expect(held.machine.replyOf(1, 29)).toMatchObject({ type: "kept" })
    await held.apply(script.run(1, 30, 30, "GET", "small").entries.slice(-1))
    expect(bytes()).toBeLessThan(100)
    await held.close()
    held = await open(directory)
    expect(held.machine.stats()).toMatchObject({ sessions: 1, keptReplies: 1 })
    await held.close()
  })
  test("a client's session that keeps too much executes nothing more until replies are reported as arrived, on every node; a node's own goes on", async () => {
    const directory = temporary()
    let held = await open(directory)
    const twin = new MemoryMachine()
    const script = new Script().open("o").open(`${NODE_OWNER}n1`)
    for (let i = 1; i <= MAX_KEPT_REPLIES; i++) script.run(1, i, 1, "INCR", "n").run(2, i, 1, "INCR", "m")
    twin.applyNow(script.entries)
    await held.apply(script.entries)
    await held.close()
    held = await open(directory)
    const next = MAX_KEPT_REPLIES + 1
    const from = script.entries.length
    script.run(1, next, 1, "INCR", "n").run(1, next - 1, 1, "INCR", "n").run(2, next, 1, "INCR", "m").run(1, next, 2, "INCR", "n").run(1, next + 1, 2, "INCR", "n")
    const refused: unknown = expect.stringMatching(/^-BUSY .*nothing was executed/)
    const expected = [refused, next - 1, next, next, refused]
    expect(repliesOf(twin.applyNow(script.entries.slice(from)))).toEqual(expected)
    await held.apply(script.entries.slice(from))
    expect(held.replies.map(([, , reply]) => reply)).toEqual(expected)
    expect(await digest(held)).toBe(twin.digest())
    await held.close()
  })
  test("the same by bytes", () => {
    const machine = new MemoryMachine()
    const script = new Script().open("o").run(1, 1, 1, "SET", "big", "x".repeat(4 << 20))
    for (let i = 2; i <= 18; i++) script.run(1, i, 1, "GET", "big")
    script.run(1, 18, 18, "STRLEN", "big")
    const replies = repliesOf(machine.applyNow(script.entries))
    expect(replies.slice(1, 17).every((reply) => typeof reply === "string" && reply.length === 4 << 20)).toBe(true)
    expect(replies[17]).toMatch(/^-BUSY /)
    expect(replies[18]).toBe(4 << 20)
  })
  test("nothing of a batch is known before the batch is written", async () => {
    const held = await open(temporary())
    const script = new Script().open("o")
    await held.apply(script.entries)
    const done = held.apply(script.run(1, 1, 1, "SET", "a", "1").entries.slice(-1))
    const reads: unknown[] = []
    while (held.replies.length === 0) {
      expect(held.machine.replyOf(1, 1)).toEqual({ type: "notExecuted" })
      reads.push(await held.get("GET", "a"))
      // Microtasks first, where the batch is executed; the turn of the loop, where its write ends, only now and then.
      if (reads.length % 20 === 0) {
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
    }
    expect(new Set(reads)).toEqual(new Set([null]))
    await done
    expect(held.machine.replyOf(1, 1)).toMatchObject({ type: "kept" })
    expect(held.replies).toEqual([[1, 1, "+OK"]])
    await held.close()
  })
  test("EXEC answers in one array, all or nothing by its watches; a run-time error inside does not stop the rest, as in Redis", () => {
    const machine = new MemoryMachine()
    const script = new Script().open("o").run(1, 1, 1, "SET", "a", "x").exec(1, 2, [["a", 2], ["none", 0]], "INCR a", "SET b 1", "GET b").exec(1, 3, [["a", 1]], "SET b 2").exec(1, 4, [["b", 0]], "SET b 2").exec(1, 5, [["b", 3]], "SET b 3").exec(1, 6, [])
    expect(repliesOf(machine.applyNow(script.entries))).toEqual(["+OK", ["-ERR value is not an integer or out of range", "+OK", "1"], null, null, ["+OK"], []])
  })
})

describe("exactly once", () => {
  /** A client numbers its commands; the network repeats, drops and delays what it proposes. */
  const delivery = fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 60, size: "max" })
  test("however commands are repeated, lost and reordered on their way, each takes effect at most once, in order, with one answer", () => {
    fc.assert(
      fc.property(delivery, fc.nat({ max: 5 }), (steps, window) => {
        const machine = new MemoryMachine()
        const script = new Script().open("o")
        machine.applyNow(script.entries)
        const answers = new Map<number, unknown>()
        let highest = 0
        for (const step of steps) {
          const sequence = Math.max(1, highest + step)
          script.run(1, sequence, Math.max(1, highest - window), "APPEND", "list", `${sequence},`)
          const [reply] = repliesOf(machine.applyNow(script.entries.slice(-1)))
          if (typeof reply !== "number") continue
          if (answers.has(sequence)) expect(reply).toBe(answers.get(sequence))
          else expect(sequence).toBe(highest + 1)
          answers.set(sequence, reply)
          highest = Math.max(highest, sequence)
        }
        const expected = Array.from({ length: highest }, (_, i) => `${i + 1},`).join("")
        expect(plain(machine.read(buffers("GET", "list"))) ?? "").toBe(expected)
      }),
      { numRuns: 500 },
    )
  })
})
