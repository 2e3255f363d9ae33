/** Search of a whole space: closed when every state was expanded. */
import { rules, type Rule } from "../../../core/index.ts"
import { heaviestOfLowest, inOrderOfArrival } from "./agenda.ts"
import { Automaton } from "./automaton.ts"
import { MOVE } from "./letters.ts"
import { ClusterStates } from "./cluster.ts"
import { StateStore } from "./cover.ts"
import { withSentMessages } from "../replay.ts"
import type { ExploredViolation } from "../server.ts"
import type { Counterexample, ExploredStep } from "../steps.ts"
import { shrink } from "../shrink.ts"
import type { Space } from "../space.ts"
import { at, makeList, push } from "./tables.ts"

export interface SearchProgress {
  readonly states: number
  readonly transitions: number
  readonly depth: number
  readonly queue: number
  /**
   * The progress of all servers together in terms, votes and entries (each durable term counts 16, a vote 8, an entry
   * 1).
   */
  readonly level: number
  readonly seconds: number
}
export interface ExploreOptions {
  /** States that differ only in the names of servers are one. Default true. */
  readonly symmetry?: boolean
  /** Messages that can never matter again are forgotten. Default true; undone if one would have mattered. */
  readonly prune?: boolean
  /** States that can do no more than another are not expanded. Default true. */
  readonly cover?: boolean
  /** Breadth first: no shorter history than the counterexample breaks a rule. Slower to close. Default false. */
  readonly shortest?: boolean
  /** Stop, without closing the search, after this many states. */
  readonly maxStates?: number
  readonly maxSeconds?: number
  /** Called about once a second. */
  readonly onProgress?: (progress: SearchProgress) => void
}
export interface Explored {
  readonly space: string
  /**
   * Every state was expanded: everything that can happen within the bounds of the space was examined, and no rule was
   * broken.
   */
  readonly closed: boolean
  /** The number of distinct states, and of states with every name counted. */
  readonly states: number
  readonly namedStates: number
  /** Of these, the fully expanded ones; the others are covered by them. */
  readonly expanded: number
  /** Distinct combinations of the states of the servers. */
  readonly combinations: number
  /** Steps examined: each thing that can happen in each expanded state. */
  readonly transitions: number
  /** Of these: the moves that led to another state. */
  readonly effective: number
  /** Of these: the moves not made because they exceed a bound of the space. */
  readonly outside: number
  /** The length of the longest history followed; breadth first, the distance of the farthest state. */
  readonly depth: number
  readonly seconds: number
  /** Bytes of the tables; the process needs some more. */
  readonly megabytes: number
  /** Distinct states of single servers, distinct messages, and runs of the reducer. */
  readonly serverStates: number
  readonly messages: number
  readonly reducerRuns: number
  readonly reached: readonly Rule[]
  readonly notReached: readonly Rule[]
  readonly counterexample: Counterexample | null
}

/** Walks from the first state along the chain that led to `last`, and then into the violation. */
const historyTo = (
  cluster: ClusterStates,
  store: StateStore,
  last: number,
  found: ExploredViolation,
): Counterexample => {
  const { automaton, width } = cluster
  const chain: number[] = []
  for (let id = last; id >= 0; id = at(store.parents.data, id)) chain.unshift(id)
  const steps: ExploredStep[] = []
  const state = cluster.first()
  const expected = new Int32Array(width)
  const stepTo = (fits: () => boolean): void => {
    const step = cluster.find(state, fits)
    if (step === null) throw new Error("the explorer cannot replay its own history")
    steps.push({ server: automaton.space.servers[step.index] ?? "", action: step.action })
    state.set(cluster.next)
  }
  for (const id of chain.slice(1)) {
    store.records.load(id, expected)
    stepTo(() => {
      if (cluster.violation !== null) return false
      cluster.canonicalize(cluster.next)
      return cluster.canonical.every((value, i) => value === expected[i])
    })
  }
  stepTo(() => cluster.violation?.name === found.name)
  return { ...found, steps }
}

