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

/** Looks at every step of one world. */
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
  /** The script is over; `mended`: so are all faults, and there was progress. Throws PropertyViolated if what they were told does not fit together. */
  readonly finish: (mended: boolean) => void
}

export interface ScriptChecks extends WatchOptions {
  /** Check progress once everything is repaired. Default: yes. */
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
  /** The bytes of the commands that show whether there is progress, for a state machine that looks into them. Default: zeros. */
  readonly command?: (id: number) => Uint8Array
  /** Called with the results of state machines; throws if they are wrong. */
  readonly applied?: NonNullable<WorldHooks["applied"]>
  /** Clients that run beside the script, created for each run. Default: none. */
  readonly companions?: (seed: number) => WorldClients
  /** What happens, for whoever writes it down: each action, also those that mend the world at the end, and each step. */
  readonly acted?: (action: Action) => void
  readonly observe?: StepChecker
  /** A node's directory was found to have gone back in time. */
  readonly refused?: (node: string, by: string) => void
  /** The world after every 256 steps or more, at the end of an action, and after the last action of the script. */
  readonly hashed?: (steps: number, hash: number) => void
  /** Counts each rule that was used. */
  readonly rules?: Map<Rule, number>
}

interface Ran {
  /** Steps of nodes, virtual milliseconds, and a hash over all of it. */
  readonly steps: number
  readonly ms: number
  readonly hash: number
}
export interface ScriptPassed extends Ran {
  readonly ok: true
  /** False: a server went on from a directory that had lost something, and nobody in reach could know; from there on nothing was held against it. */
  readonly promised: boolean
}
export interface ScriptFailed extends Ran {
  readonly ok: false
  /** The name of the invariant, or Refinement, Liveness, MachinesAgree, EveryRefAnswered; or the name of what was thrown. */
  readonly violation: string
  readonly message: string
  /** The step at which the failure appeared. */
  readonly at: number
  /** The index of the action in the script; its length: while the world was repaired. */
  readonly action: number
}
export type ScriptVerdict = ScriptPassed | ScriptFailed

const countRules = (rules: Map<Rule, number>, effects: readonly Effect[]): void => {
  for (const effect of effects) if (effect.type === "Note") rules.set(effect.rule, (rules.get(effect.rule) ?? 0) + 1)
}

const HASH_EVERY = 256
/** A hundred times what scripts of the usual length take; five times what an action takes; and enough where they are being shrunk. */
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
    // In a world in which nothing is guaranteed an error of the reducer is no violation.
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

/**
 * Runs a script as the failed one was, and tells whether it fails in the same way. Progress is looked at only if it failed
 * after all was done. `checks`: made anew for each run, where they remember something.
 */
export const sameFailureAs = (
  { violation, message, action }: ScriptFailed,
  script: Script,
  checks: ScriptChecks | (() => ScriptChecks) = {},
): ((script: Script) => ScriptFailed | null) => {
  const atTheEnd = action >= script.actions.length
  // What the reducer throws has one name: its words tell one from another, its numbers do not.
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

/** Whether it takes more than a file holds to check the same again. */
export const hasOwnChecks = ({ machine, applied, observe, companions, bound, mostSteps }: ScriptChecks): boolean =>
  [machine, applied, observe, companions, bound, mostSteps].some((one) => one !== undefined)

/** A script that reproduces its failure by itself. */
export interface MendedScript {
  readonly script: Script
  /** So many actions are the script's own; the others mended the world and asked it for progress. null: all are. */
  readonly mended: number | null
}
/** With all that was done to the world: where it failed at the very end, also what mended it and showed that there is no progress. */
export const withMending = (script: Script, failed: ScriptFailed, checks: ScriptChecks = {}): MendedScript => {
  if (failed.action < script.actions.length) return { script, mended: null }
  const actions: Action[] = []
  checkScript(script, { ...checks, acted: (action) => actions.push(plainAction(action)) })
  return { script: { ...script, actions }, mended: script.actions.length }
}

/** Longer than it takes from the last repair to any violation. */
const AFTERWARDS: Action = { type: "run", ms: 5000 }

/** The same with what mended the world as actions of its own, if it then fails without being mended; otherwise as it was. */
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
