/** Opens a trace, a saved scenario or a fresh world for stepping through it. */
import {
  openSession,
  readTraceFile,
  replayTrace,
  runLines,
  runPiped,
  runTerminal,
  TraceUnreadable,
  writeScenario,
  type Face,
  type ReplayResult,
  type DebugSession,
  type DebugSessionOptions,
  type Trace,
} from "../../interpreters/debugger/index.ts"
import { MOST_NODES, type Script, type TraceViolation } from "../../interpreters/simulation/index.ts"
import {
  checkerOf,
  checkScript,
  debugCommandLine,
  generateScript,
  invariants,
  type Profile,
  type ScriptChecks,
} from "../index.ts"
import { loadOwn } from "./checks-module.ts"
import { exitCodes, failure } from "../../interpreters/cli/runtime.ts"

export interface DebugOptions {
  readonly file: string | null
  readonly seed: number
  readonly profile: Profile | null
  readonly nodes: number
  /** Also compare every step with the abstract specification. */
  readonly refine: boolean
  /** A module that exports a machine definition and its invariants; null: none. */
  readonly machine: string | null
  /** A module that exports checks of any kind; null: none. */
  readonly check: string | null
  /** Commands to run instead of reading them; null: from the terminal or the pipe. */
  readonly commands: string | null
}

const open = (file: string): Trace => {
  try {
    return readTraceFile(file)
  } catch (error) {
    if (error instanceof TraceUnreadable) throw failure(`${file}: ${error.message}`, 3)
    throw failure(`${file} cannot be opened: ${error instanceof Error ? error.message : String(error)}`, 3)
  }
}

const replayedText = ({ steps, hashes, events, difference, stopped }: ReplayResult): string =>
  difference !== null
    ? `it replays differently here: ${difference}. What follows is the world of this version`
    : `it replays: ${steps} steps, ${hashes} hashes and ${events} events as written${stopped === null ? "" : `; then: ${stopped}`}`

/**
 * The properties, besides the invariants, that are checked only in a run of a whole script. The last of them is checked
 * only at the end of a world.
 */
const PROPERTIES: ReadonlySet<string> = new Set([
  "Refinement",
  "MachinesAgree",
  "StaleDirectoryRefused",
  "Liveness",
  "EveryRefAnswered",
])

interface Opened {
  readonly session: DebugSession
  readonly text: string
}
/** Opens at the violation if the trace has one, otherwise at the beginning. */
const openAt = (
  script: Script,
  told: TraceViolation | null,
  options: Pick<DebugSessionOptions, "hooks" | "words" | "checker">,
  checks: () => ScriptChecks,
  given: boolean,
): Opened => {
  const session = openSession(script, options)
  if (told === null) return { session, text: "" }
  session.finish()
  const { violation } = session.frame()
  if (violation !== null) return { session, text: `${violation.name} is violated here; back shows how it came to be` }
  const { name, at, message = name, own = false, mended = script.actions.length } = told
  const show = (text: string): Opened => {
    const there = openSession(script, {
      ...options,
      told: { name, message, at: told.mended === undefined ? at : null },
    })
    there.finish()
    return { session: there, text }
  }
  const verdict = checkScript({ ...script, actions: script.actions.slice(0, mended) }, checks())
  if (!verdict.ok && verdict.violation === name)
    return show(
      `${name} is violated at the end of this world, which no single step shows; back shows how it came to be`,
    )
  const known = Object.hasOwn(invariants, name) || PROPERTIES.has(name) || checks().own?.includes(name) === true
  if ((own && !given) || !known)
    return show(
      `${name} was reported here when this was saved. The file does not contain the check that found it${given ? "" : ": --machine MODULE (or --check MODULE) runs your own state machine and checks again, step by step"}; back shows how it came to be`,
    )
  return {
    session,
    text: `${name} was violated when this was written, and is no longer violated: this is the last step`,
  }
}

export const debug = async ({
  file,
  seed,
  profile,
  nodes,
  refine,
  machine: machinePath,
  check,
  commands,
}: DebugOptions): Promise<void> => {
  if (nodes > MOST_NODES) throw failure(`--nodes must be at most ${MOST_NODES}, not ${nodes}`, exitCodes.usage)
  const trace = file === null ? null : open(file)
  const fresh: Script = { seed, options: { nodes, connections: true }, actions: [] }
  const script = trace?.script ?? (profile === null ? fresh : generateScript(seed, profile, { nodes }))
  const own = await loadOwn({ machine: machinePath, check })
  const refinement = refine || trace?.violation?.name === "Refinement"
  const checks = (): ScriptChecks => ({ refinement, ...own?.() })
  const { machine, words } = checks()
  const { session, text } = openAt(
    script,
    trace?.violation ?? null,
    {
      ...(machine === undefined ? {} : { hooks: { machine } }),
      ...(words === undefined ? {} : { words }),
      checker: () => checkerOf(checks()),
    },
    checks,
    own !== null,
  )
  const save: Face["save"] = (path, at) => {
    const { violation, world } = at.frame()
    const found =
      violation === null
        ? null
        : {
            name: violation.name,
            at: Math.max(0, world.steps - 1),
            message: violation.message,
            ...(own === null && trace?.violation?.own !== true ? {} : { own: true }),
          }
    writeScenario(path, at.script(), {
      ...(own === null ? { hash: { i: world.steps, hash: at.hash() } } : {}),
      violation: found,
    })
    return `saved; ${debugCommandLine(path, { machine: machinePath ?? undefined, check: check ?? undefined })} opens it`
  }
  const { stdin: input, stdout: output } = process
  const replayed = trace === null || own !== null ? "" : replayedText(replayTrace(trace))
  const opened = [replayed, text].filter((line) => line !== "").join("\n")
  const face: Face = { input, output, save }
  if (commands === null && input.isTTY && output.isTTY) return runTerminal(session, { ...face, input, output }, opened)
  if (opened !== "") output.write(`${opened}\n\n`)
  const failed = commands === null ? await runPiped(session, face) : await runLines(session, commands.split(";"), face)
  if (failed > 0) throw failure(`${failed} commands were not understood or not possible`)
}
