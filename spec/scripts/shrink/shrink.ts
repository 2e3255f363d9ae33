/**
 * From a script that fails to a short one that fails in the same way. First actions are left out, runs shortened and
 * options simplified; random choices are made by place, so that this leaves the rest of the world nearly unchanged.
 * Then, where that is shorter, the remaining randomness is replaced by explicit actions that do the same: deliver,
 * fire, persist (see explicitSteps.ts).
 */
import { foundersOf, type Action, type Script, type WorldHooks } from "../../../interpreters/simulation/index.ts"
import { withExplicitSteps } from "./explicitSteps.ts"
import {
  sameFailureAs,
  withMendingSpelledOut,
  type SameFailure,
  type ScriptChecks,
  type ScriptFailed,
} from "../check.ts"
import { minimize } from "./minimize.ts"

export interface ShrinkOptions {
  /**
   * The approximate limit in milliseconds of real time. Default: a minute. The result then depends on the speed of the
   * machine, so tests limit the tries instead.
   */
  readonly limitMs?: number
  /** The approximate limit of scripts to try. Default: none. */
  readonly limitTries?: number
  /** As in ScriptChecks. */
  readonly machine?: NonNullable<WorldHooks["machine"]>
  /**
   * Whether events may be replaced by explicit actions. Default: yes. Not for worlds with clients, which act by
   * themselves.
   */
  readonly hand?: boolean
}

/** The size that a reader has to look at. */
export const sizeOf = (script: Script, { steps }: Pick<ScriptFailed, "steps">): number =>
  Math.max(script.actions.length, steps)

const mergeRuns = (actions: readonly Action[]): readonly Action[] => {
  const merged: Action[] = []
  for (const action of actions) {
    const last = merged.at(-1)
    if (action.type === "run" && last?.type === "run")
      merged[merged.length - 1] = { type: "run", ms: last.ms + action.ms }
    else merged.push(action)
  }
  return merged
}

/** Simpler actions, the simplest first. */
const plainer = (action: Action): readonly Action[] => {
  if (action.type === "run") {
    const { ms } = action
    const shorter = [
      0,
      1,
      ms >> 3,
      ms >> 2,
      ms >> 1,
      ms - (ms >> 2),
      Math.floor(ms / 100) * 100,
      Math.floor(ms / 10) * 10,
    ]
    return [...new Set(shorter)].filter((one) => one < ms).map((one) => ({ type: "run", ms: one }))
  }
  if (action.type === "propose") {
    const { count = 1, bytes } = action
    const { type, node, id, payloads = [] } = action
    const [first] = payloads
    if (first !== undefined)
      return payloads.length === 1
        ? []
        : [
            { ...action, payloads: [first] },
            { ...action, payloads: payloads.slice(0, payloads.length >> 1) },
            { ...action, payloads: payloads.slice(payloads.length >> 1) },
          ]
    return [
      ...(count > 1 || bytes !== undefined ? [{ type, node, id }] : []),
      ...(count > 2 ? [{ ...action, count: count >> 1 }] : []),
    ]
  }
  if (action.type === "crash")
    return action.keep === "none" || action.keep === "all"
      ? []
      : [
          { ...action, keep: "all" },
          { ...action, keep: "none" },
        ]
  if (action.type === "partition")
    return action.side.length > 1
      ? action.side.map((left) => ({ type: "partition", side: action.side.filter((one) => one !== left) }))
      : []
  if (action.type === "network") return action.profile === "reliable" ? [] : [{ type: "network", profile: "reliable" }]
  if (action.type === "addLearners")
    return action.names.length > 1
      ? action.names.map((left) => ({ ...action, names: action.names.filter((one) => one !== left) }))
      : []
  if (action.type !== "change") return []
  const { voters, learners } = action
  return [
    ...learners.map((name): Action => ({ ...action, learners: learners.filter((one) => one !== name) })),
    ...voters.map((name): Action => ({ ...action, voters: voters.filter((one) => one !== name) })),
  ]
}

type Options = Script["options"]
const without = (options: Options, key: keyof Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([name]) => name !== key))

/** With fewer nodes; then with each option at its default. */
const plainerOptions = (options: Options): readonly Options[] => {
  const out: Options[] = []
  const nodes = foundersOf(options).length
  for (let fewer = 1; fewer < nodes; fewer++) out.push({ ...options, nodes: fewer })
  for (const key of ["connections", "snapshots", "apply", "disk", "network"] as const)
    if (options[key] !== undefined) out.push(without(options, key))
  const settings = options.settings ?? {}
  if (Object.keys(settings).length > 1) out.push(without(options, "settings"))
  for (const key of Object.keys(settings))
    out.push({ ...options, settings: Object.fromEntries(Object.entries(settings).filter(([name]) => name !== key)) })
  return out
}

