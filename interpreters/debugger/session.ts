/**
 * Stepping through a simulated world: time is a list of immutable worlds, and the cursor an index into it. Frames are
 * made on demand; going back costs nothing. A user's action at an earlier frame begins a branch there, and the later
 * frames stay on their own branch. A user interface (terminal, browser) shows the session and drives it; the session
 * depends on none.
 */
import type { Member, Message, Recovered, State } from "../../core/index.ts"
import { act } from "../simulation/act.ts"
import { foldOver } from "../simulation/state/fold.ts"
import { executePlanned, nextPlannedAt } from "../simulation/planned.ts"
import {
  fingerprint,
  makeWorld,
  markOf,
  nodeOf,
  violationName,
  type Action,
  type Checker,
  type ExecutedBatch,
  type LossReason,
  type MachineWords,
  type Script,
  type WorldHooks,
  type WorldMachine,
  type WorldState,
  type WorldStep,
} from "../simulation/index.ts"
import { differencesOf, type WorldDifference } from "./diff.ts"
import { LONGEST_RUN } from "./fields.ts"

export interface Violation {
  /** The name of the invariant or property, or of the error that was thrown. */
  readonly name: string
  readonly message: string
}
/** A violation that a file records, with its step. The check that found it may not be available. */
export interface RecordedViolation extends Violation {
  /** null: at the end of the script, after its last step. */
  readonly at: number | null
}
export interface LostMessage {
  readonly from: Member
  readonly to: Member
  readonly message: Message
  readonly why: LossReason
}
export interface Started {
  readonly node: string
  readonly recovered: Recovered
  readonly wentBack: boolean
}
/** What happens in a frame, for checks. */
export type Happened =
  | { readonly type: "step"; readonly step: WorldStep }
  | ({ readonly type: "started" } & Started)
  | ({ readonly type: "executed" } & ExecutedBatch)
export interface SessionFrame {
  readonly world: WorldState
  /** The action of this frame, or null if the world ran by itself. */
  readonly action: Action | null
  /** The steps of nodes: none, one, or several for an action that concerns several. */
  readonly steps: readonly WorldStep[]
  /** Everything that checks look at, in the order of its happening. */
  readonly seen: readonly Happened[]
  /** Messages that were lost here. */
  readonly lost: readonly LostMessage[]
  /** Milliseconds of the script that passed after this frame without any event. */
  readonly idle: number
  readonly violation: Violation | null
}
export interface Branch {
  readonly id: number
  /** null: the first branch. */
  readonly parent: number | null
  /** Frames before this one belong to the parent. */
  readonly from: number
  readonly length: number
}

interface Line {
  readonly id: number
  readonly parent: number | null
  readonly from: number
  frames: SessionFrame[]
  /** Actions of the script that are still to come; the first may be the rest of a run. */
  todo: readonly Action[]
  /** The last frame of the script; null: the script goes on, or there is none. */
  scriptEnd: number | null
  watch: Watch
}
/** `before`: the world in which the action of the frame was done. */
type Watch = (frame: Pick<SessionFrame, "world" | "action" | "seen">, before: WorldState | null) => Violation | null
export type Predicate = (before: SessionFrame, after: SessionFrame) => boolean

