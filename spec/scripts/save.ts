/** Saves a failure as a file, and gives the command that opens it at the violation. A browser has no files, so it gets the text. */
import { builtin } from "../../interpreters/builtin.ts"
import { scenarioText, violationName, type Cluster } from "../../interpreters/simulation/index.ts"
import type { MendedScript, ScriptFailed } from "./check.ts"

const quoted = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`

/** The user's modules: one that exports a machine definition, one that exports checks. */
export interface OwnModules {
  readonly machine?: string | undefined
  readonly check?: string | undefined
}
export const debugCommandLine = (file: string, { machine, check }: OwnModules = {}): string =>
  `npx stepraft debug ${quoted(file)}${machine === undefined ? "" : ` --machine ${quoted(machine)}`}${check === undefined ? "" : ` --check ${quoted(check)}`}`

export interface SaveOptions extends OwnModules {
  /** Default: a new folder for temporary files. */
  readonly file?: string | undefined
  /** The script alone does not reproduce the failure: that takes a state machine, checks or clients of a program. */
  readonly own?: boolean
}
export interface SavedFailure {
  readonly file: string
  readonly command: string
  /** File and command as a line for people. Where there are no files: the content that the file would have. */
  readonly advice: string
}

interface Files {
  readonly mkdtempSync: (prefix: string) => string
  readonly writeFileSync: (path: string, text: string) => void
}
const files = builtin("node:fs") as Files | undefined
const temporary = builtin("node:os") as { readonly tmpdir: () => string } | undefined

const save = (text: string, modules: OwnModules, file: string | undefined): SavedFailure => {
  if (files === undefined || temporary === undefined) {
    const name = file ?? "world.ndjson"
    const command = debugCommandLine(name, modules)
    return {
      file: name,
      command,
      advice: `nothing can be saved here. Put the following lines into ${name}; open it with: ${command}\n${text}`,
    }
  }
  const path = file ?? `${files.mkdtempSync(`${temporary.tmpdir()}/stepraft-world-`)}/world.ndjson`
  files.writeFileSync(path, text)
  const command = debugCommandLine(path, modules)
  return { file: path, command, advice: `saved as ${path}; open it with: ${command}` }
}
export const saveFailure = (
  { script, mended }: MendedScript,
  { violation, message, at }: Pick<ScriptFailed, "violation" | "message" | "at">,
  { file, own = false, machine, check }: SaveOptions = {},
): SavedFailure =>
  save(
    scenarioText(script, {
      violation: { name: violation, at, message, ...(own ? { own } : {}), ...(mended === null ? {} : { mended }) },
    }),
    { machine, check },
    file,
  )

/** A story that failed: everything that was done to its world until then. */
export const saveStory = (
  { script, world }: Pick<Cluster, "script" | "world">,
  error: unknown,
  options: SaveOptions = {},
): SavedFailure =>
  saveFailure(
    { script: script(), mended: null },
    {
      violation: violationName(error),
      message: error instanceof Error ? error.message : String(error),
      at: Math.max(0, world.steps - 1),
    },
    { own: true, ...options },
  )

/**
 * Runs the story. If anything throws, its world is saved, and the error contains the command that opens it at the
 * failure.
 */
export const tellStory = <C extends Pick<Cluster, "script" | "world">, T>(
  c: C,
  story: (c: C) => T,
  options?: SaveOptions,
): T => {
  try {
    return story(c)
  } catch (error) {
    const { advice } = saveStory(c, error, options)
    if (error instanceof Error) error.message += `\n  ${advice}`
    throw error
  }
}
