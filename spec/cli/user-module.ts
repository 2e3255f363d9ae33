/** Modules of the user's own, JavaScript or TypeScript, as the project that they stand in would load them. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { failure } from "../../interpreters/cli/runtime.ts"

export type UserModule = Readonly<Record<string, unknown>>

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : null)
/** What this Node says of TypeScript that it does not read: none of it, or not all, or imports that name what tsc would write. */
const OF_TYPESCRIPT: ReadonlySet<unknown> = new Set([
  "ERR_UNKNOWN_FILE_EXTENSION",
  "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX",
  "ERR_INVALID_TYPESCRIPT_SYNTAX",
  "ERR_MODULE_NOT_FOUND",
])

const isRecord = (value: unknown): value is UserModule => typeof value === "object" && value !== null

/** What an import of `name` comes to, of the conditional exports of a package. */
const target = (exported: unknown): string | null => {
  if (typeof exported === "string") return exported
  return isRecord(exported) ? (target(exported["import"]) ?? target(exported["default"])) : null
}
/** The file that the project at `path` imports as `name/subpath`, where it is installed; `under` something else that is, if it is not by itself. */
const find = (path: string, name: string, subpath: string, under: readonly string[] = []): string | null => {
  try {
    let from = resolve(path)
    for (const each of [...under, name]) from = createRequire(pathToFileURL(from)).resolve(`${each}/package.json`)
    const { exports } = JSON.parse(readFileSync(from, "utf8")) as { readonly exports?: UserModule }
    const file = target(exports?.[subpath])
    return file === null ? null : join(dirname(from), file)
  } catch {
    return null
  }
}

type Loader = (url: string) => Promise<unknown>
const tsx = (path: string): Loader | null => {
  const api = find(path, "tsx", "./esm/api")
  if (api === null) return null
  return async (url) => {
    const { register } = (await import(pathToFileURL(api).href)) as { readonly register: () => void }
    register()
    // Node remembers what it could not load by its address.
    const again = `${url}?again`
    return import(again)
  }
}
/** Whoever tests with vitest has vite. */
const vite = (path: string): Loader | null => {
  const main = find(path, "vite", ".") ?? find(path, "vite", ".", ["vitest"])
  if (main === null) return null
  return async () => {
    const { runnerImport } = (await import(pathToFileURL(main).href)) as {
      readonly runnerImport?: (path: string, config: object) => Promise<{ readonly module: unknown }>
    }
    if (runnerImport === undefined) throw new Error("this vite is too old to import a module: 6.0 or newer can")
    return (await runnerImport(resolve(path), { configFile: false, logLevel: "error" })).module
  }
}

/** `flag` named it. What is wrong with it is told with code 3. */
export const loadUserModule = async (path: string, flag: string): Promise<UserModule> => {
  const url = pathToFileURL(resolve(path)).href
  const cannot = (why: string): Error => failure(`${path}, named by ${flag}, cannot be loaded: ${why}`, 3)
  try {
    const loaded: unknown = await import(url)
    if (isRecord(loaded)) return loaded
  } catch (error) {
    if (!/\.[cm]?tsx?$/.test(path) || !OF_TYPESCRIPT.has(codeOf(error))) throw cannot(textOf(error))
    const load = tsx(path) ?? vite(path)
    if (load === null)
      throw cannot(
        `it is TypeScript, which Node ${process.version} does not read by itself (${textOf(error)}). Install tsx beside it (npm install -D tsx), or name a file of JavaScript`,
      )
    const loaded = await load(url).catch((again: unknown) => {
      throw cannot(textOf(again))
    })
    if (isRecord(loaded)) return loaded
  }
  throw cannot("it exports nothing")
}
