/** A property over random worlds that, if it fails, says how to see it again: seed and path for fast-check, and a file. */
import * as fc from "fast-check"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Script } from "../../interpreters/simulation/index.ts"
import { checkScript, scenarioText, spelledOut, type Profile, type ScriptChecks, type ScriptFailed } from "../scripts/index.ts"
import { scriptArbitrary, type ScriptArbitraryOptions } from "./arbitraries.ts"

export interface WorldPropertyOptions extends ScriptArbitraryOptions {
  /** Default: everything. */
  readonly profile?: Profile
  /** What is checked; with `machine` the state machine of one's own. A new one for each world. */
  readonly checks?: () => ScriptChecks
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
  /** `owned`: the world needs more than the file holds, such as a state machine. */
  constructor(script: Script, failed: ScriptFailed, seed: number, path: string, file: string, owned: boolean) {
    const { actions } = script
    super(
      [
        failed.message,
        `  ${actions.length} actions, ${failed.steps} steps`,
        ...actions.map((action, i) => `  ${String(i + 1).padStart(3)}  ${JSON.stringify(action)}`),
        `  seed ${seed}, path ${JSON.stringify(path)}`,
        `  saved as ${file}; open it with: stepraft debug ${file}`,
        ...(owned ? ["  there it runs without your state machine and your checks; with them: openSession(script, { hooks: { machine, … } }) of stepraft/interpreters/debugger"] : []),
      ].join("\n"),
    )
    this.script = script
    this.failed = failed
    this.seed = seed
    this.path = path
    this.file = file
  }
}

/** Throws WorldPropertyFailed if any world fails. */
export const worldProperty = (options: WorldPropertyOptions = {}): void => {
  const { profile = "everything", checks = () => ({}), numRuns = 100, seed, path, seconds = 60, file, ...script } = options
  const all = (): ScriptChecks => (script.command === undefined ? checks() : { command: script.command, ...checks() })
  const check = (one: Script): ReturnType<typeof checkScript> => checkScript(one, all())
  const { failed, counterexample, seed: used, counterexamplePath } = fc.check(
    fc.property(scriptArbitrary(profile, script), (one) => check(one).ok),
    { numRuns, interruptAfterTimeLimit: seconds * 1000, ...(seed === undefined ? {} : { seed }), ...(path === undefined ? {} : { path }) },
  )
  const [smallest] = counterexample ?? []
  if (!failed || smallest === undefined) return
  const verdict = check(smallest)
  if (verdict.ok) throw new Error("a world failed and then did not: what its state machine or its checks do hangs on more than the script")
  // What broke while the world was mended is to be seen step by step, too.
  const whole = spelledOut(smallest, verdict, all)
  const saved = file ?? join(mkdtempSync(join(tmpdir(), "stepraft-world-")), "world.ndjson")
  writeFileSync(saved, scenarioText(whole.script, { violation: { name: whole.failed.violation, at: whole.failed.at } }))
  const { machine, applied, observe, companions } = all()
  throw new WorldPropertyFailed(smallest, verdict, used, counterexamplePath ?? "", saved, [machine, applied, observe, companions].some((one) => one !== undefined))
}
