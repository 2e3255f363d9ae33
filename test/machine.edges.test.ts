/** Numbers at their edges, in every place of every command, at every reading of the clock: answered, never thrown, the same on both stores. */
import * as fc from "fast-check"
import { afterAll, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { MemoryMachine, commandSpecs } from "../kv/machine/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { buffers, digest, entryOf, open, plain, removeTemporary, secretFor, temporary } from "./machine.kit.ts"

afterAll(removeTemporary)

const edges = [0, 1, 2 ** 31, 2 ** 32, 2 ** 47, 2 ** 48, 2 ** 53]
  .flatMap((edge) => [edge - 1, edge, edge + 1])
  .map(BigInt)
const wide = [
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  10n ** 40n,
  9_223_372_036_854_775n,
  9_223_372_036_854_776n,
]
const numbers = [...edges, ...wide].flatMap((number) => [String(number), String(-number)])
const word = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...numbers) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "k",
      "a",
      "EX",
      "PX",
      "EXAT",
      "PXAT",
      "NX",
      "XX",
      "GT",
      "LT",
      "KEEPTTL",
      "GET",
      "PERSIST",
      "COUNT",
      "MATCH",
      "*",
      "[",
      "\\",
    ),
  },
  fc.constantFrom(
    "",
    " 1",
    "1e3",
    "NaN",
    "Infinity",
    "-0",
    "+1",
    "01",
    "0x10",
    "1.0",
    "\u0000",
    "ÿ".repeat(3),
    "9".repeat(5000),
    "x".repeat(70_000),
  ),
)
const call = fc
  .tuple(fc.constantFrom(...commandSpecs.keys(), "nonsense", ""), fc.array(word, { maxLength: 6 }))
  .map(([name, words]) => [name, ...words])
const stamp = fc.constantFrom(0, 1, 1000, 2 ** 31, 2 ** 32, 2 ** 47, 2 ** 48 - 1002, 2 ** 48 - 2, 2 ** 48 - 1)
const step = fc.record({ time: stamp, exec: fc.boolean(), calls: fc.array(call, { minLength: 1, maxLength: 4 }) })

const entriesOf = (
  steps: readonly { readonly time: number; readonly exec: boolean; readonly calls: readonly (readonly string[])[] }[],
): Entry[] => {
  let time = 0
  const secret = secretFor("t")
  const entries: Entry[] = [entryOf(1, time, { type: "OpenSession", owner: "o", secret })]
  for (const { calls, exec, ...at } of steps) {
    time = Math.max(time, at.time)
    // Idle for too long by the clock's leap: another is opened.
    const session = entries.length + 1
    entries.push(entryOf(session, time, { type: "OpenSession", owner: "o", secret: secretFor(`t${session}`) }))
    entries.push(
      entryOf(session + 1, time, {
        type: "Execute",
        session,
        secret: secretFor(`t${session}`),
        sequence: 1,
        lowest: 1,
        exec: exec || calls.length > 1,
        watches: [],
        calls: calls.map((words) => buffers(...words)),
      }),
    )
  }
  return entries
}
const reads = ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "GET", "STRLEN"]

test("in memory", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
      const machine = new MemoryMachine()
      const entries = entriesOf(steps)
      const outcomes = machine.applyNow(entries)
      expect(outcomes.filter(({ type }) => type === "replied")).toHaveLength(steps.length)
      for (const outcome of outcomes)
        if (outcome.type === "replied")
          expect(
            JSON.stringify(plain(outcome.reply), (_, value: unknown) =>
              typeof value === "bigint" ? String(value) : value,
            ),
          ).not.toContain("internal error")
      for (const { calls } of steps) for (const words of calls) machine.read(buffers(...words))
    }),
    { numRuns: many(50_000, 300) },
  )
})
test("LevelDB decides, keeps and reads alike", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30, size: "max" }), async (steps) => {
      const entries = entriesOf(steps)
      const twin = new MemoryMachine()
      const replies = twin
        .applyNow(entries)
        .flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
      const held = await open(temporary())
      await held.apply(entries)
      expect(held.replies.map(([, , reply]) => reply)).toEqual(replies)
      expect([held.damages, held.failures, held.machine.stats().internalErrors]).toEqual([[], [], 0])
      for (const name of ["k", "a", ...numbers.slice(0, 6)])
        for (const what of reads) expect(await held.get(what, name)).toEqual(plain(twin.read(buffers(what, name))))
      for (const { calls } of steps) for (const words of calls) await held.machine.read(buffers(...words))
      expect(await held.get("DBSIZE")).toEqual(plain(twin.read(buffers("DBSIZE"))))
      expect(await digest(held)).toBe(twin.digest())
      expect([held.damages, held.failures]).toEqual([[], []])
      await held.close()
      removeTemporary()
    }),
    { numRuns: full ? many(2000, 60) : 8 },
  )
})