export interface DebugSession {
  readonly at: () => number
  readonly frame: () => SessionFrame
  /** The frame before the cursor, or the first frame itself. */
  readonly before: () => SessionFrame
  /** Whether the script ended before this frame, and the world continued by itself. */
  readonly pastScript: () => boolean
  /** Every server that exists, or that the script will add. */
  readonly names: () => readonly string[]
  /** The number of frames made so far on this branch. */
  readonly length: () => number
  /** Frame i of this branch, which exists. */
  readonly frameAt: (i: number) => SessionFrame | undefined
  /** Advances by one frame; false at the end: no event is planned any more, or there was a violation. */
  readonly step: () => boolean
  readonly back: () => boolean
  /** To the end of the script, or to the violation before it. */
  readonly finish: () => void
  /** Moves as near to frame i as possible. */
  readonly goTo: (i: number) => void
  /**
   * Moves on, or back, to the next frame for which the predicate holds; the cursor stays if there is none within
   * `limit` frames.
   */
  readonly seek: (wanted: Predicate, direction: "on" | "back", limit?: number) => boolean
  /** Performs an action here. Begins a branch unless this is the last frame and the script is over. */
  readonly act: (action: Action) => void
  readonly branches: () => readonly Branch[]
  readonly branch: () => number
  readonly switchTo: (id: number) => boolean
  /** What the step at the cursor changed in that node. */
  readonly changed: () => readonly { readonly node: string; readonly changes: readonly WorldDifference[] }[]
  readonly hash: () => number
  /** What is checked at every step, by name. */
  readonly invariants: () => readonly string[]
  readonly words: MachineWords | null
  /** Everything done up to the cursor, as a script that repeats it. */
  readonly script: () => Script
}

export interface DebugSessionOptions {
  readonly hooks?: Pick<WorldHooks, "machine">
  /** Describes commands of the user's machine. Default: they are shown by their checksums. */
  readonly words?: MachineWords
  /**
   * Makes the checks, once for each branch: they see every step from the first one on. Default: nothing is checked;
   * `checkerOf` of spec has all checks of a whole run.
   */
  readonly checker?: () => Checker
  /** How many frames `seek` looks at before it gives up. Default: 20,000. */
  readonly seekLimit?: number
  /** A violation to be shown at its step if the checks do not find one before. Only on the script's own branch. */
  readonly told?: RecordedViolation
}

const unchecked = (): Checker => () => {}

const violationOf = (error: unknown): Violation => ({
  name: violationName(error),
  message: error instanceof Error ? error.message : String(error),
})

const guard =
  (check: Checker): Watch =>
  ({ world, action, seen }, before) => {
    try {
      if (action !== null && before !== null) check.acted?.(before, action)
      for (const one of seen) {
        if (one.type === "step") check(one.step)
        else if (one.type === "started")
          check.started?.(one.node, one.recovered, one.wentBack, before === null ? null : world)
        else check.executed?.(one)
      }
      return null
    } catch (error) {
      return violationOf(error)
    }
  }

/** Hooks that record what checks look at. `machineOf`: the state machine of a node at the moment. */
const recorder = (
  seen: Happened[],
  machineOf: (node: string) => WorldMachine | null,
): Pick<WorldHooks, "observe" | "started" | "applied" | "restored"> => {
  const executed = (node: string, entries: ExecutedBatch["entries"], results: readonly unknown[]): void => {
    const machine = machineOf(node)
    if (machine !== null) seen.push({ type: "executed", node, entries, results, ...markOf(machine) })
  }
  return {
    observe: (step) => void seen.push({ type: "step", step }),
    started: (node, recovered, wentBack) => void seen.push({ type: "started", node, recovered, wentBack }),
    applied: executed,
    restored: (node) => executed(node, null, []),
  }
}
const stepsOf = (seen: readonly Happened[]): readonly WorldStep[] =>
  seen.flatMap((one) => (one.type === "step" ? [one.step] : []))

interface Advance {
  readonly world: WorldState
  readonly seen: readonly Happened[]
  readonly lost: readonly LostMessage[]
  /** False: until then only stale events were planned. */
  readonly happened: boolean
  readonly error: unknown
}
/** The next event that has an effect, not later than `end`; or the action. The given world is unchanged. */
const advance = (world: WorldState, action: Action | null, end: number, hooks: WorldHooks): Advance => {
  const seen: Happened[] = []
  const lost: LostMessage[] = []
  const fold = foldOver(world, {
    ...hooks,
    ...recorder(seen, (node) => nodeOf(fold.world, node).machine),
    lost: (from, to, message, why) => lost.push({ from, to, message, why }),
  })
  let happened = action !== null
  try {
    if (action !== null) act(fold, action)
    else
      for (let next = nextPlannedAt(fold); !happened && next !== undefined && next <= end; next = nextPlannedAt(fold))
        happened = executePlanned(fold)
    return { world: fold.world, seen, lost, happened, error: null }
  } catch (error) {
    return { world: fold.world, seen, lost, happened, error }
  }
}

