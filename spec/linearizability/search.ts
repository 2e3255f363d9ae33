/**
 * Looks for an order of one partition's operations that the model allows and that respects real time. The search is
 * that of Wing and Gong with Lowe's memory of configurations, reduced without loss of completeness:
 *
 * - A configuration is how many operations have returned (all of them placed), which of the open ones are placed, which
 *   unknown ones were used, and the state. Nothing else of the past matters.
 * - An operation that never changes the state (a read) is placed as soon as its answer fits, without a choice. (An
 *   operation that changes nothing in this state only, such as a write of the present value, is not: its effect may be
 *   needed later.)
 * - Of alike operations the one that returns first is placed first; unknown ones that are alike are only counted.
 * - An operation whose effect nobody saw is placed just before the next one that overwrites it, or when it must be
 *   placed: an overwriting operation is preceded by all such open ones.
 * - An unknown operation must be of use: it is not overwritten before an operation that returned was placed after it.
 * - A configuration is dropped if one was seen that used fewer unknown operations and is otherwise the same: in the
 *   state and in the placed operations. So no unknown operation is used that leaves both unchanged. (The state alone is
 *   not enough: a delete of nothing may be preceded by a write that nobody saw.)
 */
import { impossible, type Model, type Operation } from "./model.ts"

export interface PossibleOrder<Input, Output> {
  readonly verdict: "linearizable"
  /** In an order that explains every answer; unknown operations that took no part are absent. */
  readonly order: readonly Operation<Input, Output>[]
}
export interface Refuted<State, Input, Output> {
  readonly verdict: "not"
  /**
   * Before its return everything can be explained, with it nothing can; exact only if the search did not look ahead.
   */
  readonly culprit: Operation<Input, Output>
  /** The ranks, by return, of the culprit and of the last operation whose answer was used. */
  readonly ranks: readonly [number, number]
  /** The longest order that was found for the operations before the culprit. */
  readonly order: readonly Operation<Input, Output>[]
  /** True if one state stands for all states that no operation observed. */
  readonly oneUnseen: boolean
  /** All possible states when the culprit returned: with some choice of the operations then open. */
  readonly states: readonly State[]
  /** All possible states just after this operation (by order of return) had returned. */
  readonly statesAfter: (operation: Operation<Input, Output>) => readonly State[]
}
export type SearchOutcome<State, Input, Output> = PossibleOrder<Input, Output> | Refuted<State, Input, Output>

export interface Search<State, Input, Output> {
  /** Continues for about this many model steps. undefined: not decided yet. */
  readonly advance: (steps: number) => SearchOutcome<State, Input, Output> | undefined
  /** Calls of the model so far, and configurations entered. */
  readonly steps: () => number
  readonly configurations: () => number
}

interface Frame {
  readonly parent: Frame | undefined
  /** The number of operations that have returned. */
  readonly returned: number
  readonly placed: Int32Array
  /** Classes of unknown operations that were used, ascending, one number per use. */
  readonly used: readonly number[]
  readonly state: number
  /**
   * An unknown operation took effect and its effect was not observed yet: if it were overwritten now, it would have
   * been useless.
   */
  readonly idle: boolean
  /** The operations that were placed between the parent and here. */
  readonly applied: readonly number[]
  /** The next choices: pairs of an operation (mandatory ones by number, unknown ones by ~class) and the next state. */
  readonly next: readonly number[]
  tried: number
}

const wordBits = 31
const none: readonly number[] = []

const includes = (more: readonly number[], fewer: readonly number[]): boolean => {
  let at = 0
  for (const one of fewer) {
    while (at < more.length && (more[at] ?? 0) < one) at++
    if (more[at] !== one) return false
    at++
  }
  return true
}
const withOne = (used: readonly number[], one: number): readonly number[] => {
  const at = used.findIndex((other) => other > one)
  return at < 0 ? [...used, one] : [...used.slice(0, at), one, ...used.slice(at)]
}

/**
 * Explanations need a search that is exact about the place (it does not look ahead) and about the states (states that
 * nobody can see are not merged).
 */
