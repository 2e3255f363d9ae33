/** Rules of the repository, as tests: the layout, the direction of imports, the purity of the core. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { describe, expect, test } from "vitest"
import {
  circlesOf,
  declarations,
  declaredIn,
  fencesOf,
  HOUSES,
  importsOf,
  readHouse,
  regionsOf,
  root,
  syntaxOf,
  walk,
} from "./house.ts"
import { longHelpers } from "./suites.ts"
import { mission, page, PAGE, unknown } from "./mission/page.ts"
import { seeded } from "./mutants/all.ts"
import { applies } from "./mutants/mutant.ts"

const files = HOUSES.flatMap((house) => walk(house, ".ts"))
const imports = files.flatMap(importsOf)

/** What each part may import, beside itself. The first prefix that fits a file is its part. */
const RULES: readonly { readonly part: string; readonly may: readonly string[] }[] = [
  { part: "core/", may: ["immer"] },
  { part: "interpreters/simulation/", may: ["core/", "interpreters/contract.ts"] },
  { part: "interpreters/debugger/", may: ["core/", "interpreters/simulation/", "node:"] },
  { part: "interpreters/replica/", may: ["core/", "interpreters/", "immer"] },
  { part: "interpreters/", may: ["core/", "effect", "node:"] },
  {
    part: "spec/conformance/",
    may: [
      "core/",
      "interpreters/contract.ts",
      "interpreters/hello.ts",
      "interpreters/payload.ts",
      "interpreters/simulation/",
    ],
  },
  {
    part: "spec/cli/",
    may: [
      "core/",
      "interpreters/simulation/",
      "interpreters/debugger/",
      "interpreters/cli/",
      "spec/",
      "effect",
      "node:",
    ],
  },
  {
    part: "spec/",
    may: ["core/", "interpreters/simulation/", "interpreters/builtin.ts", "interpreters/replica/", "fast-check"],
  },
  { part: "kv/", may: ["core/", "interpreters/", "spec/", "effect", "classic-level", "node:"] },
  { part: "test/", may: [""] },
]
const partOf = (file: string): (typeof RULES)[number] => {
  const rule = RULES.find(({ part }) => file.startsWith(part))
  if (rule === undefined) throw new Error(`${file} belongs to no part`)
  return rule
}

