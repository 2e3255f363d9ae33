/**
 * Runs the built JavaScript instead of the sources: builds first if dist is stale or absent, then runs it as if it had
 * been called.
 */
import { spawn, spawnSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

const sources = ["core", "interpreters", "kv", "spec"]

const modified = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

const newest = (path: string): number => {
  let latest = modified(path)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) latest = Math.max(latest, newest(inner))
    else if (entry.name.endsWith(".ts")) latest = Math.max(latest, modified(inner))
  }
  return latest
}

/** Removing a file changes the time of its folder, so folders count too. */
export const isStale = (root: string, program: string): boolean => {
  const built = modified(program)
  const configured = Math.max(modified(join(root, "tsconfig.json")), modified(join(root, "package.json")))
  return (
    built === 0 ||
    configured > built ||
    sources.some((folder) => modified(join(root, folder)) > 0 && newest(join(root, folder)) > built)
  )
}

const build = (root: string, program: string): void => {
  const before = modified(program)
  const compiler = join(
    dirname(createRequire(join(root, "package.json")).resolve("typescript/package.json")),
    "bin",
    "tsc",
  )
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.json")], {
    encoding: "utf8",
    cwd: root,
    env: withoutLoader(),
  })
  if (status === 0) return
  process.stderr.write(stdout)
  // The compiler writes its output despite type errors; the program may well run, and the errors were shown.
  if (modified(program) > before) process.stderr.write("stepraft: built with the errors above\n")
  else throw new Error("stepraft: the build failed (npm run build shows why)")
}

/** A loader for the sources that came through the environment would be loaded by every child again. */
const withoutLoader = (): NodeJS.ProcessEnv => {
  const env = { ...process.env }
  if (env["NODE_OPTIONS"]?.includes("tsx") === true) delete env["NODE_OPTIONS"]
  return env
}

const relayed = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const

export const relaunch = async (self: string): Promise<void> => {
  const root = dirname(dirname(self))
  const program = join(root, "dist", "kv", "cli.js")
  if (isStale(root, program)) build(root, program)
  const child = spawn(process.execPath, [program, ...process.argv.slice(2)], { stdio: "inherit", env: withoutLoader() })
  for (const signal of relayed) process.on(signal, () => child.kill(signal))
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => {
      for (const one of relayed) process.removeAllListeners(one)
      // This process ends as its child did: with the same code, or by the same signal.
      if (signal === null) process.exit(code ?? 1)
      process.kill(process.pid, signal)
      resolve()
    })
  })
}
