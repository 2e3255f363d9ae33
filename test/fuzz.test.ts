/** What fuzzing found, given to the parsers again: npm run fuzz goes on from here. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { sources } from "./fuzz/all.ts"
import { root } from "./fuzz/bundle.ts"
import { fromLine, readCorpus, toLine } from "./fuzz/corpus.ts"
import { instrument } from "./fuzz/instrument.ts"
import { mutate } from "./mutants/mutant.ts"

const parsers = sources.flatMap(([, some]) => some)
const read = (file: string): string => readFileSync(join(root, file), "utf8")

describe("what a parser promises holds for every input of the corpus", () => {
  test.each(parsers.map((parser) => [parser.name, parser] as const))("%s", async (_, parser) => {
    for (const input of [...parser.seeds(), ...readCorpus(parser.name)]) {
      const failed = await Promise.resolve()
        .then(() => parser.check(Buffer.from(input)))
        .then(
          () => null,
          (error: unknown) => error,
        )
      expect(failed, toLine(input)).toBe(null)
    }
  })
})

test("three faults are known for each parser, and each fits its sources", () => {
  for (const { name, files, faults } of parsers) {
    expect(faults.length, name).toBeGreaterThanOrEqual(3)
    for (const fault of faults) expect(files, fault.id).toEqual(expect.arrayContaining([...mutate(fault, read).keys()]))
  }
})

test("an instrumented source does the same, and counts each block that it enters", () => {
  const source = `const sign = (n) => (n > 0 ? 1 : n < 0 ? -1 : 0)
function sum(to) { let all = 0; for (let i = 1; i <= to; i++) if (i % 2 === 0) all += i; return all || null }
switch (sum(4)) { case 6: given.push("six"); break; default: given.push("other") }
given.push(sign(-3) ?? 7, sum(0))`
  const { text, blocks } = instrument("a.js", source, 0)
  const given: unknown[] = []
  const counts = new Uint32Array(blocks)
  // oxlint-disable-next-line typescript/no-implied-eval -- the source stands above
  new Function("globalThis", "given", text)({ fuzzBlocks: counts }, given)
  expect(given).toEqual(["six", -1, null])
  expect(blocks).toBe(13)
  // The function of the sign, its first choice, its second.
  expect([...counts.subarray(0, 5)]).toEqual([1, 0, 1, 1, 0])
  expect(counts.reduce((all, one) => all + one, 0)).toBe(15)
})

test("the corpus is text: any bytes come back from a line", () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  expect(fromLine(toLine(bytes))).toEqual(bytes)
  expect(toLine(bytes)).toMatch(/^[\x20-\x7e]*$/)
})
