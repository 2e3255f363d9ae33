/** Runs a script and checks everything that must be true at every step. */
import { type Effect, type Rule } from "../../core/index.ts"
import {
  markOf,
  mix,
  nodeOf,
  plainAction,
  violationName,
  World,
  type Action,
  type MachineWords,
  type Script,
  type WorldOptions,
  type WorldHooks,
  type WorldStep,
} from "../../interpreters/simulation/index.ts"
import { checkProgress, defaultBound, isTolerable } from "./progress.ts"
import { PropertyViolated, watchWorld, type WatchOptions } from "./watch.ts"

/** Called with every step of one world. */
export type StepChecker = (step: WorldStep) => void

/** Clients that run in a world beside its script, and the service that they use. */
export interface WorldClients {
  readonly hooks: Pick<WorldHooks, "machine" | "applied" | "responded" | "restored" | "started" | "stopped" | "observe">
  /** Bytes of a command that changes nothing, for checks of progress. */
  readonly command: (id: number) => Uint8Array
  /** The world has started. */
  readonly join: (world: World) => void
  /** Virtual milliseconds pass for the clients too. */
  readonly run: (ms: number) => void
  /**
   * The script is over. `mended`: all faults were repaired, and there was progress. Throws PropertyViolated if the
   * clients' answers are inconsistent.
   */
  readonly finish: (mended: boolean) => void
}

export interface ScriptChecks extends WatchOptions {
  /** Whether to check progress once everything is repaired. Default: yes. */
  readonly liveness?: boolean
  /** Virtual milliseconds within which there must be progress. */
  readonly bound?: number
  /** More steps than this count as an endless loop. Default: 100,000, plus 100 for each action of a long script. */
  readonly mostSteps?: number
  /** The state machine that the servers run. Default: a digest of what it executed. */
  readonly machine?: NonNullable<WorldHooks["machine"]>
  /** Its commands and results as text, for display. */
  readonly words?: MachineWords
  /** What `applied` and `observe` check, by name, for display. */
  readonly own?: readonly string[]
  /** The bytes of the commands that test progress, for a state machine that reads them. Default: zeros. */
  readonly command?: (id: number) => Uint8Array
  /** Called with the results of state machines; throws if they are wrong. */
  readonly applied?: NonNullable<WorldHooks["applied"]>
  /** Clients that run beside the script, created for each run. Default: none. */
  readonly companions?: (seed: number) => WorldClients
  /** Called with each action, including those that repair the world at the end, and with each step. */
  readonly acted?: (action: Action) => void
  readonly observe?: StepChecker
  /** A node's directory was found to have gone back in time. */
  readonly refused?: (node: string, by: string) => void
  /**
   * Called with the hash of the world after every 256 steps or more, at the end of an action, and after the last action
   * of the script.
   */
  readonly hashed?: (steps: number, hash: number) => void
  /** Counts each rule that was used. */
  readonly rules?: Map<Rule, number>
}

interface Ran {
  /** Steps of nodes, virtual milliseconds, and a hash of everything. */
  readonly steps: number
  readonly ms: number
  readonly hash: number
}
export interface ScriptPassed extends Ran {
  readonly ok: true
  /**
   * False: a server continued from a directory that had lost something, and no reachable peer could know; from then on
   * nothing was checked.
   */
  readonly promised: boolean
}
export interface ScriptFailed extends Ran {
  readonly ok: false
  /** The name of the invariant, or Refinement, Liveness, MachinesAgree, EveryRefAnswered; or the name of what was thrown. */
  readonly violation: string
  readonly message: string
  /** The step at which the failure appeared. */
  readonly at: number
  /** The index of the action in the script; the number of actions if it failed while the world was repaired. */
  readonly action: number
}
export type ScriptVerdict = ScriptPassed | ScriptFailed

const countRules = (rules: Map<Rule, number>, effects: readonly Effect[]): void => {
  for (const effect of effects) if (effect.type === "Note") rules.set(effect.rule, (rules.get(effect.rule) ?? 0) + 1)
}

const HASH_EVERY = 256
/**
 * A hundred times what scripts of the usual length take, five times what an action takes, and enough while scripts are
 * being shrunk.
 */
const MOST_STEPS = 100_000
const STEPS_PER_ACTION = 100
const MOST_STEPS_SHRINKING = 25_000

