/** Breadth-first search of a whole space: closed when no state is left to look at. */
import { rules, type Rule } from "../../core/index.ts"
import { Automaton, COMMITTED_SHIFT, CRASH, JUDGE, MOVE } from "./automaton.ts"
import type { Action, Violation } from "./server.ts"
import type { Space } from "./space.ts"
import { at, makeList, push, Records } from "./tables.ts"

/** One step of a history: what happened to which server. */
export interface Step {
  readonly server: string
  readonly action: Action
}
export interface Counterexample extends Violation {
  /** No shorter history breaks anything. */
  readonly steps: readonly Step[]
}
export interface Progress {
  readonly states: number
  readonly transitions: number
  readonly depth: number
  readonly queue: number
  readonly seconds: number
}
export interface ExploreOptions {
  /** States that differ only in the names of servers are one. Default true. */
  readonly symmetry?: boolean
  /** Messages that can never matter again are forgotten. Default true. */
  readonly prune?: boolean
  /** Stop, not closed, after so many. */
  readonly maxStates?: number
  readonly maxSeconds?: number
  /** Told about once a second. */
  readonly onProgress?: (progress: Progress) => void
}
export interface Explored {
  readonly space: string
  /** Every state was met and looked at; false if a bound of the options or a violation ended the search. */
  readonly closed: boolean
  /** Distinct states, servers that could change names counted once. */
  readonly states: number
  /** Distinct states, each name counted. */
  readonly namedStates: number
  /** Steps possible in these states, those without any effect included; each was looked at. */
  readonly transitions: number
  /** Of these, the ones that lead to another state. */
  readonly effective: number
  /** Steps not taken because they lead past a bound of the space. */
  readonly outside: number
  /** Length of the longest shortest history. */
  readonly depth: number
  readonly seconds: number
  readonly megabytes: number
  /** States that one server can be in, messages, and runs of the reducer. */
  readonly serverStates: number
  readonly localStates: number
  readonly messages: number
  readonly reducerRuns: number
  readonly reached: readonly Rule[]
  readonly notReached: readonly Rule[]
  readonly counterexample: Counterexample | null
}

