/** A module of the user's own, with the state machine and the checks that found a failure. */
import { createRequire } from "node:module"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { ScriptChecks } from "../index.ts"
import { failure } from "../../interpreters/cli/runtime.ts"

const WANTED = "it must export `checks`, a function that answers the checks of a world: () => ({ machine, applied, observe, … }), as worldProperty takes them"
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const isUnknownExtension = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ERR_UNKNOWN_FILE_EXTENSION"

/** This Node reads no TypeScript: tsx may be there, as it is for whoever tests in TypeScript. */
const withTsx = async (url: string, path: string): Promise<unknown> => {
  let api: string
  try {
    api = createRequire(pathToFileURL(resolve(path))).resolve("tsx/esm/api")
  } catch {
    throw failure(`${path} is TypeScript, which Node ${process.version} does not read: install tsx beside it (npm install -D tsx), or name a file of JavaScript`, 3)
  }
  const { register } = (await import(pathToFileURL(api).href)) as { readonly register: () => void }
  register()
  return await import(url)
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** Imports `checks` of the module. What is wrong with it is told with code 3. */
export const loadChecks = async (path: string): Promise<() => ScriptChecks> => {
  const url = pathToFileURL(resolve(path)).href
  let loaded: unknown
  try {
    loaded = await import(url).catch((error: unknown) => {
      if (isUnknownExtension(error)) return withTsx(url, path)
      throw error
    })
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === 3) throw error
    throw failure(`${path}, named by --check, cannot be loaded: ${textOf(error)}`, 3)
  }
  const made: unknown = isRecord(loaded) ? (loaded["checks"] ?? loaded["default"]) : null
  if (typeof made !== "function") throw failure(`${path}, named by --check, exports no checks: ${WANTED}`, 3)
  return () => {
    const checks: unknown = Reflect.apply(made, undefined, [])
    if (!isRecord(checks)) throw failure(`checks of ${path}, named by --check, answers ${String(checks)}: ${WANTED}`, 3)
    return checks
  }
}
