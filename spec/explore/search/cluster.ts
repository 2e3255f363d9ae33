/** All servers together: a state is the local state of each server, the history so far and the number of crashes. */
import { Automaton } from "./automaton.ts"
import { COMMITTED_SHIFT, CRASH, JUDGE, MOVE } from "./letters.ts"
import type { ServerAction, ExploredViolation } from "../server.ts"
import { at } from "./tables.ts"

export class ClusterStates {
  readonly automaton: Automaton
  readonly count: number
  readonly width: number
  /** Outputs of `take` and `canonicalize`. */
  readonly next: Int32Array
  readonly canonical: Int32Array
  violation: ExploredViolation | null = null
  /** The number of different names for a state, the canonical one included. */
  names = 1
  private readonly crashBound: number
  private readonly candidate: Int32Array
  private readonly servers: Int32Array
  private readonly least: Int32Array
  private readonly ties: Int32Array

  constructor(automaton: Automaton) {
    this.automaton = automaton
    this.count = automaton.space.servers.length
    this.width = this.count + 2
    this.crashBound = automaton.space.bounds.crashes ?? -1
    this.next = new Int32Array(this.width)
    this.canonical = new Int32Array(this.width)
    this.candidate = new Int32Array(this.width)
    this.servers = new Int32Array(this.count)
    this.least = new Int32Array(this.count)
    this.ties = new Int32Array(automaton.permutations.length)
  }

  first(): Int32Array {
    const state = new Int32Array(this.width)
    for (let i = 0; i < this.count; i++) state[i] = this.automaton.firstLocal(i)
    return state
  }

  /**
   * Fills `next` with the result of `move` of server `index`, or sets `violation`; false if the move is impossible in
   * `state`.
   */
  take(state: Int32Array, index: number, move: number): boolean {
    const { automaton, next, count } = this
    const moves = automaton.moves.data
    const flags = at(moves, move + 3)
    const committed = flags >> COMMITTED_SHIFT
    if (committed > 0 && automaton.committedIn(at(state, count)) !== committed - 1) return false
    next.set(state)
    if ((flags & CRASH) !== 0 && this.crashBound >= 0 && (next[count + 1] = at(state, count + 1) + 1) > this.crashBound)
      return false
    const target = at(moves, move)
    const sends = at(moves, move + 1)
    this.violation = automaton.isWrong(target) ? automaton.violationOf(sends) : null
    if (this.violation !== null) return true
    next[index] = target
    for (let i = automaton.sets.start(sends), end = automaton.sets.end(sends); i < end; i++) {
      const letter = at(automaton.sets.data.data, i)
      const to = automaton.receiverOf(letter)
      next[to] = automaton.adding(at(next, to), letter)
    }
    if ((flags & JUDGE) !== 0) {
      const history = automaton.judge(at(state, count), index, next)
      this.violation = automaton.violationIn(history)
      if (this.violation !== null) return true
      next[count] = history
    }
    next[count] = automaton.forgetting(at(next, count), next)
    return true
  }

  private rename(state: Int32Array, by: number): void {
    const { automaton, candidate, count } = this
    const to = automaton.permutations[by] as readonly number[]
    for (let i = 0; i < count; i++) candidate[to[i] as number] = automaton.renameLocal(at(state, i), by)
    candidate[count] = automaton.renameHistory(at(state, count), by)
    candidate[count + 1] = at(state, count + 1)
  }
  /** Finds the renamings that give the servers, in their order, the least tuple; returns how many there are. */
  private leastNames(state: Int32Array): number {
    const { automaton, servers, least, ties, count } = this
    least.fill(0x7fffffff)
    let tied = 0
    for (let by = 0; by < automaton.permutations.length; by++) {
      const to = automaton.permutations[by] as readonly number[]
      for (let i = 0; i < count; i++)
        servers[to[i] as number] = automaton.renameServer(automaton.serverOf(at(state, i)), by)
      let i = 0
      while (i < count && at(servers, i) === at(least, i)) i++
      if (i < count && at(servers, i) > at(least, i)) continue
      if (i < count) {
        least.set(servers)
        tied = 0
      }
      ties[tied++] = by
    }
    return tied
  }
  /** Fills `canonical`. The servers are minimised first, so that states with the same servers get the same names. */
  canonicalize(state: Int32Array): void {
    const { canonical, candidate, ties, width } = this
    const tied = this.leastNames(state)
    let same = 1
    this.rename(state, at(ties, 0))
    canonical.set(candidate)
    for (let k = 1; k < tied; k++) {
      this.rename(state, at(ties, k))
      let i = 0
      while (i < width && at(candidate, i) === at(canonical, i)) i++
      if (i === width) same++
      else if (at(candidate, i) < at(canonical, i)) {
        canonical.set(candidate)
        same = 1
      }
    }
    this.names = this.automaton.permutations.length / same
  }

  /** Messages in flight. */
  weightOf(state: Int32Array): number {
    let sum = 0
    for (let i = 0; i < this.count; i++) sum += this.automaton.messagesOf(at(state, i))
    return sum
  }
  levelOf(state: Int32Array): number {
    let sum = 0
    for (let i = 0; i < this.count; i++) sum += this.automaton.levelOf(this.automaton.serverOf(at(state, i)))
    return sum
  }

  /** A move from `state` whose result satisfies `fits` (see `next` and `violation`): which action at which server. */
  find(state: Int32Array, fits: () => boolean): { readonly index: number; readonly action: ServerAction } | null {
    const { automaton, count } = this
    for (let index = 0; index < count; index++) {
      const local = at(state, index)
      const from = automaton.movesStart(local)
      for (let move = from; move < automaton.movesEnd(local); move += MOVE)
        if (this.take(state, index, move) && fits())
          return { index, action: automaton.actionOf(automaton.serverOf(local), at(automaton.moves.data, move + 2)) }
    }
    return null
  }
}