export const openSession = (script: Script, options: DebugSessionOptions = {}): DebugSession => {
  const hooks: WorldHooks = { ...options.hooks }
  const newChecker = options.checker ?? unchecked
  const { told = null } = options
  const firstSeen: Happened[] = []
  // The state machines of the first start have executed nothing.
  const first = makeWorld({ seed: script.seed, ...script.options }, { ...hooks, ...recorder(firstSeen, () => null) })

  let checked: readonly string[] = []
  const watchFrom = (frames: readonly SessionFrame[]): Line["watch"] => {
    const checker = newChecker()
    checked = checker.invariants ?? []
    const watch = guard(checker)
    for (const [i, frame] of frames.entries()) watch(frame, frames[i - 1]?.world ?? null)
    return watch
  }
  const start: SessionFrame = {
    world: first,
    action: null,
    steps: stepsOf(firstSeen),
    seen: firstSeen,
    lost: [],
    idle: 0,
    violation: null,
  }
  const lines: Line[] = [
    { id: 0, parent: null, from: 0, frames: [start], todo: script.actions, scriptEnd: null, watch: watchFrom([start]) },
  ]
  let line: Line = lines[0] ?? {
    id: 0,
    parent: null,
    from: 0,
    frames: [start],
    todo: [],
    scriptEnd: null,
    watch: () => null,
  }
  let at = 0

  const last = (): SessionFrame => line.frames.at(-1) ?? start
  const frame = (): SessionFrame => line.frames[at] ?? start

  /** True if a frame was made. */
  const push = (action: Action | null, end: number): boolean => {
    const before = last().world
    const { world, seen, lost, happened, error } = advance(before, action, end, hooks)
    if (!happened && error === null) return false
    const steps = stepsOf(seen)
    const here = told !== null && told.at !== null && line.id === 0 && (steps.at(-1)?.i ?? -1) >= told.at ? told : null
    const violation = line.watch({ world, action, seen }, before) ?? (error === null ? here : violationOf(error))
    line.frames.push({ world, action, steps, seen, lost, idle: 0, violation })
    return true
  }
  /** Nothing more happens until `end`. */
  const rest = (end: number): void => {
    const { world, idle } = last()
    const later = advance(world, null, end, hooks).world
    line.frames.splice(-1, 1, { ...last(), world: { ...later, now: end }, idle: idle + end - world.now })
  }

  /** The script is over: the violation recorded at its end is shown. */
  const end = (): void => {
    if (told !== null && told.at === null && line.id === 0 && line.scriptEnd === null)
      line.frames.splice(-1, 1, { ...last(), violation: told })
    if (line.id === 0 && script.actions.length > 0) line.scriptEnd ??= line.frames.length - 1
  }

  /** Runs a part of the script; the rest of a run is a shorter run. False if no frame was made. */
  const consume = (next: Action, later: readonly Action[]): boolean => {
    if (next.type === "run") {
      const end = last().world.now + next.ms
      if (push(null, end)) {
        line.todo = [{ type: "run", ms: end - last().world.now }, ...later]
        return true
      }
      line.todo = later
      rest(end)
      return false
    }
    if (next.type === "step") {
      line.todo = next.count > 1 ? [{ type: "step", count: next.count - 1 }, ...later] : later
      return push(null, Number.POSITIVE_INFINITY)
    }
    line.todo = later
    return push(next, last().world.now)
  }

  const extend = (): boolean => {
    while (last().violation === null) {
      const [next, ...later] = line.todo
      if (next === undefined) {
        end()
        return last().violation === null && push(null, Number.POSITIVE_INFINITY)
      }
      if (consume(next, later)) return true
    }
    return false
  }

  const step = (): boolean => {
    if (at + 1 >= line.frames.length && !extend()) return false
    at += 1
    return true
  }

  const begin = (): void => {
    const frames = line.frames.slice(0, at + 1)
    line = {
      id: lines.length,
      parent: line.id,
      from: at + 1,
      frames,
      todo: [],
      scriptEnd: null,
      watch: watchFrom(frames),
    }
    lines.push(line)
  }

  /** Drops the frames of a search that found nothing: with them, an action here would begin a branch. */
  const restore = (kept: Line): void => {
    if (line.frames.length > kept.frames.length || line.todo !== kept.todo)
      Object.assign(line, kept, { watch: watchFrom(kept.frames) })
  }

  const shownOf = ({ world }: SessionFrame, name: string): unknown => world.nodes[name]?.machine.show?.() ?? null
  const stateOf = ({ world }: SessionFrame, name: string): State | null => world.nodes[name]?.core ?? null

  return {
    at: () => at,
    frame,
    before: () => line.frames[at - 1] ?? frame(),
    pastScript: () => line.scriptEnd !== null && at > line.scriptEnd,
    names: () => [
      ...new Set([
        ...last().world.names,
        ...line.todo.flatMap((action) => (action.type === "add" ? [action.name] : [])),
      ]),
    ],
    length: () => line.frames.length,
    frameAt: (i) => line.frames[i],
    step,
    back: () => {
      if (at === 0) return false
      at -= 1
      return true
    },
    finish: () => {
      while (last().violation === null) {
        const [next, ...later] = line.todo
        if (next === undefined) {
          end()
          break
        }
        consume(next, later)
      }
      at = line.frames.length - 1
    },
    goTo: (i) => {
      if (i < at) at = Math.max(0, i)
      for (let steps = i - at; steps > 0 && step(); steps--);
    },
    seek: (wanted, direction, limit = options.seekLimit ?? 20_000) => {
      const began = at
      const kept: Line = { ...line, frames: line.frames.slice() }
      for (let i = 0; i < limit; i++) {
        if (direction === "on" ? !step() : at <= 1) break
        if (direction === "back") at -= 1
        const here = line.frames[at]
        const earlier = line.frames[at - 1]
        if (here !== undefined && earlier !== undefined && wanted(earlier, here)) return true
      }
      at = began
      restore(kept)
      return false
    },
    act: (action) => {
      if (frame().violation !== null) return
      // A user's action leaves the script's plan, on a new branch: the script's next actions were meant for another
      // world.
      if (at + 1 < line.frames.length || line.todo.length > 0) begin()
      push(action, frame().world.now)
      at = line.frames.length - 1
    },
    branches: () => lines.map(({ id, parent, from, frames }) => ({ id, parent, from, length: frames.length })),
    branch: () => line.id,
    switchTo: (id) => {
      const wanted = lines[id]
      if (wanted === undefined) return false
      line = wanted
      at = Math.min(at, line.frames.length - 1)
      return true
    },
    changed: () => {
      const now = frame()
      const then = line.frames[at - 1]
      if (then === undefined) return []
      const stepped = new Set(now.seen.map((one) => (one.type === "step" ? one.step.node : one.node)))
      return [...stepped].map((node) => ({
        node,
        changes: [
          ...differencesOf(stateOf(then, node), stateOf(now, node)),
          ...differencesOf(shownOf(then, node), shownOf(now, node), "state"),
        ],
      }))
    },
    hash: () => fingerprint(frame().world),
    invariants: () => checked,
    words: options.words ?? null,
    script: () => {
      const actions: Action[] = []
      let steps = 0
      const flush = (): void => {
        if (steps > 0) actions.push({ type: "step", count: steps })
        steps = 0
      }
      for (const [i, { action, idle }] of line.frames.slice(0, at + 1).entries()) {
        if (action !== null) {
          flush()
          actions.push(action)
        } else if (i > 0) steps += 1
        if (idle > 0) {
          flush()
          for (let left = idle; left > 0; left -= LONGEST_RUN)
            actions.push({ type: "run", ms: Math.min(left, LONGEST_RUN) })
        }
      }
      flush()
      return { ...script, actions }
    },
  }
}
