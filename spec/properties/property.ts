/** A property over random worlds that, if it fails, says how to see it again: a file and its command, seed and path for fast-check. */
import * as fc from "fast-check"
import type { Script } from "../../interpreters/simulation/index.ts"
import { asLived, checkScript, isOwn, sameFailureAs, saveFailure, shrinkScript, spelledOut, type Profile, type Saved, type ScriptChecks, type ScriptFailed } from "../scripts/index.ts"
import { scriptArbitrary, type ScriptArbitraryOptions } from "./arbitraries.ts"

export interface WorldPropertyOptions extends ScriptArbitraryOptions {
  /** Default: everything. */
  readonly profile?: Profile
  /** What is checked; with `machine` the state machine of one's own, which takes `command`, too. A new one for each world. */
  readonly checks?: () => ScriptChecks
  /** Path of the module that exports `checks`: the command that opens a failure then runs them again, step by step. */
  readonly module?: string
  /** Of fast-check. A failure tells seed and path: given again, it fails at once. */
  readonly numRuns?: number
  readonly seed?: number
  readonly path?: string
  /** Seconds for all of it, shrinking included. Default: 60. */
  readonly seconds?: number
  /** Where the script of a failure is saved. Default: a new folder for temporary files. */
  readonly file?: string
}


export class WorldPropertyFailed extends Error {
  override readonly name = "WorldPropertyFailed"
  readonly script: Script
  readonly failed: ScriptFailed
  readonly seed: number
  readonly path: string
  readonly file: string
  readonly command: string
  constructor(script: Script, failed: ScriptFailed, seed: number, path: string, { file, command, advice }: Saved) {
    const { actions } = script
    const atTheEnd = failed.action >= actions.length ? ["       then all is mended, as the saved script spells out"] : []
    super(
      [
        failed.message,
        `  ${actions.length} actions, ${failed.steps} steps`,
        ...actions.map((action, i) => `  ${String(i + 1).padStart(3)}  ${JSON.stringify(action)}`),
        ...atTheEnd,
        `  seed ${seed}, path ${JSON.stringify(path)}`,
        `  ${advice}`,
      ].join("\n"),
    )
    this.script = script
    this.failed = failed
    this.seed = seed
    this.path = path
    this.file = file
    this.command = command
  }
}

/** Tries, not time: what is left of a script must not hang on the machine. */
const TRIES = 2000

/** What broke while the world was mended, by actions of its own: those of the mending that cause it, and no others. */
const withoutTheRest = (script: Script, failed: ScriptFailed, checks: () => ScriptChecks): { readonly script: Script; readonly failed: ScriptFailed } => {
  const whole = spelledOut(script, failed, checks)
  if (whole.script === script) return whole
  const { machine } = checks()
  const same = sameFailureAs(whole.failed, whole.script, checks)
  const small = shrinkScript(whole.script, same, { limitMs: Number.POSITIVE_INFINITY, limitTries: TRIES, hand: false, ...(machine === undefined ? {} : { machine }) })
  const verdict = same(small)
  return verdict === null ? whole : { script: small, failed: verdict }
}

/** Throws WorldPropertyFailed if any world fails. */
export const worldProperty = (options: WorldPropertyOptions = {}): void => {
  const { profile = "everything", checks = () => ({}), module, numRuns = 100, seed, path, seconds = 60, file, ...script } = options
  const all = (): ScriptChecks => (script.command === undefined ? checks() : { command: script.command, ...checks() })
  const { machine, command } = all()
  if (machine !== undefined && (script.command ?? command) === undefined)
    throw new Error("this property would test nothing of its state machine: without `command` all that is proposed is zeros. Give `command: (id) => bytes`: the bytes of command number id, as the state machine reads them")
  const check = (one: Script): ReturnType<typeof checkScript> => checkScript(one, all())
  const commands = script.command ?? command
  const { failed, counterexample, seed: used, counterexamplePath } = fc.check(
    fc.property(scriptArbitrary(profile, { ...script, ...(commands === undefined ? {} : { command: commands }) }), (one) => check(one).ok),
    { numRuns, interruptAfterTimeLimit: seconds * 1000, ...(seed === undefined ? {} : { seed }), ...(path === undefined ? {} : { path }) },
  )
  const [smallest] = counterexample ?? []
  if (!failed || smallest === undefined) return
  const verdict = check(smallest)
  if (verdict.ok) throw new Error("a world failed and then did not: what its state machine or its checks do hangs on more than the script")
  const small = withoutTheRest(smallest, verdict, all)
  const saved = saveFailure(asLived(small.script, small.failed, all()), small.failed, { file, own: isOwn(all()), check: module })
  throw new WorldPropertyFailed(small.script, small.failed, used, counterexamplePath ?? "", saved)
}
