/** Loads the user's own modules, JavaScript or TypeScript, as the project that contains them would. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { failure } from "../../interpreters/cli/runtime.ts"

export type UserModule = Readonly<Record<string, unknown>>

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : null)
/**
 * The errors with which Node refuses TypeScript: it reads none of it, or not all of its syntax, or the imports name the
 * files that tsc would write.
 */
const OF_TYPESCRIPT: ReadonlySet<unknown> = new Set([
  "ERR_UNKNOWN_FILE_EXTENSION",
  "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX",
  "ERR_INVALID_TYPESCRIPT_SYNTAX",
  "ERR_MODULE_NOT_FOUND",
])

const isRecord = (value: unknown): value is UserModule => typeof value === "object" && value !== null

/** The file that an import of `name` selects from the conditional exports of a package. */
const target = (exported: unknown): string | null => {
  if (typeof exported === "string") return exported
  return isRecord(exported) ? (target(exported["import"]) ?? target(exported["default"])) : null
}
/**
 * The file that the project at `path` would import as `name/subpath`; `under`: packages that may have installed it, if
 * the project itself has not.
 */
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
    // Node caches a failed import by its address, so the address must differ.
    const again = `${url}?again`
    return import(again)
  }
}
/** A project that tests with vitest has vite installed. */
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

/** `flag` is the option that gave the path. An error ends with exit code 3. */
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
