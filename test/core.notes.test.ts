/** Every rule of core/notes.ts is explained by a test of the core, which says what comes of it and that it was noted. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { rules } from "../core/index.ts"

test("each rule is asserted by name in a test of the core", () => {
  const noted = new Set(
    readdirSync(import.meta.dirname)
      .filter((file) => /^core\..*\.test\.ts$/.test(file))
      .flatMap((file) =>
        Array.from(
          readFileSync(join(import.meta.dirname, file), "utf8").matchAll(/\.noted\("([\w.]+)"\)/g),
          ([, rule = ""]) => rule,
        ),
      ),
  )
  expect(Object.keys(rules).filter((rule) => !noted.has(rule))).toEqual([])
  expect([...noted].filter((rule) => !(rule in rules))).toEqual([])
})

test("each rule is applied somewhere in the core", () => {
  const folder = join(import.meta.dirname, "../core")
  const applied = new Set(
    readdirSync(folder)
      .filter((file) => file !== "notes.ts")
      .flatMap((file) =>
        Array.from(readFileSync(join(folder, file), "utf8").matchAll(/"([a-z]\w*\.[\w.]+)"/g), ([, rule = ""]) => rule),
      ),
  )
  // halt(turn, { reason }) notes `halt.${reason}`.
  expect(Object.keys(rules).filter((rule) => !rule.startsWith("halt.") && !applied.has(rule))).toEqual([])
})
