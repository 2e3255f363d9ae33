/**
 * The same seeds give the same worlds on this Node and on another one, which is downloaded into a temporary folder from
 * the npm registry (package `node`): that needs the network, so this is a script and not a test.
 */
import { execFileSync, spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { readOptions } from "./options.ts"

const usage = `npm run -s build && npx tsx test/nodes-agree.ts [options]

The same seeds on this Node and on another one, which is downloaded.

  --version V     of the other (default: latest)
  --seeds N       (default: 1000)
`
const { values, number } = readOptions(usage, {
  version: { type: "string", default: "latest" },
  seeds: { type: "string", default: "1000" },
})
const seeds = number("seeds", 1)
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const built = join(root, "dist", "spec", "index.js")

/** Prints version and engine, then one line for each seed: steps, virtual time and hash, every check on. */
const program = `
  import { checkScript, generateScript, profileNames } from ${JSON.stringify(pathToFileURL(built).href)}
  console.log(process.version, process.versions.v8)
  for (let seed = 1; seed <= ${seeds}; seed++) {
    const verdict = checkScript(generateScript(seed, profileNames[seed % profileNames.length], { nodes: 1 + (seed % 7), steps: 40 }))
    console.log([seed, verdict.ok ? "ok" : verdict.violation, verdict.steps, verdict.ms, verdict.hash].join(" "))
  }
`
const linesOf = (node: string): Promise<readonly string[]> =>
  new Promise((resolve, reject) => {
    const child = spawn(node, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "" },
    })
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (part: string) => void (text += part))
    child.once("error", reject)
    child.once("close", (code) =>
      code === 0 ? resolve(text.trim().split("\n")) : reject(new Error(`${node} ended with code ${code}`)),
    )
  })

const download = (folder: string): string => {
  try {
    execFileSync(
      "npm",
      ["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", folder, `node@${values.version}`],
      { stdio: ["ignore", "inherit", "inherit"] },
    )
  } catch (error) {
    throw new Error(`node@${values.version} could not be had from the npm registry: is there a network?`, {
      cause: error,
    })
  }
  const node = join(folder, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node")
  if (!existsSync(node))
    throw new Error(`npm has installed node@${values.version}, but there is no ${node}: its install script did not run`)
  return node
}

const main = async (): Promise<number> => {
  if (!existsSync(built)) throw new Error("there is no dist: npm run build first")
  const folder = mkdtempSync(join(tmpdir(), "stepraft-node-"))
  try {
    const [mine, its] = [await linesOf(process.execPath), await linesOf(download(folder))]
    const different = mine
      .slice(1)
      .flatMap((line, i) => (line === its[i + 1] ? [] : [`  ${line}   on ${mine[0]}\n  ${its[i + 1]}   on ${its[0]}`]))
    console.log(
      `Node ${mine[0]} and Node ${its[0]} (each with its V8): ${mine.length - 1} seeds, ${different.length === 0 ? "every world the same" : `${different.length} differ`}`,
    )
    if (different.length > 0) console.log(different.slice(0, 10).join("\n"))
    return different.length === 0 && mine.length === its.length ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