describe("the house", () => {
  test("the top level holds what was agreed and nothing else", () => {
    const agreed = new Set([
      "package.json",
      "package-lock.json",
      "tsconfig.json",
      "README.md",
      "LICENSE",
      "node_modules",
      "dist",
      ...HOUSES,
    ])
    expect(readdirSync(root).filter((name) => !name.startsWith(".") && !agreed.has(name))).toEqual([])
  })

  // A test that runs longer only through another helper would be left out of `npm run test:all`.
  test("what STEPRAFT_ALL changes is seen in the imports of a test", () => {
    expect(longHelpers()).toEqual(["cluster.ts", "counting.ts", "long.ts", "scenario.kit.ts", "vitest.config.ts"])
    for (const file of walk("test", ".test.ts"))
      if (/from "[./]+counting\.ts"/.test(readFileSync(join(root, file), "utf8")))
        expect(file).toMatch(/\.long\.test\.ts$/)
  })

  test("no house imports one above it: kv → spec → interpreters → core", () => {
    const height = (path: string): number => HOUSES.findIndex((house) => path.startsWith(`${house}/`))
    expect(
      imports.filter(({ from, to }) => height(to) > height(from)).map(({ from, to }) => `${from} → ${to}`),
    ).toEqual([])
  })

  test("each part imports what it may, and no other", () => {
    const wrong = imports.filter(({ from, to }) => {
      const { part, may } = partOf(from)
      const own =
        part === "interpreters/"
          ? to.startsWith("interpreters/") && !/^interpreters\/(simulation|debugger)\//.test(to)
          : to.startsWith(part)
      return !own && !may.some((prefix) => to.startsWith(prefix))
    })
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test("effect is imported by its subpaths: its barrel costs up to a second of every start", () => {
    expect(imports.filter(({ to }) => to === "effect").map(({ from }) => from)).toEqual([])
  })

  test("no room leads back to itself, not even by types", () => {
    expect(circlesOf(readHouse(imports))).toEqual([])
  })

  test("the client loads neither LevelDB nor more of Effect than its errors are: importing it takes 30 ms", () => {
    const loaded = new Set<string>(["kv/client/index.ts"])
    for (const file of loaded)
      for (const { from, to, typeOnly } of imports) if (from === file && !typeOnly) loaded.add(to)
    expect([...loaded].filter((name) => !name.endsWith(".ts")).toSorted((a, b) => a.localeCompare(b))).toEqual([
      "effect/Data",
      "node:crypto",
      "node:net",
      "node:tls",
    ])
  })

  test("no file leads back to itself, not even by types", () => {
    const edges = new Map<string, string[]>()
    for (const { from, to } of imports) if (to.endsWith(".ts")) edges.set(from, [...(edges.get(from) ?? []), to])
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(" → "))
      else if (!done.has(file)) {
        for (const next of edges.get(file) ?? []) visit(next, [...path, file])
        done.add(file)
      }
    }
    for (const file of files) visit(file, [])
    expect(cycles).toEqual([])
  })

  // A thread that runs seeds must not load the command line; a client without Effect must not load Effect for its leases.
  const SIDE_DOORS = new Set(["spec/cli/threads.ts", "interpreters/lease/effect.ts"])
  // Within kv, files import one another directly: a command that prints a status must not load LevelDB.
  test("another house's folder is entered through its index.ts, its only barrel", () => {
    const folders = [
      "core",
      "interpreters/file",
      "interpreters/tcp",
      "interpreters/memory",
      "interpreters/port",
      "interpreters/driver",
      "interpreters/simulation",
      "interpreters/debugger",
      "interpreters/lease",
      "interpreters/members",
      "interpreters/replica/world",
      "interpreters/replica",
      "interpreters/node",
      "kv/machine",
      "kv/server",
      "kv/service",
      "kv/node",
      "kv/client",
      "spec/cli",
      "spec",
    ]
    const wrong = imports.filter(({ from, to }) => {
      if (from.startsWith("test/")) return false
      const folder = folders.find((name) => to.startsWith(`${name}/`))
      const sameHouse = from.split("/")[0] === to.split("/")[0]
      return folder !== undefined && !sameHouse && to !== `${folder}/index.ts` && !SIDE_DOORS.has(to)
    })
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test("what a browser loads needs no Node", () => {
    const entries = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly exports: Readonly<Record<string, { readonly default: string }>>
    }
    const onNode = new Set([
      ".",
      "./interpreters/file",
      "./interpreters/tcp",
      "./interpreters/debugger",
      "./kv",
      "./kv/client",
      "./kv/client/effect",
    ])
    const doors = Object.entries(entries.exports).flatMap(([name, door]) =>
      onNode.has(name) ? [] : [door.default.slice("./dist/".length).replace(/js$/, "ts")],
    )
    const loaded = new Set<string>(doors)
    const wrong: string[] = []
    for (const file of loaded) {
      for (const { from, to, typeOnly } of imports) {
        if (from !== file || typeOnly) continue
        if (to.startsWith("node:") || to === "classic-level") wrong.push(`${file} → ${to}`)
        else if (to.endsWith(".ts")) loaded.add(to)
      }
    }
    expect(wrong).toEqual([])
    // Names that only Node has are found by the types: `npm run typecheck` checks these doors without Node's.
    const config = readFileSync(join(root, "test/browser.tsconfig.json"), "utf8")
    expect(new Set(Array.from(config.matchAll(/"\.\.\/(\S+\.ts)"/g), ([, file]) => file))).toEqual(new Set(doors))
    expect(readFileSync(join(root, "package.json"), "utf8")).toContain("tsc -p test/browser.tsconfig.json")
  })

  test("what the package exports: each entry is told in a README, and one name means one thing in all of them", () => {
    const entries = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly exports: Readonly<Record<string, { readonly default: string }>>
    }
    const pages = ["README.md", ...HOUSES.slice(0, 4).map((house) => `${house}/README.md`)]
      .map((page) => readFileSync(join(root, page), "utf8"))
      .join("\n")
    const declared = declarations()
    const meanings = new Map<string, Set<string>>()
    for (const [entry, door] of Object.entries(entries.exports)) {
      if (entry !== ".") expect(pages).toContain(`stepraft/${entry.slice(2)}`)
      for (const [name, by] of declared(door.default.slice("./dist/".length).replace(/js$/, "ts")))
        meanings.set(name, (meanings.get(name) ?? new Set()).add(by))
    }
    expect(meanings.size).toBeGreaterThan(200)
    expect(
      Array.from(meanings).flatMap(([name, by]) => (by.size > 1 ? [`${name}: ${[...by].join(", ")}`] : [])),
    ).toEqual([])
  })

  // The same thing over another transport. Commands are called as in Redis, wherever else those words stand.
  const TWINS = new Set(["Connection", "ConnectionHandlers", "Link", "LinkShared"])
  test("one name means one thing in the whole tree: what is exported is declared in one file", () => {
    const declared = new Map<string, Set<string>>()
    for (const file of files.filter((name) => !/^(test|kv\/machine\/commands)\//.test(name)))
      for (const name of declaredIn(file)) declared.set(name, (declared.get(name) ?? new Set()).add(file))
    expect(declared.size).toBeGreaterThan(2000)
    expect(
      Array.from(declared).flatMap(([name, by]) =>
        by.size > 1 && !TWINS.has(name) ? [`${name}: ${[...by].join(", ")}`] : [],
      ),
    ).toEqual([])
  })

  test("the core is pure: no clock, no randomness, no waiting, no output", () => {
    const impure =
      /\b(Date|Math\.random|performance|setTimeout|setImmediate|queueMicrotask|process|console|async|await|Promise)\b/
    const found = files
      .filter((file) => file.startsWith("core/"))
      .flatMap((file) =>
        readFileSync(join(root, file), "utf8")
          .split("\n")
          .flatMap((line, i) =>
            impure.test(line.replace(/\/\/.*|^\s*\/?\*.*/, "")) ? [`${file}:${i + 1}: ${line.trim()}`] : [],
          ),
      )
    expect(found).toEqual([])
  })

  test("a link of a README leads to a file of the repository", () => {
    const pages = ["README.md", ...[".github", ...HOUSES].flatMap((folder) => walk(folder, ".md"))]
    expect(pages.length).toBeGreaterThan(7)
    const broken = pages.flatMap((page) =>
      Array.from(readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)/g), ([, to = ""]) =>
        existsSync(resolve(root, dirname(page), to)) ? "" : `${page}: ${to}`,
      ).filter((text) => text !== ""),
    )
    expect(broken).toEqual([])
  })

  test("a program in a README is one of test/examples, which is compiled, run and killed (process.examples.long.test.ts)", () => {
    const shown = ["README.md", ...HOUSES.flatMap((folder) => walk(folder, ".md"))].flatMap((page) =>
      fencesOf(page, "ts")
        .filter((code) => /from "stepraft(\/kv\/client)?"/.test(code))
        .map((code) => ({ page, code: syntaxOf(code) })),
    )
    const run = walk("test/examples", ".ts").flatMap((file) =>
      regionsOf(file) === "" ? [] : [{ file, code: syntaxOf(regionsOf(file)) }],
    )
    const tested = readFileSync(join(root, "test/process.examples.long.test.ts"), "utf8")
    expect(
      shown
        .filter(({ code }) => !run.some((one) => one.code === code))
        .map(({ page, code }) => `${page}: ${/"stepraft[^"]*"/.exec(code)?.[0]}`),
    ).toEqual([])
    expect(run.filter(({ code }) => !shown.some((one) => one.code === code)).map(({ file }) => file)).toEqual([])
    expect(
      run.map(({ file }) => file.slice("test/examples/".length)).filter((file) => !tested.includes(`"${file}`)),
    ).toEqual([])
    expect(run.length).toBeGreaterThanOrEqual(4)
  })

  test("files are one thing each: none is longer than 500 lines", () => {
    const long = files.flatMap((file) => {
      const lines = readFileSync(join(root, file), "utf8").split("\n").length
      return lines > 500 ? [`${file}: ${lines}`] : []
    })
    expect(long).toEqual([])
  })

  const lines = (file: string): readonly (readonly [string, string])[] =>
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .map((line, i) => [`${file}:${i + 1}: ${line.trim()}`, line.replace(/\/\/.*|^\s*\/?\*.*/, "")] as const)
  const own = "test/repository.test.ts"

  test("no luck without a seed: a test that failed can be run again", () => {
    // Machines that are to be caught at it.
    const unsteady = "test/machines.unsteady.ts"
    const found = files
      .filter((file) => file.startsWith("test/") && file !== own && file !== unsteady)
      .flatMap((file) =>
        lines(file).flatMap(([place, code]) =>
          /Math\.random|\brandom(Bytes|Int|UUID)\(/.test(code) && !code.includes("find:") ? [place] : [],
        ),
      )
    expect(found).toEqual([])
  })

  test("no test sleeps: it waits for a condition, for turns of the loop (test/waiting.ts), or gives the time itself", () => {
    const found = files
      .filter((file) => file.endsWith(".test.ts") && file !== own)
      .flatMap((file) =>
        lines(file).flatMap(([place, code]) => (/\b(sleep|setTimeout)\(|timers\/promises/.test(code) ? [place] : [])),
      )
    expect(found).toEqual([])
  })
})

describe("the mission", () => {
  test("every row of it has a check, and every check is a test", () => {
    const rows = Object.values(mission).flatMap((part) => Object.entries(part))
    const ids = (letter: string, count: number): readonly string[] =>
      Array.from({ length: count }, (_, at) => `${letter}${at + 1}`)
    expect(rows.map(([id]) => id)).toEqual([...ids("M", 104), ...ids("D", 9), ...ids("F", 10)])
    const bugs = new Set(seeded.filter(applies).map(({ id }) => id))
    expect(rows.flatMap(([, row]) => row.bugs ?? []).filter((id) => !bugs.has(id))).toEqual([])
    expect(rows.flatMap(([id, { checks }]) => unknown(checks).map((name) => `${id}: ${name}`))).toEqual([])
  })

  test("a test that is not there shows nothing", () => {
    const nowhere = ["no", "such", "test"].join(" ")
    expect(unknown([["repository", nowhere]])).toEqual([`test/repository.test.ts: ${nowhere}`])
  })

  test("the charts are drawn: every message in them is one of the core's, and a snapshot goes from the leader to the follower", () => {
    const text = readFileSync(join(root, "kv/FAULTS.md"), "utf8")
    const charts = new Map(
      text
        .split(/^## /mu)
        .map((section) => [section.split("\n")[0] ?? "", /^```mermaid\n(.*?)^```$/msu.exec(section)?.[1]]),
    )
    for (const title of [
      "From a fault to its end",
      "Election and heartbeats",
      "What is committed",
      "A write",
      "A snapshot is installed",
    ])
      expect(charts.get(title), title).toBeDefined()
    const arrows = Array.from(
      [...charts.values()].join("\n").matchAll(/^ *(\w+)--?>>(\w+): ([A-Z][a-z]+[A-Z]\w+)/gmu),
      ([, from, to, message]) => ({ from, to, message }),
    )
    const known = new Set(
      Array.from(
        readFileSync(join(root, "core/messages.ts"), "utf8").matchAll(/^export interface (\w+)/gmu),
        ([, message]) => message,
      ),
    )
    expect(arrows.map(({ message }) => message).filter((message) => !known.has(message))).toEqual([])
    expect(new Set(arrows.map(({ message }) => message)).size).toBeGreaterThan(7)
    for (const { from, to, message } of arrows) {
      if (message === "InstallSnapshot") expect([from, to]).toEqual(["l", "f"])
      if (message === "InstallSnapshotReply") expect([from, to]).toEqual(["f", "l"])
    }
  })

  test("each fault has its strategy: who notices it, and what the cluster does", () => {
    const table = readFileSync(join(root, "kv/FAULTS.md"), "utf8").split("## Fault by fault")[1] ?? ""
    const rows = table
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| -") && !line.startsWith("| fault"))
      .map((line) => line.split("|").map((cell) => cell.trim()))
    expect(rows.length).toBeGreaterThan(15)
    expect(rows.filter(([, fault, , what]) => fault === "" || what === "")).toEqual([])
  })

  test("its page is what npm run mission makes of it", () => {
    expect(readFileSync(join(root, PAGE), "utf8")).toBe(page())
  })
})
