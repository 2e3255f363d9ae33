/** Exactly once: the contract of Command in kv/types.ts, on both machines. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import { MAX_KEPT_REPLIES, MemoryMachine, NODE_OWNER, type MachineOutcome } from "../kv/machine/index.ts"
import { many } from "./long.ts"
import { Script } from "./machine.script.ts"
import { buffers, digest, open, plain, removeTemporary, secretFor, temporary, transfer } from "./machine.kit.ts"

afterAll(removeTemporary)

const repliesOf = (out: readonly MachineOutcome[]): unknown[] =>
  out.flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
const expired =
  "-SESSIONEXPIRED the session is unknown, closed or expired, or this is not its key; nothing was executed"

describe("sessions", () => {
  test("a retry answers with the kept reply; below `lowest` it is forgotten; a gap is refused", () => {
    const machine = new MemoryMachine()
    const script = new Script()
      .open("o")
      .run(1, 1, 1, "INCR", "n")
      .run(1, 2, 1, "INCR", "n")
      .run(1, 1, 1, "INCR", "n")
      .run(1, 3, 3, "INCR", "n")
      .run(1, 2, 3, "INCR", "n")
      .run(1, 5, 3, "INCR", "n")
      .run(1, 4, 3, "INCR", "n")
    expect(repliesOf(machine.applyNow(script.entries))).toEqual([
      1,
      2,
      1,
      3,
      "-FORGOTTEN executed before; its reply is no longer kept: the client had reported that it arrived, or there was no space for it",
      "-OUTOFORDER sequence 4 comes next; nothing was executed",
      4,
    ])
    expect(machine.replyOf(1, script.secretOf(1), 2)).toEqual({ type: "forgotten" })
    expect(machine.replyOf(1, script.secretOf(1), 4)).toMatchObject({
      type: "kept",
      reply: { type: "integer", value: 4 },
    })
    expect(machine.replyOf(1, script.secretOf(1), 5)).toEqual({ type: "notExecuted" })
    expect(machine.replyOf(7, null, 1)).toEqual({ type: "expired" })
  })
  test("a node's opening ends its earlier session; closing ends a client's; others go on, whatever their owners are called", () => {
    const machine = new MemoryMachine()
    const node = `${NODE_OWNER}n1`
    const script = new Script()
      .open(node)
      .open("o")
      .run(1, 1, 1, "INCR", "n")
      .open(node)
      .run(1, 2, 1, "INCR", "n")
      .run(4, 1, 1, "INCR", "n")
      .run(2, 1, 1, "INCR", "n")
    script
      .open("o")
      .run(2, 2, 1, "INCR", "n")
      .run(8, 1, 1, "INCR", "n")
      .close(2)
      .run(2, 3, 1, "INCR", "n")
      .run(8, 2, 1, "INCR", "n")
      .run(99, 1, 1, "INCR", "n")
    expect(repliesOf(machine.applyNow(script.entries))).toEqual([1, expired, 2, 3, 4, 5, expired, 6, expired])
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
    // Another secret is another opening.
    const next = script.entries.length + 1
    await step(() =>
      script
        .open("o", "b")
        .run(1, 5, 1, "INCR", "n")
        .run(next, 1, 1, "INCR", "n")
        .open("o", "b")
        .run(next, 2, 1, "INCR", "n"),
    )
    expect(held.replies.map(([, , reply]) => reply)).toEqual([4, 5, 6, 7])
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
    expect(held.machine.replyOf(1, script.secretOf(1), 1)).toEqual({ type: "forgotten" })
    const kept = held.machine.replyOf(1, script.secretOf(1), 2)
    expect(kept.type === "kept" && plain(kept.reply) === big).toBe(true)
    expect(held.machine.replyOf(1, script.secretOf(1), 29)).toMatchObject({ type: "kept" })
    await held.apply(script.run(1, 30, 30, "GET", "small").entries.slice(-1))
    expect(bytes()).toBeLessThan(200)
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
    script
      .run(1, next, 1, "INCR", "n")
      .run(1, next - 1, 1, "INCR", "n")
      .run(2, next, 1, "INCR", "m")
      .run(1, next, 2, "INCR", "n")
      .run(1, next + 1, 2, "INCR", "n")
    const refused: unknown = expect.stringMatching(/^-SESSIONFULL .*nothing was executed/)
    const expected = [refused, next - 1, next, next, refused]
    expect(repliesOf(twin.applyNow(script.entries.slice(from)))).toEqual(expected)
    await held.apply(script.entries.slice(from))
    expect(held.replies.map(([, , reply]) => reply)).toEqual(expected)
    expect(await digest(held)).toBe(twin.digest())
    await held.close()
  })
  test("the same by bytes", () => {
    const machine = new MemoryMachine()
    const script = new Script().open("o").run(1, 1, 1, "SET", "big", "x".repeat(1 << 20))
    for (let i = 2; i <= 18; i++) script.run(1, i, 1, "GET", "big")
    script.run(1, 18, 18, "STRLEN", "big")
    const replies = repliesOf(machine.applyNow(script.entries))
    expect(replies.slice(1, 17).every((reply) => typeof reply === "string" && reply.length === 1 << 20)).toBe(true)
    expect(replies[17]).toMatch(/^-SESSIONFULL /)
    expect(replies[18]).toBe(1 << 20)
  })
  test("nothing of a batch is known before the batch is written", async () => {
    const held = await open(temporary())
    const script = new Script().open("o")
    await held.apply(script.entries)
    const done = held.apply(script.run(1, 1, 1, "SET", "a", "1").entries.slice(-1))
    const reads: unknown[] = []
    while (held.replies.length === 0) {
      expect(held.machine.replyOf(1, script.secretOf(1), 1)).toEqual({ type: "notExecuted" })
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
    expect(held.machine.replyOf(1, script.secretOf(1), 1)).toMatchObject({ type: "kept" })
    expect(held.replies).toEqual([[1, 1, "+OK"]])
    await held.close()
  })
  test("EXEC answers in one array, all or nothing by its watches; a run-time error inside does not stop the rest, as in Redis", () => {
    const machine = new MemoryMachine()
    const script = new Script()
      .open("o")
      .run(1, 1, 1, "SET", "a", "x")
      .exec(
        1,
        2,
        [
          ["a", 2],
          ["none", 0],
        ],
        "INCR a",
        "SET b 1",
        "GET b",
      )
      .exec(1, 3, [["a", 1]], "SET b 2")
      .exec(1, 4, [["b", 0]], "SET b 2")
      .exec(1, 5, [["b", 3]], "SET b 3")
      .exec(1, 6, [])
    expect(repliesOf(machine.applyNow(script.entries))).toEqual([
      "+OK",
      ["-ERR value is not an integer or out of range", "+OK", "1"],
      null,
      null,
      ["+OK"],
      [],
    ])
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

describe("SessionEnteredByOpener", () => {
  const node = `${NODE_OWNER}n1`

  test("a stranger without the secret executes nothing, keeps nothing alive, pushes no reply out and closes nothing; a node's session is out of reach", async () => {
    const held = await open(temporary(), { sessionIdle: 1000 })
    const script = new Script().open("o").open(node).run(1, 1, 1, "INCR", "n").run(2, 1, 1, "INCR", "m")
    const alien = (session: number, secret: Buffer | null, sequence: number): Script =>
      script.add({
        type: "Execute",
        session,
        secret,
        sequence,
        lowest: 99,
        exec: false,
        watches: [],
        calls: [buffers("SET", "n", "evil")],
      })
    await held.apply(script.entries)
    const before = held.replies.length
    script.time += 600
    // By guess, with the node's own form, with the secret of the node's opening, with one that is almost right.
    const almost = Buffer.from(secretFor("t1"))
    almost[15] = (almost[15] ?? 0) ^ 1
    for (const secret of [null, secretFor(""), almost]) alien(1, secret, 2).run(1, 1, 1, "GET", "n")
    for (const secret of [secretFor(""), secretFor("t2"), secretFor("t1")]) alien(2, secret, 2)
    script.close(1, almost).close(2, secretFor("t2"))
    await held.apply(script.entries.slice(4))
    expect(held.replies.slice(before).map(([, , reply]) => reply)).toEqual([
      expired,
      1,
      expired,
      1,
      expired,
      1,
      expired,
      expired,
      expired,
    ])
    expect(held.machine.replyOf(1, almost, 1)).toEqual({ type: "expired" })
    expect(held.machine.replyOf(2, secretFor("t2"), 1)).toEqual({ type: "expired" })
    expect(held.machine.stats().sessions).toBe(2)
    // The owner's own last word is 600 ms old; a stranger's does not count.
    script.time += 999
    alien(1, almost, 2)
    script.time += 1
    script.run(1, 2, 1, "INCR", "n")
    await held.apply(script.entries.slice(-2))
    expect(held.replies.at(-1)).toEqual([1, 2, expired])
    expect(await held.get("MGET", "n", "m")).toEqual(["1", "1"])
    await held.close()
  })

  test("the secret survives a restart and a snapshot", async () => {
    const directory = temporary()
    let held = await open(directory)
    const script = new Script().open("o").run(1, 1, 1, "INCR", "n")
    await held.apply(script.entries)
    await held.close()
    held = await open(directory)
    await held.apply(
      script
        .add({
          type: "Execute",
          session: 1,
          secret: secretFor("x"),
          sequence: 2,
          lowest: 1,
          exec: false,
          watches: [],
          calls: [buffers("INCR", "n")],
        })
        .run(1, 2, 1, "INCR", "n")
        .entries.slice(2),
    )
    const other = await open(temporary())
    await transfer(held, other)
    await other.apply(
      script
        .add({
          type: "Execute",
          session: 1,
          secret: secretFor("x"),
          sequence: 3,
          lowest: 1,
          exec: false,
          watches: [],
          calls: [buffers("INCR", "n")],
        })
        .run(1, 3, 1, "INCR", "n")
        .entries.slice(4),
    )
    expect([...held.replies, ...other.replies].map(([, , reply]) => reply)).toEqual([expired, 2, expired, 3])
    await held.close()
    await other.close()
  })

  test("whoever asks for what in whatever session: what is executed there comes from its opener", () => {
    const asked = fc.record({
      who: fc.integer({ min: 1, max: 5 }),
      session: fc.oneof(fc.constant("own"), fc.integer({ min: 1, max: 6 })),
      guess: fc.constantFrom("own", "own", "own", "none", "bit"),
      close: fc.nat(19),
      ahead: fc.integer({ min: 0, max: 2 }),
      lowest: fc.nat(5),
      wait: fc.nat(150),
    })
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 60, size: "max" }), (steps) => {
        const machine = new MemoryMachine(1000)
        const script = new Script()
        // Two nodes, three clients, of which two have chosen the same name.
        for (const owner of [node, `${NODE_OWNER}n2`, "a", "a", "b"]) script.open(owner)
        machine.applyNow(script.entries)
        const last = new Map<number, number>()
        const active = new Map<number, number>([1, 2, 3, 4, 5].map((session) => [session, script.time]))
        const wrong: string[] = []
        for (const step of steps) {
          const { who, guess, ahead, lowest } = step
          script.time += step.wait
          const session = step.session === "own" ? who : step.session
          // A node speaks in its own form, and of itself only; a client in the clients' form, whatever it claims.
          const isNode = who <= 2
          if (isNode && session !== who) continue
          const own = secretFor(`t${who}`)
          const secret = isNode
            ? null
            : guess === "none"
              ? secretFor("")
              : guess === "bit"
                ? Buffer.from(own.map((byte, i) => (i === 7 ? byte ^ 4 : byte)))
                : own
          const may =
            session === who && (isNode || guess === "own") && (active.get(session) ?? -1000) + 1000 > script.time
          const closes = step.close === 0 && secret !== null
          const sequence = (last.get(session) ?? 0) + ahead
          if (closes) script.close(session, secret)
          else
            script.add({
              type: "Execute",
              session,
              secret,
              sequence,
              lowest,
              exec: false,
              watches: [],
              calls: [buffers("APPEND", `by${session}`, `${who}`)],
            })
          const [told] = machine.applyNow(script.entries.slice(-1))
          if (
            told?.type === "closed"
              ? told.ended !== may
              : told?.type !== "replied" || told.executed !== (may && ahead <= 1)
          )
            wrong.push(JSON.stringify({ step, told }))
          if (!may && told?.type === "replied" && plain(told.reply) !== expired)
            wrong.push(JSON.stringify({ step, told }))
          if (!may) continue
          if (closes) active.delete(session)
          else active.set(session, script.time)
          if (!closes && ahead === 1) last.set(session, sequence)
        }
        expect(wrong).toEqual([])
        for (const session of [1, 2, 3, 4, 5])
          expect(plain(machine.read(buffers("GET", `by${session}`))) ?? "").toBe(
            String(session).repeat(last.get(session) ?? 0),
          )
      }),
      { numRuns: many(20_000, 100) },
    )
  })
})
