/**
 * A property over random worlds that, if it fails, says how to see the failure again: a file with its command, seed and
 * path for fast-check.
 */
import * as fc from "fast-check"
import { builtin } from "../../interpreters/builtin.ts"
import { jsonCodec, plainCommand } from "../../interpreters/replica/world/index.ts"
import { plainAction, type Action, type Random, type Script } from "../../interpreters/simulation/index.ts"
import { machineChecks, machineClients, type MachineUnderTest } from "../machines/index.ts"
import {
  withMending,
  checkScript,
  hasOwnChecks,
  sameFailureAs,
  saveFailure,
  shrinkScript,
  withMendingSpelledOut,
  type OwnModules,
  type Profile,
  type ScriptChecks,
  type ScriptFailed,
} from "../scripts/index.ts"
import { commandScriptArbitrary, scriptArbitrary, type ScriptArbitraryOptions } from "./arbitraries.ts"
import { WorldPropertyFailed } from "./failed.ts"

interface RunOptions {
  /** The faults of the worlds. Default: everything. */
  readonly profile?: Profile
  /** For fast-check. A failure reports seed and path: given again, they make it fail at once. */
  readonly numRuns?: number
  readonly seed?: number
  readonly path?: string
  /** The time limit in seconds, including shrinking. Default: 60. */
  readonly seconds?: number
  /** Where the script of a failure is saved. Default: a new folder for temporary files. */
  readonly file?: string
}
export interface WorldPropertyOptions extends ScriptArbitraryOptions, RunOptions {
  /**
   * What is checked; with `machine` your own state machine, which also needs `command`. A new one is made for each
   * world.
   */
  readonly checks?: () => ScriptChecks
  /** Path of the module that exports `checks`: the command that opens a failure then runs them again, step by step. */
  readonly module?: string
}
export interface MachinePropertyOptions<State, Command, Result>
  extends MachineUnderTest<State, Command, Result>, Omit<ScriptArbitraryOptions, "command">, RunOptions {
  /** The commands that clients propose. */
  readonly commands: fc.Arbitrary<Command>
  /**
   * The module that exports `machine`, and `invariant` and `describe` if they exist: the command that opens a failure
   * then also shows states.
   */
  readonly module?: string | URL
  /**
   * This many clients execute commands and read beside the script, over the sessions of real replicas. Default: none;
   * then the script itself proposes.
   */
  readonly clients?: number
  /** Further checks of each world. */
  readonly checks?: () => Omit<ScriptChecks, "machine" | "applied" | "command" | "words">
}

/** A number of attempts, not a time: the shrunk script must not depend on the machine. */
const TRIES = 2000

/** A failure while faults were healed: with the healing actions that cause it, and no others. */
const withoutTheRest = (
  script: Script,
  failed: ScriptFailed,
  checks: () => ScriptChecks,
): { readonly script: Script; readonly failed: ScriptFailed } => {
  const whole = withMendingSpelledOut(script, failed, checks)
  if (whole.script === script) return whole
  const { machine } = checks()
  const same = sameFailureAs(whole.failed, whole.script, checks)
  const small = shrinkScript(whole.script, same, {
    limitMs: Number.POSITIVE_INFINITY,
    limitTries: TRIES,
    hand: false,
    ...(machine === undefined ? {} : { machine }),
  })
  const verdict = same(small)
  return verdict === null ? whole : { script: small, failed: verdict }
}

/**
 * With everything that clients did as actions of the script; reduced to the part that causes the failure, if that needs
 * no clients any more.
 */
const withTheClients = (
  script: Script,
  failed: ScriptFailed,
  checks: () => ScriptChecks,
): { readonly script: Script; readonly failed: ScriptFailed } => {
  const actions: Action[] = []
  checkScript(script, { ...checks(), acted: (action) => actions.push(plainAction(action)) })
  const whole = { script: { ...script, actions }, failed }
  const alone = (): ScriptChecks => {
    const { companions: _, ...rest } = checks()
    return { ...rest, liveness: false }
  }
  const verdict = checkScript(whole.script, alone())
  if (verdict.ok || verdict.violation !== failed.violation) return whole
  const same = sameFailureAs(verdict, whole.script, alone)
  const small = shrinkScript(whole.script, same, { limitMs: Number.POSITIVE_INFINITY, limitTries: TRIES, hand: false })
  return { script: small, failed: same(small) ?? verdict }
}

interface Runnable extends RunOptions {
  readonly scripts: fc.Arbitrary<Script>
  readonly checks: () => ScriptChecks
  readonly modules: OwnModules
  readonly hint: string | null
  /** The message for a script that failed and then did not. */
  readonly wavering: (failed: ScriptFailed | null) => ScriptFailed | Error
}

