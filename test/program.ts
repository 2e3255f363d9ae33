/**
 * Bundles the command line into few files, over what tsc wrote for kv/cli.ts: loading a file for each module of effect took
 * most of the start of a node. A part of its own for each dynamic import, so a command loads what it needs. The library stays
 * as tsc wrote it. classic-level is native and stays outside.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const out = join(root, "dist/kv")
/** As deep as the folders of the library, which look for package.json from where they are. */
const PARTS = "program"

rmSync(join(out, PARTS), { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: [
    { in: "kv/cli.ts", out: "cli" },
    // Beside the part that starts it.
    { in: "kv/cli/simulate-thread.ts", out: `${PARTS}/simulate-thread` },
  ],
  outdir: out,
  chunkNames: `${PARTS}/[name]-[hash]`,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  external: ["classic-level"],
  // Names stay as they are, for whoever reads a stack.
  minify: false,
  sourcemap: true,
  sourcesContent: false,
  metafile: true,
  logLevel: "warning",
})

/** What is copied into the program must come with its licence. */
const packages = new Set(
  Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.keys(inputs).flatMap((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []),
  ),
)
const licences = [...packages].toSorted().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
    readonly name: string
    readonly version: string
  }
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((each) => join(root, folder, each)).find(existsSync)
  if (file === undefined) throw new Error(`${name} is copied into the program, and has no file with its licence`)
  return `${name} ${version}\n\n${readFileSync(file, "utf8").trim()}\n`
})
writeFileSync(join(out, PARTS, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`))
