/**
 * Crashes at every persist boundary of a script, enumerated: the same world once for each write and each thing that can
 * become of it, all checked like any other script.
 */
import type { Persist } from "../../core/index.ts"
import { World, type Action, type Keep, type Script, type WorldStep } from "../../interpreters/simulation/index.ts"

/**
 * What becomes of a write whose server dies. Not handed over: it dies before the step that asks for it. Lost: with
 * everything that was under way. Torn: those before it are whole. Durable: nobody is told of it. Told: after the step
 * that learns of it, with whatever that sends. Corrupted: the disk cannot be read again, and is replaced at the end.
 */
export const crashFates = ["notHandedOver", "lost", "torn", "durable", "told", "corrupted"] as const
export type CrashFate = (typeof crashFates)[number]

/** Between two things that happen in a world. */
interface Moment {
  /** The place of the action in the script within which it is. */
  readonly action: number
  /** So many things have happened within it, if it lets time go by; otherwise null: right after it. */
  readonly steps: number | null
  /** Virtual milliseconds of it that are left. */
  readonly left: number
}
export interface CrashPoint {
  readonly node: string
  /** What it writes, for people: "vote", "truncation+entries", … */
  readonly shape: string
  readonly before: Moment
  readonly asked: Moment
  /** null: its server never learned of it. */
  readonly told: Moment | null
}

const shapeOf = ({ hardState, truncateFrom, entries, base }: Persist): string =>
  [
    hardState === null ? [] : [hardState.vote === null ? "term" : "vote"],
    truncateFrom === null ? [] : ["truncation"],
    base === null ? [] : ["base"],
    entries.length === 0 ? [] : [entries.some(({ kind }) => kind === "configuration") ? "configuration" : "entries"],
  ]
    .flat()
    .join("+")

type Writable<T> = { -readonly [K in keyof T]: T[K] }
interface Found {
  readonly points: readonly CrashPoint[]
  /** For each action of the script the same, with time in steps. */
  readonly unfolded: readonly (readonly Action[])[]
}

const look = (script: Script): Found => {
  const points: Writable<CrashPoint>[] = []
  const waiting = new Map<string, Map<number, Writable<CrashPoint>>>()
  let action = -1
  let steps: number | null = null
  let end = 0
  const here = (): Moment => ({ action, steps, left: steps === null ? 0 : Math.max(end - world.now, 0) })
  let before = here()
  const observe = ({ node, events, effects }: WorldStep): void => {
    const mine = waiting.get(node) ?? new Map<number, Writable<CrashPoint>>()
    waiting.set(node, mine)
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
      const point = { node, shape: shapeOf(effect), before, asked: here(), told: null }
      points.push(point)
      mine.set(effect.seq, point)
    }
  }
  const world: World = new World({ ...script.options, seed: script.seed, started: (node) => waiting.delete(node), observe })
  /** As `run` does, step by step. */
  const unfold = (ms: number): readonly Action[] => {
    end = world.now + ms
    let count = 0
    for (let at = world.next; at !== undefined && at <= end; at = world.next) {
      count += 1
      steps = count
      if (!world.step()) break
      before = here()
    }
    const rest = Math.max(end - world.now, 0)
    world.run(rest)
    return [{ type: "step", count }, { type: "run", ms: rest }]
  }
  const unfolded = script.actions.map((next, place): readonly Action[] => {
    action = place
    steps = null
    let same: readonly Action[] = [next]
    if (next.type === "run") same = unfold(next.ms)
    else world.act(next)
    steps = null
    before = here()
    return same
  })
  return { points, unfolded }
}

const keepOf: Readonly<Record<CrashFate, Keep>> = { notHandedOver: "none", lost: "none", torn: "torn", durable: "all", told: "none", corrupted: "corrupt" }

/** Every write of the script, and the script in which that becomes of it: its server dies then and starts again at once. null: it never came to that. */
export const crashPoints = (script: Script): { readonly points: readonly CrashPoint[]; readonly crashing: (point: CrashPoint, fate: CrashFate) => Script | null } => {
  const { points, unfolded } = look(script)
  const crashing = ({ node, before, asked, told }: CrashPoint, fate: CrashFate): Script | null => {
    const moment = fate === "notHandedOver" ? before : fate === "told" ? told : asked
    if (moment === null) return null
    const { action, steps, left } = moment
    const through = unfolded.slice(0, steps === null ? action + 1 : action).flat()
    const within: readonly Action[] = steps === null ? [] : [{ type: "step", count: steps }]
    const crash: readonly Action[] = [{ type: "crash", node, keep: keepOf[fate] }, { type: "start", node }]
    return { ...script, actions: [...through, ...within, ...crash, { type: "run", ms: left }, ...script.actions.slice(action + 1)] }
  }
  return { points, crashing }
}
