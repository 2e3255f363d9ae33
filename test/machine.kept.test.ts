/** What sessions keep is bounded for all of them together, by the log alone: the same on every node, whatever its past. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { MemoryMachine, NODE_OWNER, decodeCommand } from "../kv/machine/index.ts"
import { MAX_WORDS } from "../kv/machine/cost.ts"
import { sessionsForImage } from "../kv/machine/image.ts"
import { replySize } from "../kv/machine/reply.ts"
import { MAX_KEPT_IN_ALL, MAX_KEPT_REPLY, MAX_OWNER, MAX_SESSIONS, Sessions } from "../kv/machine/sessions.ts"
import type { Command, Reply } from "../kv/types.ts"
import { buffers, digest, entryOf, open, plain, removeTemporary, temporary } from "./machine.kit.ts"

afterAll(removeTemporary)

const MB = 1 << 20
const bytes = Buffer.alloc(16 * MB)
const bulk = (size: number): Reply => ({ type: "bulk", bytes: bytes.subarray(0, size) })
const secretOf = (i: number): Buffer => Buffer.from(String(i).padStart(16, "0"))
const keptBy = (sessions: Sessions, id: number): number[] =>
  [...(sessions.byIdentity(id)?.replies.values() ?? [])].map(replySize)
const sum = (sizes: readonly number[]): number => sizes.reduce((all, size) => all + size, 0)
/** As another node has them, which took a snapshot. */
const elsewhere = (sessions: Sessions, now: number): Sessions => {
  const other = new Sessions(sessions.idle)
  for (const session of sessionsForImage(sessions, now).sort((a, b) => a.active - b.active || a.id - b.id))
    other.load(session)
  return other
}
const state = (sessions: Sessions, now: number): unknown =>
  sessionsForImage(sessions, now).map(({ id, last, lowest, active, replies }) => ({
    id,
    last,
    lowest,
    active,
    sizes: [...replies.values()].map(replySize),
  }))

describe("kept replies in all", () => {
  const step = fc.record({
    who: fc.nat({ max: 9 }),
    size: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 3 * MB }), fc.integer({ min: 8 * MB, max: 16 * MB })),
    lag: fc.nat({ max: 12 }),
    wait: fc.nat({ max: 30 }),
    move: fc.nat({ max: 40 }),
  })
  test("never more than the bound, the newest always among them; one who took a snapshot at any time decides alike", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 120, size: "max" }), (steps) => {
        const sessions = new Sessions(400)
        let other = new Sessions(400)
        let now = 1000
        steps.forEach(({ who, size, lag, wait, move }, i) => {
          now += wait
          const reply = bulk(size)
          for (const table of [sessions, other]) {
            table.sweep(now)
            // Some are nodes' own, and never full.
            const id = table.open(i + 1, who < 3 ? `${NODE_OWNER}n${who}` : "c", secretOf(who), now)
            const session = table.byIdentity(id)
            if (session === undefined) throw new Error("not open")
            table.touch(session, Math.max(1, session.last - lag), now)
            if (table.full(session)) continue
            table.executed(session, reply)
            if (replySize(reply) <= MAX_KEPT_REPLY) expect(session.replies.get(session.last)).toBe(reply)
            else expect(session.replies.get(session.last)).toMatchObject({ code: "FORGOTTEN" })
            const kept = [...table.all()].map(({ id: one }) => sum(keptBy(table, one)))
            expect(table.stats().keptBytes).toBe(sum(kept))
            expect(sum(kept)).toBeLessThanOrEqual(MAX_KEPT_IN_ALL)
          }
          expect(state(other, now)).toEqual(state(sessions, now))
          if (move === 0) other = elsewhere(other, now)
        })
      }),
      { numRuns: 60 },
    )
  })
  test("who keeps most gives way: those with little keep all", () => {
    const sessions = new Sessions(1000)
    for (let who = 1; who <= 12; who++) sessions.open(who, "c", secretOf(who), 1)
    for (let who = 1; who <= 12; who++) {
      const session = sessions.byIdentity(who)
      if (session === undefined) throw new Error("not open")
      for (let i = 0; i < (who < 10 ? 10 : 14); i++) sessions.executed(session, bulk(who < 10 ? 10_000 : MB))
    }
    for (let who = 1; who < 10; who++) expect(keptBy(sessions, who)).toHaveLength(10)
    const hoarders = [10, 11, 12].map((who) => keptBy(sessions, who).length)
    expect(sum(hoarders)).toBeLessThan(33)
    expect(Math.max(...hoarders) - Math.min(...hoarders)).toBeLessThanOrEqual(10)
  })
  test("a reply of more than 2 MB is given once and not kept: who repeats the command learns that it was executed", () => {
    const entries: Entry[] = []
    const run = (sequence: number, ...words: string[]): number =>
      entries.push(
        entryOf(entries.length + 1, 1000, {
          type: "Execute",
          session: 1,
          secret: secretOf(1),
          sequence,
          lowest: 1,
          exec: false,
          watches: [],
          calls: [buffers(...words)],
        }),
      )
    entries.push(entryOf(1, 1000, { type: "OpenSession", owner: "o", secret: secretOf(1) }))
    run(1, "SET", "big", "x".repeat(3 * MB))
    run(2, "GETEX", "big")
    run(2, "GETEX", "big")
    const machine = new MemoryMachine()
    const [, given, again] = machine
      .applyNow(entries)
      .flatMap((outcome) => (outcome.type === "replied" ? [outcome.reply] : []))
    expect(given).toMatchObject({ type: "bulk" })
    expect(plain(again ?? { type: "null" })).toMatch(/^-FORGOTTEN executed before; its reply was larger than 2 MB/)
    expect(machine.imageNow().length, "the value, and no copy of it").toBeLessThan(4 * MB)
  })
  test("sessions that keep 8 replies of a megabyte each: what was forgotten is told as executed, and so after a restart", async () => {
    const entries: Entry[] = []
    const add = (command: Command): number => entries.push(entryOf(entries.length + 1, 1000, command))
    const run = (who: number, sequence: number, ...words: string[]): number =>
      add({
        type: "Execute",
        session: who,
        secret: secretOf(who),
        sequence,
        lowest: 1,
        exec: false,
        watches: [],
        calls: [buffers(...words)],
      })
    for (let who = 1; who <= 6; who++) add({ type: "OpenSession", owner: "o", secret: secretOf(who) })
    run(1, 1, "SET", "big", "x".repeat(MB))
    for (let who = 2; who <= 6; who++) for (let i = 1; i <= 8; i++) run(who, i, "GETEX", "big")
    const twin = new MemoryMachine()
    const directory = temporary()
    let held = await open(directory)
    twin.applyNow(entries)
    await held.apply(entries)
    const { keptReplyBytes } = held.machine.stats()
    expect(keptReplyBytes).toBeLessThanOrEqual(MAX_KEPT_IN_ALL)
    expect(keptReplyBytes).toBeGreaterThan(MAX_KEPT_IN_ALL / 2)
    const before = await digest(held)
    expect(before).toBe(twin.digest())
    await held.close()
    held = await open(directory)
    expect(await digest(held)).toBe(before)
    expect(held.machine.stats().keptReplyBytes).toBe(keptReplyBytes)
    const from = entries.length
    run(2, 1, "GETEX", "big")
    run(2, 9, "STRLEN", "big")
    const [again, next] = twin
      .applyNow(entries.slice(from))
      .flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
    expect([again, next]).toEqual([expect.stringMatching(/^-FORGOTTEN executed before/), MB])
    await held.apply(entries.slice(from))
    expect(await digest(held)).toBe(twin.digest())
    await held.close()
  })
})