/** Slightly simpler scripts, those with most left out first: for shrinkers that try one after another. */
export function* simplerScripts(script: Script): Generator<Script> {
  const { actions, options } = script
  for (let size = actions.length; size >= 1; size >>= 1)
    for (let end = actions.length; end > 0; end -= size)
      yield { ...script, actions: [...actions.slice(0, Math.max(0, end - size)), ...actions.slice(end)] }
  const merged = mergeRuns(actions)
  if (merged.length < actions.length) yield { ...script, actions: merged }
  for (const simple of plainerOptions(options)) yield { ...script, options: simple }
  for (let i = actions.length - 1; i >= 0; i--) {
    const action = actions[i]
    for (const simple of action === undefined ? [] : plainer(action))
      yield { ...script, actions: actions.with(i, simple) }
  }
}

/**
 * A script that fails after more steps than this is not made explicit: it would be no shorter, and converting it takes
 * long.
 */
const MOST_BY_HAND = 1000

interface Found {
  readonly script: Script
  readonly failed: ScriptFailed
}

export const shrinkScript = (script: Script, same: SameFailure, options: ShrinkOptions = {}): Script => {
  const { limitMs = 60_000, limitTries = Number.POSITIVE_INFINITY, machine, hand: mayBeByHand = true } = options
  const start = performance.now()
  let tries = 0
  const sameFailure: SameFailure = (candidate) => {
    tries += 1
    return same(candidate)
  }
  const before = (share: number) => (): boolean =>
    tries > limitTries * share || performance.now() - start > limitMs * share
  const first = sameFailure(script)
  if (first === null) return script
  let best: Found = { script, failed: first }
  const accept = (candidate: Script): boolean => {
    const failed = sameFailure(candidate)
    if (failed !== null) best = { script: candidate, failed }
    return failed !== null
  }
  const acceptActions = (actions: readonly Action[]): boolean => accept({ ...best.script, actions })

  const plain = (expired: () => boolean): void => {
    for (let changed = true; changed && !expired();) {
      const text = JSON.stringify(best.script)
      minimize(best.script.actions, acceptActions, expired)
      acceptActions(mergeRuns(best.script.actions))
      for (let i = best.script.actions.length - 1; i >= 0 && !expired(); i--) {
        const at = i
        for (let more = true; more && !expired();) {
          const { actions } = best.script
          const action = actions[at]
          more =
            action !== undefined &&
            plainer(action).some((simple) => !expired() && acceptActions(actions.with(at, simple)))
        }
      }
      for (let more = true; more && !expired();) {
        const now = best.script
        more = plainerOptions(now.options).some((options) => !expired() && accept({ ...now, options }))
      }
      // A simpler script is not always shorter as text, and may allow more to be left out.
      changed = JSON.stringify(best.script) !== text
    }
  }

  // What comes after the failure cannot be its cause.
  acceptActions(script.actions.slice(0, first.action + 1))
  plain(before(0.5))
  // Explicit actions can be shrunk again: there are fewer messages, and other ways to leave some out.
  for (let smaller = mayBeByHand && best.failed.steps <= MOST_BY_HAND; smaller && !before(0.9)();) {
    const earlier = best
    const hand = withExplicitSteps(best.script, best.failed, sameFailure, machine, before(0.9))
    if (hand !== null && accept(hand)) plain(before(1))
    smaller = sizeOf(best.script, best.failed) < sizeOf(earlier.script, earlier.failed)
    if (!smaller) best = earlier
  }
  return best.script
}

/** The shrunk form of a script that failed, and how it fails now. */
export const shrinkFailure = (
  script: Script,
  failed: ScriptFailed,
  checks: ScriptChecks = {},
  limits: Pick<ShrinkOptions, "limitMs" | "limitTries"> = {},
): Found => {
  const alone = checks.companions === undefined
  const whole = alone ? withMendingSpelledOut(script, failed, () => checks) : { script, failed }
  const same = sameFailureAs(whole.failed, whole.script, checks)
  const small = shrinkScript(whole.script, same, {
    ...limits,
    hand: alone,
    ...(checks.machine === undefined ? {} : { machine: checks.machine }),
  })
  const verdict = same(small)
  return verdict === null ? whole : { script: small, failed: verdict }
}
