/** What failed, as a file, and the one command that opens it at the violation. */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { scenarioText, violationName, type Cluster } from "../../interpreters/simulation/index.ts"
import type { Lived, ScriptFailed } from "./check.ts"

const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`)

/** `check`: the module that holds the state machine and the checks. */
export const debugCommand = (file: string, check?: string): string => `npx stepraft debug ${quoted(file)}${check === undefined ? "" : ` --check ${quoted(check)}`}`

export interface SaveOptions {
  /** Default: a new folder for temporary files. */
  readonly file?: string | undefined
  /** The script alone does not show it: it takes a state machine, checks or clients of a program. */
  readonly own?: boolean
  /** The module that exports them as `checks`, as the command finds it. */
  readonly check?: string | undefined
}
export interface Saved {
  readonly file: string
  readonly command: string
}
export const saveFailure = ({ script, mended }: Lived, { violation, message, at }: Pick<ScriptFailed, "violation" | "message" | "at">, { file, own = false, check }: SaveOptions = {}): Saved => {
  const path = file ?? join(mkdtempSync(join(tmpdir(), "stepraft-world-")), "world.ndjson")
  writeFileSync(path, scenarioText(script, { violation: { name: violation, at, message, ...(own ? { own } : {}), ...(mended === null ? {} : { mended }) } }))
  return { file: path, command: debugCommand(path, check) }
}

/** A story that failed: all that was done to its world until then. */
export const saveStory = ({ script, world }: Pick<Cluster, "script" | "world">, error: unknown, options: SaveOptions = {}): Saved =>
  saveFailure({ script: script(), mended: null }, { violation: violationName(error), message: error instanceof Error ? error.message : String(error), at: Math.max(0, world.steps - 1) }, { own: true, ...options })

/** Tells the story. If it fails, whatever throws, its world is saved, and the error tells the command that opens it there. */
export const tellStory = <C extends Pick<Cluster, "script" | "world">, T>(c: C, story: (c: C) => T, options?: SaveOptions): T => {
  try {
    return story(c)
  } catch (error) {
    const { file, command } = saveStory(c, error, options)
    if (error instanceof Error) error.message += `\n  saved as ${file}; open it with: ${command}`
    throw error
  }
}