const run = ({
  scripts,
  checks,
  modules,
  hint,
  wavering,
  numRuns = 100,
  seed,
  path,
  seconds = 60,
  file,
}: Runnable): void => {
  let failures = 0
  /** A script failed, and then did not: from then on no result can be trusted. */
  let wavered: { readonly script: Script; readonly failed: ScriptFailed } | null = null
  const holds = (script: Script): boolean => {
    if (wavered !== null) return true
    const verdict = checkScript(script, checks())
    if (verdict.ok) return true
    if (failures++ === 0 && checkScript(script, checks()).ok) wavered = { script, failed: verdict }
    return false
  }
  const {
    failed,
    counterexample,
    seed: used,
    counterexamplePath,
  } = fc.check(fc.property(scripts, holds), {
    numRuns,
    interruptAfterTimeLimit: seconds * 1000,
    ...(seed === undefined ? {} : { seed }),
    ...(path === undefined ? {} : { path }),
  })
  const [smallest] = counterexample ?? []
  if (!failed || smallest === undefined) return
  const run = { seed: used, path: counterexamplePath ?? "", words: checks().words, hint }
  const once = wavered as { readonly script: Script; readonly failed: ScriptFailed } | null
  const verdict = once?.failed ?? checkScript(smallest, checks())
  if (once !== null || verdict.ok) {
    const told = wavering(verdict.ok ? null : verdict)
    if (told instanceof Error) throw told
    const script = once?.script ?? smallest
    throw new WorldPropertyFailed(
      { ...run, script, failed: told },
      saveFailure({ script, mended: null }, told, { file, own: true, ...modules }),
    )
  }
  if (checks().companions !== undefined) {
    const lived = withTheClients(smallest, verdict, checks)
    const saved = saveFailure({ script: lived.script, mended: null }, lived.failed, { file, own: true, ...modules })
    throw new WorldPropertyFailed({ ...run, ...lived }, saved)
  }
  const small = withoutTheRest(smallest, verdict, checks)
  const saved = saveFailure(withMending(small.script, small.failed, checks()), small.failed, {
    file,
    own: hasOwnChecks(checks()),
    ...modules,
  })
  throw new WorldPropertyFailed({ ...run, ...small }, saved)
}

const files = builtin("node:fs") as { readonly existsSync: (path: string) => boolean } | undefined
const paths = builtin("node:path") as { readonly relative: (from: string, to: string) => string } | undefined
const urls = builtin("node:url") as { readonly fileURLToPath: (url: string | URL) => string } | undefined

/** Relative to the working directory, for a command; in a browser unchanged. Throws if there is no such file. */
const pathOf = (module: string | URL): string => {
  if (files === undefined || paths === undefined || urls === undefined) return String(module)
  const path = typeof module === "string" && !module.startsWith("file:") ? module : urls.fileURLToPath(module)
  if (!files.existsSync(path))
    throw new Error(
      `there is no module ${path}: \`module\` is the file that exports machine and invariant, as a path from where this is run, or as new URL("./machine.ts", import.meta.url)`,
    )
  const near = paths.relative("", path)
  return near.startsWith("..") ? path : `./${near}`
}

const machineProperty = <State, Command, Result>(options: MachinePropertyOptions<State, Command, Result>): void => {
  const {
    machine,
    invariant,
    describe,
    commands,
    module,
    checks,
    clients = 0,
    profile = "everything",
    nodes,
    steps,
    ...rest
  } = options
  const made = typeof machine === "function" ? machine() : machine
  const { encode } = made.commands ?? jsonCodec<Command>()
  const definition: MachineUnderTest<State, Command, Result> = {
    machine,
    ...(invariant === undefined ? {} : { invariant }),
    ...(describe === undefined ? {} : { describe }),
  }
  const drawn = (random: Random): Uint8Array =>
    encode(fc.sample(commands, { seed: random.below(0x7fffffff), numRuns: 1 })[0] as Command)
  run({
    ...rest,
    scripts: commandScriptArbitrary(
      profile,
      { ...(nodes === undefined ? {} : { nodes }), ...(steps === undefined ? {} : { steps }) },
      { commands, encode: (id, command) => plainCommand(id, encode(command)) },
    ),
    checks: () => ({
      ...checks?.(),
      ...machineChecks(definition),
      ...(clients === 0 ? {} : { companions: machineClients({ clients, command: drawn }) }),
    }),
    modules: module === undefined ? {} : { machine: pathOf(module) },
    hint:
      module === undefined
        ? "it also shows states with --machine MODULE: a module that exports machine and invariant. The option `module` adds it to the command"
        : null,
    wavering: (failed) => {
      const message =
        "NotDeterministic: this script failed and then, run again, did not: apply, or an invariant, keeps something outside of the state, such as a variable of its module"
      return failed === null
        ? new Error(message)
        : { ...failed, violation: "NotDeterministic", message: `${message}. What failed:\n  ${failed.message}` }
    },
  })
}

const scriptProperty = (options: WorldPropertyOptions): void => {
  const { profile = "everything", checks = () => ({}), module, command: given, nodes, steps, ...rest } = options
  const all = (): ScriptChecks => (given === undefined ? checks() : { command: given, ...checks() })
  const { machine, command } = all()
  const commands = given ?? command
  if (machine !== undefined && commands === undefined)
    throw new Error(
      "this property would test nothing of its state machine: without `command` all proposed commands are zeros. Give `command: (id) => bytes`: the bytes of command number id, as the state machine reads them",
    )
  run({
    ...rest,
    scripts: scriptArbitrary(profile, {
      ...(nodes === undefined ? {} : { nodes }),
      ...(steps === undefined ? {} : { steps }),
      ...(commands === undefined ? {} : { command: commands }),
    }),
    checks: all,
    modules: { check: module },
    hint: null,
    wavering: () =>
      new Error("a world failed and then did not: its state machine or its checks depend on more than the script"),
  })
}

/**
 * Throws WorldPropertyFailed if any world fails. With `machine` and `commands`, a machine definition as for
 * `replicate`: it is executed twice for each command, on each server of each world, and `invariant` checks each state.
 */
export function worldProperty(options?: WorldPropertyOptions): void
export function worldProperty<State, Command, Result>(options: MachinePropertyOptions<State, Command, Result>): void
export function worldProperty<State, Command, Result>(
  options: WorldPropertyOptions | MachinePropertyOptions<State, Command, Result> = {},
): void {
  if ("machine" in options) machineProperty(options)
  else scriptProperty(options)
}