export const explore = (space: Space, options: ExploreOptions = {}): Explored => {
  const { symmetry = true, prune = true, maxStates = Number.POSITIVE_INFINITY, maxSeconds = Number.POSITIVE_INFINITY, onProgress } = options
  const automaton = new Automaton(space, { symmetry, prune })
  const count = space.servers.length
  const HISTORY = count
  const CRASHES = count + 1
  const WIDTH = count + 2
  const { permutations } = automaton
  const visited = new Records(WIDTH)
  const parents = makeList()
  const started = performance.now()
  const crashBound = space.bounds.crashes ?? -1

  const candidate = new Int32Array(WIDTH)
  const canonical = new Int32Array(WIDTH)
  /** How many renamings leave the canonical state as it is. */
  let same = 1
  const canonicalize = (state: Int32Array): void => {
    canonical.set(state)
    same = 1
    for (let by = 1; by < permutations.length; by++) {
      const to = permutations[by] as readonly number[]
      for (let i = 0; i < count; i++) candidate[to[i] as number] = automaton.renameLocal(at(state, i), by)
      candidate[HISTORY] = automaton.renameHistory(at(state, HISTORY), by)
      candidate[CRASHES] = at(state, CRASHES)
      let i = 0
      while (i < WIDTH && at(candidate, i) === at(canonical, i)) i++
      if (i === WIDTH) same++
      else if (at(candidate, i) < at(canonical, i)) {
        canonical.set(candidate)
        same = 1
      }
    }
  }

  const state = new Int32Array(WIDTH)
  const next = new Int32Array(WIDTH)
  let violation: Violation | null = null
  /** Fills `next`; false if this move is not possible in `state`. */
  const take = (index: number, move: number): boolean => {
    const moves = automaton.moves.data
    const flags = at(moves, move + 3)
    const committed = flags >> COMMITTED_SHIFT
    if (committed > 0 && automaton.committedIn(at(state, HISTORY)) !== committed - 1) return false
    next.set(state)
    if ((flags & CRASH) !== 0 && crashBound >= 0 && (next[CRASHES] = at(state, CRASHES) + 1) > crashBound) return false
    const target = at(moves, move)
    const sends = at(moves, move + 1)
    if (automaton.isWrong(target)) {
      violation = automaton.violationOf(sends)
      return true
    }
    next[index] = target
    for (let i = automaton.sets.start(sends), end = automaton.sets.end(sends); i < end; i++) {
      const letter = at(automaton.sets.data.data, i)
      const to = automaton.receiverOf(letter)
      next[to] = automaton.adding(at(next, to), letter)
    }
    if ((flags & JUDGE) !== 0) {
      const history = automaton.judge(at(state, HISTORY), index, next)
      violation = automaton.violationIn(history)
      if (violation === null) next[HISTORY] = history
    }
    return true
  }

  const first = new Int32Array(WIDTH)
  for (let i = 0; i < count; i++) first[i] = automaton.firstLocal(i)
  canonicalize(first)
  let namedStates = permutations.length / same
  visited.intern(canonical)
  push(parents, -1)

  /** Walks from the first state along the chain that led to `last`, with the servers' names as they are. */
  const historyTo = (last: number, found: Violation): Counterexample => {
    const chain: number[] = []
    for (let id = last; id >= 0; id = at(parents.data, id)) chain.unshift(id)
    const steps: Step[] = []
    const named = Int32Array.from(first)
    const expected = new Int32Array(WIDTH)
    const stepTo = (fits: () => boolean): boolean => {
      state.set(named)
      for (let index = 0; index < count; index++) {
        const local = at(state, index)
        const end = (automaton.movesStart(local), automaton.movesEnd(local))
        for (let move = automaton.movesStart(local); move < end; move += MOVE) {
          violation = null
          if (!take(index, move) || !fits()) continue
          steps.push({ server: space.servers[index] ?? "", action: automaton.actionOf(automaton.serverOf(local), at(automaton.moves.data, move + 2)) })
          named.set(next)
          return true
        }
      }
      return false
    }
    const lost = new Error("a history cannot be walked again")
    for (const id of chain.slice(1)) {
      visited.load(id, expected)
      const fits = (): boolean => {
        if (violation !== null) return false
        canonicalize(next)
        return canonical.every((value, i) => value === expected[i])
      }
      if (!stepTo(fits)) throw lost
    }
    if (!stepTo(() => violation !== null && violation.name === found.name)) throw lost
    return { ...found, steps }
  }

  let transitions = 0
  let effective = 0
  let outside = 0
  let depth = 0
  let levelEnd = 1
  let id = 0
  let counterexample: Counterexample | null = null
  let told = started
  search: for (; id < visited.size && visited.size < maxStates; id++) {
    if (id === levelEnd) {
      depth++
      levelEnd = visited.size
    }
    if ((id & 4095) === 0) {
      const now = performance.now()
      if (now - started > maxSeconds * 1000) break
      if (now - told > 1000) {
        told = now
        onProgress?.({ states: visited.size, transitions, depth, queue: visited.size - id, seconds: (now - started) / 1000 })
      }
    }
    visited.load(id, state)
    for (let index = 0; index < count; index++) {
      const local = at(state, index)
      const from = automaton.movesStart(local)
      const end = automaton.movesEnd(local)
      transitions += at(automaton.enabled.data, local)
      outside += automaton.cutOf(local)
      for (let move = from; move < end; move += MOVE) {
        if (!take(index, move)) continue
        if (violation !== null) {
          counterexample = historyTo(id, violation)
          break search
        }
        let i = 0
        while (i < WIDTH && at(next, i) === at(state, i)) i++
        if (i === WIDTH) continue
        effective++
        canonicalize(next)
        const known = visited.size
        if (visited.intern(canonical) === known) {
          push(parents, id)
          namedStates += permutations.length / same
        }
      }
    }
  }
  const notReached = (Object.keys(rules) as Rule[]).filter((rule) => !automaton.reached.has(rule))
  return {
    space: space.name,
    closed: counterexample === null && id === visited.size,
    states: visited.size,
    namedStates,
    transitions,
    effective,
    outside,
    depth,
    seconds: (performance.now() - started) / 1000,
    megabytes: (automaton.bytes + visited.bytes + 4 * parents.data.length) / 1e6,
    serverStates: automaton.servers.length,
    localStates: automaton.localCount,
    messages: automaton.letters.length,
    reducerRuns: automaton.reducerRuns,
    reached: [...automaton.reached],
    notReached,
    counterexample,
  }
}