export const startSearch = <State, Input, Output>(
  all: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  how: { readonly lookahead: boolean; readonly oneUnseen: boolean } = { lookahead: true, oneUnseen: true },
): Search<State, Input, Output> => {
  const sight = model.sight?.(all)
  const inputKey = model.inputKey ?? ((input: Input) => JSON.stringify(input))
  /** Operations that returned, by the order in which they did: their number is their rank. */
  const known = all.filter(({ returned }) => returned !== null).sort((a, b) => (a.returned ?? 0) - (b.returned ?? 0))
  const unknown = all
    .filter((operation) => operation.returned === null && sight?.unseen.has(operation) !== true)
    .sort((a, b) => a.invoked - b.invoked)
  const returns = known.map(({ returned }) => returned ?? 0)

  // Classes: alike operations have the same number.
  const classes = new Map<string, number>()
  const classOf = (operation: Operation<Input, Output>): number => {
    const key = `${inputKey(operation.input)} ${operation.returned === null ? "?" : JSON.stringify(operation.output)}`
    let found = classes.get(key)
    if (found === undefined) classes.set(key, (found = classes.size))
    return found
  }
  const members: Operation<Input, Output>[][] = []
  const unknownClasses = new Map<number, number>()
  for (const operation of unknown) {
    const name = classOf(operation)
    let at = unknownClasses.get(name)
    if (at === undefined) {
      unknownClasses.set(name, (at = members.length))
      members.push([])
    }
    members[at]?.push(operation)
  }
  const knownClass = known.map(classOf)
  const isUnseen = known.map((operation) => sight?.unseen.has(operation) === true)
  const overwrites = known.map(({ input, output }) => model.overwrites?.(input, output) === true)
  const unknownOverwrites = members.map(
    ([one]) => one !== undefined && model.overwrites?.(one.input, undefined) === true,
  )
  const readOnly = known.map(({ input, output }) => model.readOnly?.(input, output) === true)

  // For every rank: the open operations when that one returns, by their deadline; and the number of unknown ones of
  // each class.
  const open: number[][] = []
  const available: (readonly number[])[] = []
  const slots = new Int32Array(known.length)
  let width = 1
  {
    const byCall = known.map((_, i) => i).sort((a, b) => (known[a]?.invoked ?? 0) - (known[b]?.invoked ?? 0))
    const free: number[] = []
    let taken = 0
    let called = 0
    let asked = 0
    let current: number[] = []
    let counts: readonly number[] = members.map(() => 0)
    const unknownIndex = unknown.map((operation) => unknownClasses.get(classOf(operation)) ?? 0)
    for (let rank = 0; rank < known.length; rank++) {
      const time = returns[rank] ?? 0
      const fresh: number[] = []
      for (; called < byCall.length && (known[byCall[called] ?? 0]?.invoked ?? 0) <= time; called++)
        fresh.push(byCall[called] ?? 0)
      for (const one of fresh) {
        slots[one] = free.pop() ?? taken++
        width = Math.max(width, Math.ceil(taken / wordBits))
      }
      current = [...current, ...fresh].sort((a, b) => a - b)
      open.push(current)
      const more: number[] = []
      for (; asked < unknown.length && (unknown[asked]?.invoked ?? 0) <= time; asked++)
        more.push(unknownIndex[asked] ?? 0)
      if (more.length > 0) {
        const grown = [...counts]
        for (const one of more) grown[one] = (grown[one] ?? 0) + 1
        counts = grown
      }
      available.push(counts)
      // The operation that returns now gives up its bit.
      current = current.slice(1)
      free.push(slots[rank] ?? 0)
    }
  }

  const keyOf = model.key ?? ((state: State) => state as string)
  const states: State[] = []
  const stateIds = new Map<unknown, number>()
  const unseenKey = Symbol("all that nobody saw")
  const intern = (state: State): number => {
    const key = how.oneUnseen && sight?.isUnseen(state) === true ? unseenKey : keyOf(state)
    let id = stateIds.get(key)
    if (id === undefined) {
      stateIds.set(key, (id = states.length))
      states.push(state)
    }
    return id
  }

  /** By rank: the next read-only operation to return; choices are judged by it. */
  const goalAt: number[] = []
  for (let rank = known.length - 1, goal = -1; rank >= 0; rank--)
    goalAt[rank] = goal = readOnly[rank] === true ? rank : goal

  let steps = 0
  let configurations = 0
  const seen: Map<number | string, (readonly number[])[]>[] = known.map(() => new Map())
  /** By rank: the states in which its return was reached. */
  const passed: Set<number>[] = known.map(() => new Set())
  let furthest: Frame | undefined

  const isPlaced = (placed: Int32Array, operation: number): boolean => {
    const slot = slots[operation] ?? 0
    return ((placed[Math.floor(slot / wordBits)] ?? 0) & (1 << (slot % wordBits))) !== 0
  }
  const place = (placed: Int32Array, operation: number, on: boolean): void => {
    const slot = slots[operation] ?? 0
    const word = Math.floor(slot / wordBits)
    placed[word] = on ? (placed[word] ?? 0) | (1 << (slot % wordBits)) : (placed[word] ?? 0) & ~(1 << (slot % wordBits))
  }

  const run = (state: number, input: Input, output: Output | undefined): number => {
    steps++
    const from = states[state] as State
    const next = model.step(from, input, output)
    if (next === impossible) return -1
    return next === from ? state : intern(next)
  }

  const isNew = (rank: number, placed: Int32Array, state: number, used: readonly number[]): boolean => {
    const first = placed[0] ?? 0
    const key = width === 1 && state < 0x200000 ? state * 0x80000000 + first : `${state},${placed.join(",")}`
    const known = seen[rank]
    const before = known?.get(key)
    if (before === undefined) {
      known?.set(key, [used])
      return true
    }
    if (before.some((fewer) => includes(used, fewer))) return false
    known?.set(key, [...before.filter((more) => !includes(more, used)), used])
    return true
  }

  /**
   * For read-only operations: those that may supply them, as far back as the horizon of any configuration that looks at
   * them, and classes of unknown ones. A choice is judged by the operations that return soon, whether they are already
   * invoked or not.
   */
  interface Suppliers {
    readonly known: readonly number[]
    readonly unknown: readonly number[]
  }
  const suppliers: (Suppliers | undefined)[] = []
  const horizon = (rank: number): number =>
    Math.min(known.length, rank + (how.lookahead ? 2 * (open[rank]?.length ?? 0) : 1))
  const suppliersOf = (goal: number): Suppliers => {
    const cached = suppliers[goal]
    if (cached !== undefined) return cached
    const wanted = known[goal] as Operation<Input, Output>
    const candidates = [...(open[goal] ?? none)]
    for (let i = Math.max(0, goal - wordBits * width * 2); i < goal; i++) candidates.push(i)
    const found = candidates.filter(
      (i) => readOnly[i] !== true && model.supplies?.((known[i] as Operation<Input, Output>).input, wanted) !== false,
    )
    return (suppliers[goal] = {
      known: found,
      unknown: members.flatMap(([one], at) =>
        one !== undefined && model.supplies?.(one.input, wanted) !== false ? [at] : [],
      ),
    })
  }
  const isSupplied = (goal: number, rank: number, placed: Int32Array, used: readonly number[]): boolean => {
    const { known: some, unknown: maybe } = suppliersOf(goal)
    // A bit of `placed` belongs to an operation only once it is invoked.
    return (
      some.some(
        (one) => one >= rank && ((known[one]?.invoked ?? 0) > (returns[rank] ?? 0) || !isPlaced(placed, one)),
      ) || maybe.some((one) => (available[goal]?.[one] ?? 0) > used.filter((other) => other === one).length)
    )
  }
  const isDead = (rank: number, placed: Int32Array, state: number, used: readonly number[]): boolean => {
    if (model.within === undefined) return false
    const here = states[state] as State
    for (let goal = rank; goal < horizon(rank); goal++) {
      if (readOnly[goal] !== true) continue
      const wanted = known[goal] as Operation<Input, Output>
      if (wanted.invoked <= (returns[rank] ?? 0) && isPlaced(placed, goal)) continue
      if (!model.within(here, wanted) && !isSupplied(goal, rank, placed, used)) return true
    }
    return false
  }

  const frames: Frame[] = []
  const orderTo = (last: Frame | undefined): readonly Operation<Input, Output>[] => {
    const path: (readonly number[])[] = []
    for (let frame = last; frame !== undefined; frame = frame.parent) path.push(frame.applied)
    const left = members.map((group) => group.values())
    return path
      .reverse()
      .flat()
      .flatMap((one) => {
        const operation = one >= 0 ? known[one] : left[~one]?.next().value
        return operation === undefined ? [] : [operation]
      })
  }

  /**
   * Enters a configuration: places all operations that need no choice, then lists the choices. `placed` becomes its
   * own. True if everything is placed.
   */
  const enter = (
    parent: Frame | undefined,
    placed: Int32Array,
    used: readonly number[],
    state: number,
    unproven: boolean,
    applied: number[],
  ): boolean => {
    let idle = unproven
    let rank = parent?.returned ?? 0
    const next: number[] = []
    const looked = new Set<number>()
    for (let moved = true; moved;) {
      moved = false
      while (rank < known.length && isPlaced(placed, rank)) {
        place(placed, rank, false)
        rank++
      }
      if (rank === known.length) {
        frames.push({ parent, returned: rank, placed, used, state, idle, applied, next: none, tried: 0 })
        return true
      }
      for (const operation of open[rank] ?? none) {
        if (looked.has(operation) || isPlaced(placed, operation)) continue
        if (isUnseen[operation] === true && operation !== rank && readOnly[operation] !== true) continue
        looked.add(operation)
        const { input, output } = known[operation] as Operation<Input, Output>
        const to = run(state, input, output)
        if (to >= 0 && readOnly[operation] === true) {
          place(placed, operation, true)
          applied.push(operation)
          idle = false
          if (operation === rank) moved = true
        } else if (to >= 0) next.push(operation, to)
      }
    }
    for (let r = parent?.returned ?? 0; r < rank; r++) passed[r]?.add(state)
    if (!isNew(rank, placed, state, used)) return false
    configurations++
    const choices = isDead(rank, placed, state, used) ? none : chooseFrom(rank, used, state, idle, next)
    const frame: Frame = { parent, returned: rank, placed, used, state, idle, applied, next: choices, tried: 0 }
    if (rank > (furthest?.returned ?? -1)) furthest = frame
    frames.push(frame)
    return false
  }

  /**
   * One of each class of alike operations, the one with the earliest deadline; then the unknown ones that change
   * something.
   */
  const chooseFrom = (
    rank: number,
    used: readonly number[],
    state: number,
    idle: boolean,
    next: readonly number[],
  ): readonly number[] => {
    const taken = new Map<number, number>()
    for (let i = 0; i < next.length; i += 2) {
      if (idle && overwrites[next[i] ?? 0] === true) continue
      const name = knownClass[next[i] ?? 0] ?? 0
      const rival = taken.get(name)
      if (rival === undefined || (next[i] ?? 0) < (next[rival] ?? 0)) taken.set(name, i)
    }
    const choices = [...taken.values()]
      .sort((a, b) => (next[a] ?? 0) - (next[b] ?? 0))
      .flatMap((i) => [next[i] ?? 0, next[i + 1] ?? 0])
    const goal = goalAt[rank] ?? -1
    const helpful: number[] = []
    const others: number[] = []
    const sort = (operation: number, to: number): void =>
      void (
        goal >= 0 && model.within?.(states[to] as State, known[goal] as Operation<Input, Output>) === true
          ? helpful
          : others
      ).push(operation, to)
    for (let i = 0; i < choices.length; i += 2) sort(choices[i] ?? 0, choices[i + 1] ?? 0)
    const counts = available[rank] ?? none
    let at = 0
    for (let one = 0; one < counts.length; one++) {
      let spent = 0
      for (; used[at] === one; at++) spent++
      if (spent >= (counts[one] ?? 0) || (idle && unknownOverwrites[one] === true)) continue
      const to = run(state, ((members[one] ?? [])[spent] as Operation<Input, Output>).input, undefined)
      if (to >= 0) sort(~one, to)
    }
    return [...helpful, ...others]
  }

  const statesOf = (ids: Iterable<number>): readonly State[] => [...ids].map((id) => states[id] as State)
  const finish = (): SearchOutcome<State, Input, Output> => {
    const rank = furthest?.returned ?? 0
    const culprit = known[rank] as Operation<Input, Output>
    const possible = new Set<number>()
    for (const key of seen[rank]?.keys() ?? [])
      possible.add(typeof key === "number" ? Math.floor(key / 0x80000000) : Number.parseInt(key, 10))
    return {
      verdict: "not",
      culprit,
      oneUnseen: how.oneUnseen,
      ranks: [rank, Math.max(horizon(rank), open[rank]?.at(-1) ?? 0)],
      order: orderTo(furthest),
      states: statesOf(possible),
      statesAfter: (operation) => statesOf(passed[known.indexOf(operation)] ?? []),
    }
  }

  let outcome: SearchOutcome<State, Input, Output> | undefined
  const begin = (): void => {
    if (enter(undefined, new Int32Array(width), none, intern(model.init), false, []))
      outcome = { verdict: "linearizable", order: orderTo(frames.at(-1)) }
  }
  let begun = false

  return {
    steps: () => steps,
    configurations: () => configurations,
    advance: (budget) => {
      if (!begun) {
        begun = true
        begin()
      }
      const until = steps + budget
      while (outcome === undefined) {
        if (steps >= until) break
        const frame = frames.at(-1)
        if (frame === undefined) {
          outcome = finish()
          break
        }
        const { next, tried } = frame
        if (tried >= next.length) {
          frames.pop()
          continue
        }
        frame.tried += 2
        const choice = next[tried] ?? 0
        const to = next[tried + 1] ?? 0
        const isUnknown = choice < 0
        // An overwriting operation is preceded by all open ones that nobody saw.
        const taken =
          (isUnknown ? unknownOverwrites[~choice] : overwrites[choice]) === true
            ? (open[frame.returned] ?? none).filter(
                (operation) =>
                  operation !== choice && isUnseen[operation] === true && !isPlaced(frame.placed, operation),
              )
            : none
        // It would lead back here, with one unknown operation less to use.
        if (isUnknown && to === frame.state && taken.length === 0) continue
        const placed = frame.placed.slice()
        for (const operation of isUnknown ? taken : [...taken, choice]) place(placed, operation, true)
        if (
          enter(frame, placed, isUnknown ? withOne(frame.used, ~choice) : frame.used, to, isUnknown, [...taken, choice])
        )
          outcome = { verdict: "linearizable", order: orderTo(frames.at(-1)) }
      }
      return outcome
    },
  }
}