/**
 * Explores everything that can happen in `space`. Every state is stored whole, not as a hash: no collision can hide
 * one. Ends at the first violation; `replay` repeats its steps without any of the tables.
 */
export const explore = (space: Space, options: ExploreOptions = {}): Explored => {
  const {
    symmetry = true,
    prune = true,
    cover = true,
    shortest = false,
    maxStates = Number.POSITIVE_INFINITY,
    maxSeconds = Number.POSITIVE_INFINITY,
    onProgress,
  } = options
  const automaton = new Automaton(space, { symmetry, prune })
  const cluster = new ClusterStates(automaton)
  const { count, width, next, canonical } = cluster
  const store = new StateStore(automaton, cover)
  const visited = store.records
  const agenda = cover && !shortest ? heaviestOfLowest() : inOrderOfArrival()
  const depths = makeList()
  const started = performance.now()
  let [namedStates, transitions, effective, outside, depth, expanded, told] = [0, 0, 0, 0, 0, 0, started]
  let counterexample: Counterexample | null = null
  let closed = true

  /** Adds `reached`, unless it is known or covered. */
  const meet = (reached: Int32Array, parent: number): void => {
    cluster.canonicalize(reached)
    const known = visited.size
    const id = store.add(canonical, parent)
    if (visited.size === known) return
    namedStates += cluster.names
    push(depths, parent < 0 ? 0 : at(depths.data, parent) + 1)
    if (id < 0) return
    depth = Math.max(depth, at(depths.data, id))
    agenda.add(id, cluster.levelOf(canonical), cluster.weightOf(canonical))
  }
  const isOver = (): boolean => {
    if ((expanded & 255) !== 0) return false
    const now = performance.now()
    if (now - told > 1000) {
      told = now
      onProgress?.({
        states: visited.size,
        transitions,
        depth,
        queue: agenda.size,
        level: agenda.level,
        seconds: (now - started) / 1000,
      })
    }
    return now - started > maxSeconds * 1000 || visited.size > maxStates
  }
  const differs = (state: Int32Array): boolean => {
    for (let i = 0; i < width; i++) if (at(next, i) !== at(state, i)) return true
    return false
  }

  meet(cluster.first(), -1)
  const state = new Int32Array(width)
  search: for (let id = agenda.take(); id >= 0; id = agenda.take()) {
    if (!shortest && store.isCovered(id)) continue
    if (isOver()) {
      closed = false
      break
    }
    expanded++
    visited.load(id, state)
    for (let index = 0; index < count; index++) {
      const local = at(state, index)
      const from = automaton.movesStart(local)
      const end = automaton.movesEnd(local)
      transitions += automaton.enabledIn(local)
      outside += automaton.outsideIn(local)
      for (let move = from; move < end; move += MOVE) {
        if (!cluster.take(state, index, move)) continue
        if (cluster.violation !== null) {
          const history = historyTo(cluster, store, id, cluster.violation)
          counterexample = shrink(space, { ...history, steps: withSentMessages(space, history.steps) })
          closed = false
          break search
        }
        if (!differs(state)) continue
        effective++
        meet(next, id)
        // Everything that is possible here is also possible in the covering state.
        if (!shortest && store.isCovered(id)) continue search
      }
    }
  }
  // The rules for dropping messages assume a correct reducer, so it is checked that this one obeys them.
  if (closed && prune && automaton.misjudged()) return explore(space, { ...options, prune: false })
  return {
    space: space.name,
    closed,
    states: visited.size,
    namedStates,
    expanded,
    combinations: store.clusters.size,
    transitions,
    effective,
    outside,
    depth,
    seconds: (performance.now() - started) / 1000,
    megabytes: (automaton.bytes + store.bytes) / 1e6,
    serverStates: automaton.servers.length,
    messages: automaton.letters.length,
    reducerRuns: automaton.reducerRuns,
    reached: [...automaton.reached],
    notReached: (Object.keys(rules) as Rule[]).filter((rule) => !automaton.reached.has(rule)),
    counterexample,
  }
}
