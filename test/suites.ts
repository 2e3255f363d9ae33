/** Which test files `npm run test:all` runs: those that do more there than in `npm test`. The others would only do the same again. */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** What depends on STEPRAFT_ALL, by the names under which tests and helpers import it. */
const SCALE =
  /\b(full|many|longTest|shortTest|soakTest|scenarioOverSeeds)\b[^;]*? from "[./]+(cluster|long|scenario\.kit)\.ts"/
const importsScale = (text: string): boolean =>
  (text.match(/^import \{[^}]*\} from ".*"$/gm) ?? []).some((line) => SCALE.test(line)) || text.includes("STEPRAFT_ALL")

const here = dirname(fileURLToPath(import.meta.url))
const sources = (): readonly string[] =>
  readdirSync(here, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))
const scales = (name: string): boolean => importsScale(readFileSync(join(here, name), "utf8"))

export const longFiles = (): readonly string[] =>
  sources()
    .filter((name) => name.endsWith(".test.ts") && (name.endsWith(".long.test.ts") || scales(name)))
    .map((name) => `test/${name}`)

/** Helpers that do more with STEPRAFT_ALL. A test that imports one of them must be long by its name or its own imports. */
export const longHelpers = (): readonly string[] =>
  sources()
    .filter((name) => !name.endsWith(".test.ts") && name !== "suites.ts" && scales(name))
    .toSorted()