export const checkScript = (script: Script, options: ScriptChecks = {}): ScriptVerdict => {
  const {
    liveness = true,
    bound = defaultBound,
    mostSteps = Math.max(MOST_STEPS, STEPS_PER_ACTION * script.actions.length),
    machine,
    command,
    applied,
    companions,
    acted,
    observe,
    refused,
    hashed,
    rules,
  } = options
  const others = companions?.(script.seed) ?? null
  const watch = watchWorld(options)
  let steps = 0
  let hash = 0
  let hashedAt = 0
  let action = 0
  let world: World | null = null
  const hashAfter = (least: number): void => {
    if (world === null || world.steps - hashedAt < least) return
    hashedAt = world.steps
    const now = world.hash()
    hash = mix(hash, now)
    hashed?.(hashedAt, now)
  }
  const compare = (node: string): void => {
    // The initial state machines of a world have executed nothing.
    const { data } = world ?? {}
    if (data !== undefined) watch.executed(node, () => markOf(nodeOf(data, node).machine))
  }
  const hooks: WorldOptions & WorldHooks = {
    ...script.options,
    seed: script.seed,
    ...(machine === undefined ? {} : { machine }),
    ...others?.hooks,
    acted: (action) => {
      if (world !== null) watch.acted(world.data, action)
      acted?.(action)
    },
    ...(refused === undefined ? {} : { refused }),
    started: (node, recovered, wentBack) => {
      watch.started(world?.data ?? null, node, recovered, wentBack)
      others?.hooks.started?.(node, recovered, wentBack)
    },
    applied: (node, entries, results) => {
      applied?.(node, entries, results)
      others?.hooks.applied?.(node, entries, results)
      compare(node)
    },
    restored: (node, base) => {
      others?.hooks.restored?.(node, base)
      compare(node)
    },
    observe: (step) => {
      steps = step.i + 1
      observe?.(step)
      if (rules !== undefined) countRules(rules, step.effects)
      watch.step(step)
      others?.hooks.observe?.(step)
      if (steps > mostSteps)
        throw new PropertyViolated("Liveness", `still busy after ${mostSteps} steps, at ${step.at} ms`)
    },
  }
  const ran = (): Ran => ({ steps, ms: world?.now ?? 0, hash: (world === null ? hash : mix(hash, world.hash())) >>> 0 })
  try {
    world = new World(hooks)
    others?.join(world)
    for (const { length } = script.actions; action < length; action++) {
      const next = script.actions[action]
      if (next?.type === "run" && others !== null) others.run(next.ms)
      else if (next !== undefined) world.act(next)
      hashAfter(HASH_EVERY)
    }
    hashAfter(1)
    if (!watch.promised()) return { ok: true, promised: false, ...ran() }
    watch.sweep()
    const mended = liveness && isTolerable(script)
    if (mended) {
      const stuck = checkProgress(world, { bound, command: others?.command ?? command })
      if (stuck !== null) throw new PropertyViolated("Liveness", stuck)
      others?.finish(true)
      watch.sweep()
      for (const node of world.names) {
        const open = watch.openRefs(node)
        if (open.length > 0 && world.state(node) !== undefined)
          throw new PropertyViolated("EveryRefAnswered", `${node} never answers ${open.join(", ")}`)
      }
    }
    if (!mended) others?.finish(false)
    return { ok: true, promised: watch.promised(), ...ran() }
  } catch (error) {
    // In a world without guarantees an error of the reducer is no violation.
    if (!watch.promised()) return { ok: true, promised: false, ...ran() }
    return {
      ok: false,
      violation: violationName(error),
      message: error instanceof Error ? error.message : String(error),
      at: Math.max(steps - 1, 0),
      action,
      ...ran(),
    }
  }
}

/** The verdict if the script fails in the same way as the one to be shrunk, otherwise null. */
export type SameFailure = (script: Script) => ScriptFailed | null

/**
 * Runs a script with the checks of the failed one, and reports whether it fails in the same way. Progress is checked
 * only if that one failed after its last action. `checks` must be created for each run if they keep state.
 */
export const sameFailureAs = (
  { violation, message, action }: ScriptFailed,
  script: Script,
  checks: ScriptChecks | (() => ScriptChecks) = {},
): SameFailure => {
  const atTheEnd = action >= script.actions.length
  // Errors of the reducer all have one name: their words distinguish them, their numbers do not.
  const words = (text: string): string =>
    violation === "Error" || violation === "TypeError" || violation === "Refinement" ? text.replaceAll(/\d+/g, "#") : ""
  return (shorter) => {
    const options = typeof checks === "function" ? checks() : checks
    const verdict = checkScript(shorter, {
      mostSteps: MOST_STEPS_SHRINKING,
      ...options,
      liveness: atTheEnd && options.liveness !== false,
    })
    return !verdict.ok && verdict.violation === violation && words(verdict.message) === words(message) ? verdict : null
  }
}

/** Whether the file alone is not enough to check the same again. */
export const hasOwnChecks = ({ machine, applied, observe, companions, bound, mostSteps }: ScriptChecks): boolean =>
  [machine, applied, observe, companions, bound, mostSteps].some((one) => one !== undefined)

/** A script that reproduces its failure by itself. */
export interface MendedScript {
  readonly script: Script
  /**
   * The number of actions of the script itself; the others repaired the world and tested progress. null: all are the
   * script's own.
   */
  readonly mended: number | null
}
/**
 * The script with everything that was done to the world; if it failed at the very end, also with the actions that
 * repaired the world and showed that there is no progress.
 */
export const withMending = (script: Script, failed: ScriptFailed, checks: ScriptChecks = {}): MendedScript => {
  if (failed.action < script.actions.length) return { script, mended: null }
  const actions: Action[] = []
  checkScript(script, { ...checks, acted: (action) => actions.push(plainAction(action)) })
  return { script: { ...script, actions }, mended: script.actions.length }
}

/** Longer than the time from the last repair to any violation. */
const AFTERWARDS: Action = { type: "run", ms: 5000 }

/** The same with the repairs as ordinary actions, if it then fails without being repaired; otherwise unchanged. */
export const withMendingSpelledOut = (
  script: Script,
  failed: ScriptFailed,
  checks: () => ScriptChecks = () => ({}),
): { readonly script: Script; readonly failed: ScriptFailed } => {
  if (
    failed.action < script.actions.length ||
    failed.violation === "Liveness" ||
    failed.violation === "EveryRefAnswered"
  )
    return { script, failed }
  const actions: Action[] = []
  checkScript(script, { ...checks(), acted: (action) => actions.push(action) })
  const longer: Script = { ...script, actions: [...actions, AFTERWARDS] }
  const verdict = checkScript(longer, { ...checks(), liveness: false })
  return !verdict.ok && verdict.violation === failed.violation
    ? { script: longer, failed: verdict }
    : { script, failed }
}