describe("open sessions", () => {
  test("an opening beyond the bound ends the client's session that has been idle for longest, never a node's; others elsewhere do the same", () => {
    const sessions = new Sessions(1_000_000)
    sessions.open(1, `${NODE_OWNER}n1`, secretOf(1), 1)
    for (let id = 2; id < 100; id++) sessions.open(id, "c", secretOf(id), 2)
    // Of those that were last active at the same stamp the order differs from node to node.
    const second = sessions.byIdentity(2)
    if (second === undefined) throw new Error("not open")
    sessions.touch(second, 1, 2)
    for (let id = 100; id <= MAX_SESSIONS; id++) sessions.open(id, "c", secretOf(id), 3)
    const other = elsewhere(sessions, 3)
    for (const table of [sessions, other]) {
      expect(table.stats().open).toBe(MAX_SESSIONS)
      for (let i = 1; i <= 3; i++) table.open(MAX_SESSIONS + i, "c", secretOf(MAX_SESSIONS + i), 4)
      expect(table.stats().open).toBe(MAX_SESSIONS)
      expect([1, 2, 3, 4, 5].filter((id) => table.byIdentity(id) === undefined)).toEqual([2, 3, 4])
    }
    expect(state(other, 4)).toEqual(state(sessions, 4))
  })
  test("an owner's name beyond its bound opens nothing", () => {
    const machine = new MemoryMachine()
    const opened = (owner: string): number =>
      machine.applyNow([entryOf(machine.position().index + 1, 1, { type: "OpenSession", owner, secret: secretOf(1) })])
        .length
    expect([opened("o".repeat(MAX_OWNER + 1)), opened("o".repeat(MAX_OWNER))]).toEqual([0, 1])
  })
})

test("an entry of more words than may be decoded is answered, not executed", () => {
  const words = (count: number): Command => ({
    type: "Execute",
    session: 1,
    secret: secretOf(1),
    sequence: 1,
    lowest: 1,
    exec: true,
    watches: [],
    calls: [buffers(...Array.from({ length: count }, () => "x"))],
  })
  const decoded = (command: Command): unknown => decodeCommand(entryOf(2, 1, command).payload.bytes)
  expect(decoded(words(MAX_WORDS))).toMatchObject({ type: "Execute" })
  expect(decoded(words(MAX_WORDS + 1))).toMatchObject({
    type: "Malformed",
    session: 1,
    sequence: 1,
    detail: expect.stringContaining(`at most ${MAX_WORDS}`) as unknown,
  })
})
