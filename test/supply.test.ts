/** What an install of the package brings and runs, as .github/SECURITY.md promises it. The tarball: process.packed.long.test.ts. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { root, walk } from "./house.ts"
import { locked, own, shipped } from "./lock.ts"
import { problemsOf } from "./release.ts"

const described = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly files: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly allowScripts: Readonly<Record<string, boolean>>
  readonly publishConfig: object
}

test("an install runs nothing of ours, and here nothing of others", () => {
  const atInstall = ["preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"]
  expect(atInstall.filter((name) => name in described.scripts)).toEqual([])
  // npm compiles by itself where it finds one.
  expect(existsSync(join(root, "binding.gyp"))).toBe(false)
  expect(Object.values(described.allowScripts)).toEqual(Object.keys(described.allowScripts).map(() => false))
})

test("every version is pinned, and every package by its hash", () => {
  const { dependencies, devDependencies } = described
  const asked = Object.entries({ ...dependencies, ...devDependencies })
  expect(asked.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  expect({ dependencies: own.dependencies, devDependencies: own.devDependencies }).toEqual({
    dependencies,
    devDependencies,
  })
  expect(Object.keys(dependencies)).toEqual(["classic-level", "effect", "immer"])
  // From no other place than the registry.
  expect(locked.filter(({ integrity, resolved }) => !integrity.startsWith("sha512-") || resolved !== null)).toEqual([])
})

test("what comes along stands on the page with its licence, the pinned first", () => {
  const page = readFileSync(join(root, ".github/SECURITY.md"), "utf8")
  const rows = Array.from(
    page.matchAll(/^\| ([a-z][a-z0-9-]*) +\| ([\w.-]+) +\|$/gm),
    ([, name, licence]) => `${name} ${licence}`,
  )
  const first = Object.keys(described.dependencies)
  const all = shipped.map(({ name, licence }) => `${name} ${licence}`)
  const isPinned = (row: string): boolean => first.includes(row.split(" ")[0] ?? "")
  expect(rows.filter((row) => row !== "package licence")).toEqual([
    ...all.filter(isPinned),
    ...all.filter((row) => !isPinned(row)),
  ])
  expect([...new Set(shipped.map(({ licence }) => licence))].toSorted()).toEqual(["BSD-3-Clause", "MIT"])
})

test("published are the build, sources, pages, and the files that are named here; with provenance or not at all", () => {
  const folders = ["core", "interpreters", "kv", "spec"]
  expect(described.files).toEqual(["dist", ...folders])
  const others = folders.flatMap((folder) => walk(folder, "")).filter((file) => !/\.(ts|md)$/.test(file))
  expect(others.toSorted()).toEqual([
    "kv/alerts.yml",
    "kv/dashboard.json",
    "kv/deploy/Containerfile",
    "kv/deploy/Containerfile.dockerignore",
    "kv/deploy/kubernetes.yaml",
    "kv/deploy/node.env",
    "kv/deploy/prometheus.yml",
    "kv/deploy/stepraft-backup.service",
    "kv/deploy/stepraft-backup.timer",
    "kv/deploy/stepraft.service",
  ])
  expect(described.publishConfig).toEqual({ access: "public", provenance: true })
})

test("a release is made of a tag that names the version, after everything was checked, by others' code of known hashes", () => {
  const workflow = readFileSync(join(root, ".github/workflows/release.yml"), "utf8")
  const used = Array.from(workflow.matchAll(/uses: (\S+)/g), ([, name]) => name ?? "")
  expect(used.filter((name) => !/^actions\/[a-z-]+@[0-9a-f]{40}$/.test(name))).toEqual([])
  const [check = "", publish = ""] = workflow.split("\n  publish:\n")
  expect(check).toContain("- run: .ci/run\n")
  expect(publish).toContain("needs: check\n")
  expect(publish.trimEnd().endsWith("- run: npm publish --provenance --access public")).toBe(true)
  // Nothing but the publishing job may speak for the repository, and none may change it.
  expect(workflow.match(/\b\S+: write/g)).toEqual(["id-token: write"])
  expect(check).not.toContain("id-token")

  const repository = { url: "git+https://github.com/some/where.git" }
  expect(problemsOf({ version: "1.2.3", repository }, "v1.2.3", "some/where")).toEqual([])
  expect(problemsOf({ version: "1.2.3", repository }, "v1.2.4", "some/where").join()).toMatch(/Tag v1\.2\.3/)
  for (const described of [{ version: "1.2.3" }, { version: "1.2.3", repository }])
    expect(problemsOf(described, "v1.2.3", "else/where").join()).toMatch(
      /repository\.url=git\+https:\/\/github\.com\/else/,
    )
})
