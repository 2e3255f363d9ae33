/** The tarball as it is published: what is in it, and what publint and attw say of it. Both come from npm; without a network they are skipped. */
import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { root, temporaryFolder } from "./cluster.ts"
import { shipped } from "./lock.ts"

const folder = temporaryFolder("stepraft-packed-")
execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], { cwd: root })
const tarball = join(folder, readdirSync(folder)[0] ?? "")

test("it holds each source once, what was built from it, and nothing else", () => {
  const files = execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((file) => file.slice("package/".length))
  const sources = new Set(files.filter((file) => file.endsWith(".ts") && !file.startsWith("dist/")))
  const parts = files.filter((file) => file.startsWith("dist/kv/program/"))
  const built = files.filter((file) => file.startsWith("dist/") && !parts.includes(file))
  // Left over from a build of before? Remove dist and build again.
  expect(
    built.filter((file) => !sources.has(file.slice("dist/".length).replace(/\.(js|d\.ts)(\.map)?$/, ".ts"))),
  ).toEqual([])
  expect(built.length).toBe(4 * sources.size)
  const chunks = parts.filter((file) => file.endsWith(".js"))
  expect(parts.toSorted()).toEqual(
    ["dist/kv/program/LICENSES.txt", ...chunks.flatMap((file) => [file, `${file}.map`])].toSorted(),
  )
  for (const file of built.filter((name) => name.endsWith(".map"))) {
    const map = JSON.parse(execFileSync("tar", ["-xzOf", tarball, `package/${file}`], { encoding: "utf8" })) as {
      readonly sources: readonly string[]
      readonly sourcesContent?: unknown
    }
    expect(map.sourcesContent).toBeUndefined()
    expect(map.sources.map((source) => join(file, "..", source))).toEqual([
      file.slice("dist/".length).replace(/\.(js|d\.ts)\.map$/, ".ts"),
    ])
    // One of each kind is enough: they are written by one program.
    if (file.startsWith("dist/interpreters/")) break
  }
  expect(
    files.filter(
      (file) =>
        !built.includes(file) &&
        !parts.includes(file) &&
        !sources.has(file) &&
        !/^(README\.md|LICENSE|package\.json)$|^(core|interpreters|kv|spec)\/.*\.md$|^kv\/(alerts\.yml|dashboard\.json)$|^kv\/deploy\/[\w-]+(\.\w+)?$/.test(
          file,
        ),
    ),
  ).toEqual([])
  expect(statSync(tarball).size).toBeLessThan(3_500_000)
})

test("what the program has copied of others is what an install brings, with each licence", () => {
  const parts = readdirSync(join(root, "dist/kv/program"))
  const copied = parts
    .filter((file) => file.endsWith(".map"))
    .flatMap((file) => {
      const map = JSON.parse(readFileSync(join(root, "dist/kv/program", file), "utf8")) as {
        readonly sources: readonly string[]
        readonly sourcesContent?: unknown
      }
      expect(map.sourcesContent).toBeUndefined()
      return map.sources.flatMap((source) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1] ?? [])
    })
  const licences = readFileSync(join(root, "dist/kv/program/LICENSES.txt"), "utf8")
  expect(Array.from(licences.matchAll(/^([\w@/-]+) (\d+\.\d+\.\d+)$/gm), ([line]) => line)).toEqual(
    shipped
      .filter(({ name }) => copied.includes(name))
      .map(({ name, version }) => `${name} ${version}`)
      .toSorted(),
  )
  expect([...new Set(copied)].filter((name) => !shipped.some((one) => one.name === name))).toEqual([])
  expect(licences).toContain("Permission is hereby granted")
})

test("a command loads few files and no database; a node nothing that reads command lines, and its database last", () => {
  const folder = join(root, "dist/kv/program")
  const textOf = (file: string): string => readFileSync(join(folder, file), "utf8")
  const loaded = (file: string, seen = new Set<string>()): ReadonlySet<string> => {
    if (seen.has(file)) return seen
    seen.add(file)
    if (file.startsWith("./"))
      for (const [, name = ""] of textOf(file).matchAll(/^(?:import|\} from|import .* from) "([^"]+)";$/gm))
        loaded(name, seen)
    return seen
  }
  const partsOf = (name: string): readonly string[] => {
    const [file = ""] = readdirSync(folder).filter((each) => new RegExp(`^${name}-\\w+\\.js$`).test(each))
    const all = [...loaded(`./${file}`)].filter((each) => !each.startsWith("node:"))
    expect(all.length).toBeGreaterThan(1)
    expect(all.filter((each) => !each.startsWith("./"))).toEqual([])
    return all
  }
  const holding = (parts: readonly string[], what: string): readonly string[] =>
    parts.filter((file) => textOf(file).includes(what))
  const [command, node] = [partsOf("main"), partsOf("direct")]
  expect(command.length).toBeLessThan(20)
  expect(holding(command, 'import("classic-level")')).toEqual([])
  expect(holding(node, 'import("classic-level")')).toHaveLength(1)
  expect(holding(command, "// node_modules/effect/dist/cli/")).not.toEqual([])
  expect(holding(node, "// node_modules/effect/dist/cli/")).toEqual([])
})

test("the bill of materials names what the lock file pins for users, version by version and hash by hash", () => {
  interface Named {
    readonly name: string
    readonly versionInfo: string
    readonly checksums?: readonly { readonly checksumValue: string }[]
  }
  const { packages } = JSON.parse(execFileSync("npm", ["run", "-s", "sbom"], { cwd: root, encoding: "utf8" })) as {
    readonly packages: readonly Named[]
  }
  const [self, ...others] = packages.map(
    ({ name, versionInfo, checksums }) => `${name} ${versionInfo} ${checksums?.[0]?.checksumValue ?? ""}`,
  )
  expect(self).toMatch(/^stepraft \d/)
  const pinned = shipped.map(
    ({ name, version, integrity }) =>
      `${name} ${version} ${Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex")}`,
  )
  expect(others.toSorted()).toEqual(pinned.toSorted())
})

const offline = /E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH)|ENOTCACHED/
for (const [name, ...words] of [
  ["publint", "publint@0.3.25", "--strict", tarball],
  ["attw", "@arethetypeswrong/cli@0.18.5", "--profile", "esm-only", tarball],
] as const) {
  test(`${name} finds nothing`, (context) => {
    const { status, stdout, stderr } = spawnSync("npx", ["--yes", ...words], { cwd: folder, encoding: "utf8" })
    if (status !== 0 && offline.test(stderr)) context.skip("not run: npm reaches no registry")
    expect({ status, said: status === 0 ? "" : `${stdout}${stderr}` }).toEqual({ status: 0, said: "" })
  })
}
