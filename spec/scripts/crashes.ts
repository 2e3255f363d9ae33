/**
 * Enumerates crashes at every persist boundary of a script: the same world once for each write and each fate of that write,
 * all checked like any other script.
 */
import type { Persist } from "../../core/index.ts"
import { World, type Action, type Keep, type Script, type WorldStep } from "../../interpreters/simulation/index.ts"
import { isTolerable } from "./progress.ts"

/**
 * The fate of a write whose server crashes. notHandedOver: the server crashes before the step that requests the write.
 * lost: the write is lost, with all outstanding ones. torn: earlier writes are complete. durable: the write is durable
 * but not reported. told: the server crashes after the step that learns of it, including what that step sends.
 * corrupted: the disk is unreadable, and is replaced at the end.
 */
export const crashFates = ["notHandedOver", "lost", "torn", "durable", "told", "corrupted"] as const
export type CrashFate = (typeof crashFates)[number]

/** A point between two events in a world. */
interface Moment {
  /** The index of the action within which, or right after which, the moment is; -1: at the beginning. */
  readonly action: number
  /** How many events have happened within it. */
  readonly steps: number
  /** What remains of that action. */
  readonly left: readonly Action[]
}
export interface CrashPoint {
  readonly node: string
  /** What it writes, as text: "vote", "truncation+entries", … */
  readonly shape: string
  /** Outstanding writes of its server when it was requested. */
  readonly underWay: number
  readonly before: Moment
  readonly asked: Moment
  /** null: its server never learned of it. */
  readonly told: Moment | null
}
type Writable<T> = { -readonly [K in keyof T]: T[K] }

const shapeOf = ({ hardState, truncateFrom, entries, base }: Persist): string =>
  [
    hardState === null ? [] : [hardState.vote === null ? "term" : "vote"],
    truncateFrom === null ? [] : ["truncation"],
    base === null ? [] : ["base"],
    entries.length === 0 ? [] : [entries.some(({ kind }) => kind === "configuration") ? "configuration" : "entries"],
  ]
    .flat()
    .join("+")

interface Found {
  readonly points: readonly CrashPoint[]
  /** For each action of the script the same actions, with time measured in steps. */
  readonly unfolded: readonly (readonly Action[])[]
}

const look = (script: Script): Found => {
  const points: Writable<CrashPoint>[] = []
  const underWay = new Map<string, Map<number, Writable<CrashPoint>>>()
  let here: () => Moment = () => ({ action: -1, steps: 0, left: [] })
  let before = here()
  const observe = ({ node, events, effects }: WorldStep): void => {
    const mine = underWay.get(node) ?? new Map<number, Writable<CrashPoint>>()
    underWay.set(node, mine)
    for (const event of events) {
      if (event.type !== "Persisted") continue
      for (const [seq, point] of mine) {
        if (seq > event.seq) continue
        point.told = here()
        mine.delete(seq)
      }
    }
    for (const effect of effects) {
      if (effect.type !== "Persist") continue
      const point = { node, shape: shapeOf(effect), underWay: mine.size, before, asked: here(), told: null }
      points.push(point)
      mine.set(effect.seq, point)
    }
  }
  const world = new World({ ...script.options, seed: script.seed, started: (node) => underWay.delete(node), observe })
  /** Does one by one what run and step do: counts what happened. */
  const unfold = (
    action: number,
    most: number,
    end: number,
    leftAfter: (steps: number) => readonly Action[],
  ): number => {
    let steps = 0
    here = () => ({ action, steps: steps + 1, left: leftAfter(steps + 1) })
    for (; steps < most && world.step(end); steps++) before = here()
    return steps
  }
  const unfolded = script.actions.map((action, place): readonly Action[] => {
    if (action.type === "run") {
      const end = world.now + action.ms
      const count = unfold(place, Number.POSITIVE_INFINITY, end, () => [{ type: "run", ms: end - world.now }])
      const rest: Action = { type: "run", ms: end - world.now }
      world.act(rest)
      return [{ type: "step", count }, rest]
    }
    if (action.type === "step") {
      unfold(place, action.count, Number.POSITIVE_INFINITY, (steps) => [{ type: "step", count: action.count - steps }])
      return [action]
    }
    here = () => ({ action: place, steps: 0, left: [] })
    world.act(action)
    before = here()
    return [action]
  })
  return { points, unfolded }
}

const keepOf: Readonly<Record<CrashFate, Keep>> = {
  notHandedOver: "none",
  lost: "none",
  torn: "torn",
  durable: "all",
  told: "none",
  corrupted: "corrupt",
}

export interface CrashPoints {
  readonly points: readonly CrashPoint[]
  /** The same world, with time measured in steps. */
  readonly unfolded: Script
  readonly crashing: (point: CrashPoint, fate: CrashFate) => Script | null
}
/**
 * Every write of the script; and for one of them and a fate, the script in which that happens: its server crashes then
 * and starts again at once. null if there is no such world: the write never got that far, a torn write alone is a lost
 * one, or one more disk would be lost than Raft tolerates.
 */
export const crashPoints = (script: Script): CrashPoints => {
  const { points, unfolded } = look(script)
  const crashing = ({ node, underWay, before, asked, told }: CrashPoint, fate: CrashFate): Script | null => {
    const moment = fate === "notHandedOver" ? before : fate === "told" ? told : asked
    if (moment === null || (fate === "torn" && underWay === 0)) return null
    const { action, steps, left } = moment
    const within = steps === 0 ? [] : [{ type: "step", count: steps } as const]
    const through = [...unfolded.slice(0, steps === 0 ? action + 1 : action).flat(), ...within]
    const crash: readonly Action[] = [
      { type: "crash", node, keep: keepOf[fate] },
      { type: "start", node },
    ]
    const crashed: Script = { ...script, actions: [...through, ...crash, ...left, ...script.actions.slice(action + 1)] }
    return fate !== "corrupted" || isTolerable(crashed) || !isTolerable(script) ? crashed : null
  }
  return { points, unfolded: { ...script, actions: unfolded.flat() }, crashing }
}
