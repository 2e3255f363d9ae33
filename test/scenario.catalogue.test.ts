import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { countByLetter, scenarioIds } from "./scenario.ids.ts"

const folder = import.meta.dirname
/** IDs that the files of scenarios name as those of their tests. */
const named = new Set(
  readdirSync(folder)
    .filter((file) => /^scenario\.(?!catalogue).*\.test\.ts$/.test(file))
    .flatMap((file) =>
      [...readFileSync(join(folder, file), "utf8").matchAll(/["`]([A-Z]\d+)(?=["` ])/g)].map(([, id = ""]) => id),
    ),
)

test("every scenario of the catalogue is a test", () => {
  expect(scenarioIds.filter((id) => !named.has(id))).toEqual([])
})

test("scenarios are counted by letter", () => {
  expect(countByLetter(new Set(["E1", "E3", "K1", "unknown"]))).toMatch(
    /^E 2\/3, B 0\/10, C 0\/8, S 0\/7, K 1\/23, Q 0\/8, N 0\/11, X 0\/27$/,
  )
})
