/** A project that contains only the packed tarball, its dependencies, and the programs of this folder. */
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { build, transformWithOxc } from "vite"
import { root, temporaryFolder } from "../cluster.ts"

export interface App {
  readonly folder: string
  /** One of the programs, or the command line of the package. */
  readonly program: (name: "alone" | "server" | "cli") => string
}

export const makeApp = async (): Promise<App> => {
  const folder = temporaryFolder("stepraft-app-")
  const modules = join(folder, "node_modules")
  mkdirSync(modules)
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], { cwd: root })
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) throw new Error("npm pack left no tarball")
  execFileSync("tar", ["-xzf", tarball], { cwd: folder })
  execFileSync("mv", ["package", join(modules, "stepraft")], { cwd: folder })
  // The same versions as are installed here, so no network is needed.
  const { dependencies = {}, peerDependencies = {} } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  ) as Partial<Record<"dependencies" | "peerDependencies", Record<string, string>>>
  for (const name of Object.keys({ ...dependencies, ...peerDependencies }))
    symlinkSync(join(root, "node_modules", name), join(modules, name))
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
  const programs = join(root, "test/runtimes/programs")
  for (const file of readdirSync(programs)) {
    const { code } = await transformWithOxc(readFileSync(join(programs, file), "utf8"), file)
    writeFileSync(join(folder, `${basename(file, ".ts")}.js`), code)
  }
  return {
    folder,
    program: (name) => (name === "cli" ? join(modules, "stepraft/dist/kv/cli.js") : join(folder, `${name}.js`)),
  }
}

/**
 * The same program for a web page, bundled as its author would do it. Throws if it uses a module that browsers do not
 * have.
 */
export const bundle = async ({ folder, program }: App): Promise<string> => {
  const built = await build({
    root: folder,
    configFile: false,
    logLevel: "silent",
    define: { "process.env.NODE_ENV": `"production"` },
    build: { write: false, minify: false, lib: { entry: program("alone"), formats: ["es"], fileName: "alone" } },
  })
  const [first] = Array.isArray(built) ? built : [built]
  const code =
    first === undefined || !("output" in first)
      ? ""
      : first.output.map((part) => (part.type === "chunk" ? part.code : "")).join("\n")
  const foreign = /browser-external|from ?["']node:|require\(/.exec(code)
  if (code === "" || foreign !== null)
    throw new Error(`the bundle for a page ${code === "" ? "is empty" : `holds ${foreign?.[0]}`}`)
  return code
}
