/**
 * The available runtimes: this Node, others from their npm packages in a folder of their own, and a browser of the
 * system.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

export interface Runtime {
  readonly name: "Node 20" | "newest Node" | "Bun" | "Deno" | "Chromium"
  /** null: it is not installed, and `missing` says why. */
  readonly version: string | null
  readonly missing: string
  /** Words before the program's own. */
  readonly command: readonly string[]
}

/** Kept between runs: together they take 400 MB. */
const folder = join(tmpdir(), "stepraft-runtimes")
const platform = `${process.platform}-${process.arch}`

const PACKAGES = [`node-${platform}`, "bun", "deno"]
const exe = process.platform === "win32" ? ".exe" : ""

/** Installed from npm, once. Without a network nothing is installed, and what is missing is reported as missing. */
export const fetchRuntimes = (): void => {
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, "package.json"))) writeFileSync(join(folder, "package.json"), `{"private":true}`)
  const npm = spawnSync(
    "npm",
    ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", ...PACKAGES.map((name) => `${name}@latest`)],
    { cwd: folder, encoding: "utf8" },
  )
  if (npm.status !== 0) process.stderr.write(`npm could not install ${PACKAGES.join(", ")}: ${npm.stderr.trim()}\n`)
  // The package's own install script moves the binary into place; it was not run.
  if (existsSync(join(folder, "node_modules/bun/install.js")))
    spawnSync(process.execPath, ["install.js"], { cwd: join(folder, "node_modules/bun") })
  if (existsSync(join(folder, "node_modules/deno/bin.cjs")))
    spawnSync(process.execPath, ["bin.cjs", "--version"], { cwd: join(folder, "node_modules/deno") })
}

const onPath = (names: readonly string[]): string | undefined =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .flatMap((directory) => names.map((name) => join(directory, `${name}${exe}`)))
    .find((file) => existsSync(file))

const runtime = (
  name: Runtime["name"],
  file: string | undefined,
  words: readonly string[],
  pattern: RegExp,
  hint: string,
): Runtime => {
  const missing = (why: string): Runtime => ({ name, version: null, missing: why, command: [] })
  if (file === undefined) return missing(hint)
  try {
    const version = pattern.exec(
      execFileSync(file, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    )?.[1]
    return version === undefined
      ? missing(`${file} tells no version`)
      : { name, version, missing: "", command: [file, ...words] }
  } catch (error) {
    return missing(`${file} does not run here: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export const runtimesHere = (): readonly Runtime[] => {
  const fetched = (...names: readonly string[]): string | undefined =>
    names.map((name) => join(folder, "node_modules", name)).find((file) => existsSync(file))
  const hint = "not here: `npm run runtimes` fetches it"
  const own = process.versions.node.startsWith("20.") ? process.execPath : undefined
  return [
    runtime("Node 20", own, [], /v(\S+)/, `this is Node ${process.versions.node}`),
    runtime(
      "newest Node",
      fetched(`node-${platform}/bin/node${exe}`) ?? (own === undefined ? process.execPath : undefined),
      [],
      /v(\S+)/,
      hint,
    ),
    runtime("Bun", fetched("bun/bin/bun.exe") ?? onPath(["bun"]), [], /(\S+)/, hint),
    runtime(
      "Deno",
      fetched(`deno/deno${exe}`) ?? onPath(["deno"]),
      ["run", "-A", "--quiet", "--node-modules-dir=manual"],
      /deno (\S+)/,
      hint,
    ),
    runtime(
      "Chromium",
      onPath(["chromium", "chromium-browser", "google-chrome"]),
      [],
      /(\d[\d.]*)/,
      "not here: install chromium by the system's packages (apt-get install chromium)",
    ),
  ]
}
