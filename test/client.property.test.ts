/**
 * Whatever correct nodes may answer, and whatever becomes of connections, copies and sessions: no write is executed twice, what
 * is acknowledged was executed, in order, what is said not to have been executed was not, and all of it comes to an end.
 */
import * as fc from "fast-check"
import { test } from "vitest"
import { full } from "./cluster.ts"
import { type Fate, fates, PATIENT, runScript, type Scripted } from "./client.virtual.ts"
import { many } from "./long.ts"

const fate = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Fate>("serve") },
  { weight: 3, arbitrary: fc.constantFrom(...fates) },
)
const operation = fc.record({
  read: fc.integer({ min: 0, max: 4 }).map((dice) => dice === 0),
  pause: fc.constantFrom(0, 0, 0, 1, 3, 20, 200),
  patience: fc.constantFrom(PATIENT, PATIENT, PATIENT, 5, 30, 120),
  abandoned: fc.integer({ min: 0, max: 90 }).map((dice) => (dice < 8 ? dice * 3 : null)),
})
const script: fc.Arbitrary<Scripted> = fc.record({
  fates: fc.array(fate, { maxLength: 24, size: "max" }),
  window: fc.integer({ min: 1, max: 6 }),
  seed: fc.nat(),
  operations: fc.array(operation, { minLength: 1, maxLength: 9, size: "max" }),
})

test("property: exactly once, in order, or an error that says what is known", () => {
  fc.assert(
    fc.property(script, (one) => {
      const wrong = runScript(one)
      if (wrong.length > 0) throw new Error(wrong.join("\n"))
    }),
    { numRuns: many(1_000_000, full ? 100_000 : 3_000) },
  )
})
