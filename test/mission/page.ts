/**
 * The page of the mission: its demands, row by row, and the tests that show each. `npm run mission` writes it.
 * repository.test.ts checks that no row is without a test, and that every named test exists.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { root, walk } from "../house.ts"
import { scenarios } from "../scenario.ids.ts"
import { algorithm } from "./algorithm.ts"
import type { Check, Row, Rows } from "./checks.ts"
import { faults } from "./faults.ts"
import { system } from "./system.ts"

export const mission: Rows = { ...algorithm, ...system, ...faults }

const sources = new Map<string, string>()
const sourceOf = (file: string): string => {
  const known = sources.get(file)
  if (known !== undefined) return known
  const source = readFileSync(join(root, file), "utf8")
  sources.set(file, source)
  return source
}
const scenarioFiles = walk("test", ".test.ts").filter((file) => /^test\/scenario\.(?!catalogue)/.test(file))

/** A name counts if it is a string in its file, and not behind skip or todo. */
const stands = (file: string, name: string): boolean => {
  const source = sourceOf(file)
  const at = ['"', "`", "'"].map((quote) => source.indexOf(`${quote}${name}${quote}`)).find((place) => place >= 0)
  return at !== undefined && !/\.(?:skip|todo|fails)\w*\(\s*$/.test(source.slice(Math.max(0, at - 40), at))
}
const fileOf = (check: Check): string | undefined =>
  typeof check === "string"
    ? scenarioFiles.find((file) => stands(file, check) || sourceOf(file).includes(`"${check} `))
    : `test/${check[0]}.test.ts`
const namesOf = (check: Check): readonly string[] =>
  typeof check === "string" ? [`${check} ${scenarios[check]}`] : check.slice(1)

/** Checks that are not tests with a name. */
export const unknown = (checks: readonly Check[]): readonly string[] =>
  checks.flatMap((check) => {
    const file = fileOf(check)
    if (typeof check === "string") return file === undefined ? [check] : []
    return namesOf(check)
      .filter((name) => file === undefined || !stands(file, name))
      .map((name) => `${file}: ${name}`)
  })

/** Formatted so that the formatter changes nothing. */
const line = (id: string, { asks, checks, bugs = [] }: Row): string => {
  const shown = checks.map((check) => {
    const file = fileOf(check) ?? ""
    const names = namesOf(check).map((name) => `“${name.replaceAll(/[<*_]/g, "\\$&")}”`)
    return `[${file.slice("test/".length, -".test.ts".length)}](../${file}): ${names.join(", ")}`
  })
  if (bugs.length > 0)
    shown.push(`seeded bugs that are caught: ${bugs.join(", ")} ([mutants](../test/mutants/README.md))`)
  return `- **${id}**: ${asks}\n${shown.map((one) => `  - ${one}`).join("\n")}`
}
export const page = (): string => {
  const parts = Object.entries(mission).map(
    ([title, rows]) =>
      `## ${title}\n\n${Object.entries(rows)
        .map(([id, one]) => line(id, one))
        .join("\n")}`,
  )
  return `# The mission, row by row

A store that survives faults: what is asked of it, and the tests that show it. Made from \`test/mission.ts\` by \`npm run mission\`; a test checks that no row is without one, and that each test that is named is there. What each suite looks for, and what it found: [README.md](README.md).

${parts.join("\n\n")}
`
}

export const PAGE = "spec/MISSION.md"
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(join(root, PAGE), page())
  console.log(`${PAGE} is written`)
}
