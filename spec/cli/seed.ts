/**
 * One seed of `stepraft simulate`: its script is made, checked, and shrunk if it fails. The data passed between threads
 * are plain.
 */
import type { Rule } from "../../core/index.ts"
import type { Action, Script } from "../../interpreters/simulation/index.ts"
import {
  withMending,
  checkScript,
  generateScript,
  shrinkFailure,
  type WorldClients,
  type MendedScript,
  type Profile,
  type ScriptChecks,
} from "../index.ts"

/** Clients and the service that they use, created for each run. `recorded` gets what they saw once the run is over. */
export type ServiceLoad = (options: {
  readonly clients: number
  readonly recorded?: (history: { readonly lines: () => string }) => void
}) => (seed: number) => WorldClients

export interface SeedJob {
  readonly seed: number
  readonly profile: Profile
  readonly nodes: number
  readonly actions: number
  readonly refine: boolean
  /** The number of clients of the service; 0: the state machine is a digest. */
  readonly clients: number
  /** Violations that were shrunk already: one of each kind is enough. */
  readonly known: readonly string[]
}
export interface SeedFailure {
  readonly violation: string
  readonly message: string
  /** The step at which the violation appeared. */
  readonly at: number
  readonly script: Script
  /** Actions and steps of the script as it was made. */
  readonly from: { readonly actions: number; readonly steps: number }
  /** The same for the shrunk script; null: not shrunk. */
  readonly shrunk: { readonly actions: number; readonly steps: number; readonly seconds: number } | null
  /**
   * The script as it is saved: with everything that was done to the world, also by clients and to repair it. With
   * clients also their history, as JSON lines.
   */
  readonly lived: MendedScript & { readonly history: string | null }
}
export interface SeedResult {
  readonly seed: number
  readonly steps: number
  /** Virtual milliseconds. */
  readonly ms: number
  readonly hash: number
  readonly rules: readonly (readonly [Rule, number])[]
  readonly failure: SeedFailure | null
}

const replayed = (script: Script, checks: ScriptChecks, load: ServiceLoad, clients: number): SeedFailure["lived"] => {
  const actions: Action[] = []
  let history = ""
  checkScript(script, {
    ...checks,
    acted: (action) => actions.push(action),
    companions: load({ clients, recorded: (all) => (history = all.lines()) }),
  })
  return { script: { ...script, actions }, mended: null, history }
}

export const runSeed = (
  { seed, profile, nodes, actions, refine, clients, known }: SeedJob,
  load: ServiceLoad,
): SeedResult => {
  const script = generateScript(seed, profile, { nodes, steps: actions })
  const rules = new Map<Rule, number>()
  const checks: ScriptChecks = { refinement: refine, ...(clients === 0 ? {} : { companions: load({ clients }) }) }
  const verdict = checkScript(script, { ...checks, rules })
  const { steps, ms, hash } = verdict
  if (verdict.ok) return { seed, steps, ms, hash, rules: [...rules], failure: null }
  const { violation, message, at } = verdict
  const failure: SeedFailure = {
    violation,
    message,
    at,
    script,
    from: { actions: script.actions.length, steps },
    shrunk: null,
    lived: { script, mended: null, history: null },
  }
  if (known.includes(violation)) return { seed, steps, ms, hash, rules: [...rules], failure }
  const started = performance.now()
  const { script: small, failed: again } = shrinkFailure(script, verdict, checks)
  const shrunk = { actions: small.actions.length, steps: again.steps, seconds: (performance.now() - started) / 1000 }
  return {
    seed,
    steps,
    ms,
    hash,
    rules: [...rules],
    failure: {
      ...failure,
      message: again.message,
      at: again.at,
      script: small,
      shrunk,
      lived:
        clients === 0
          ? { ...withMending(small, again, checks), history: null }
          : replayed(small, checks, load, clients),
    },
  }
}
