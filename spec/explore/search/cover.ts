/**
 * States that need not be expanded, because they can do no more than another one. The network forgets no message and
 * need not deliver any. So of two states with the same servers, the one with more messages in flight, fewer crashes
 * used and more history to contradict can do everything that the other can, and breaks every rule that the other
 * breaks. Only the most capable states are followed; all others are covered by one of them.
 */
import type { Automaton } from "./automaton.ts"
import { at, makeList, push, put, Records, Tuples } from "./tables.ts"

const NONE = -1

export class StateStore {
  readonly records: Records
  readonly clusters = new Tuples()
  readonly parents = makeList()
  private readonly automaton: Automaton
  private readonly cover: boolean
  private readonly count: number
  private readonly width: number
  /** The states of a cluster (a tuple of server states) that no other state covers, as a chain. */
  private readonly heads = makeList()
  private readonly nexts = makeList()
  private readonly covered = makeList()
  private readonly here: Int32Array
  private readonly there: Int32Array
  private readonly servers: Int32Array

  constructor(automaton: Automaton, cover: boolean) {
    this.automaton = automaton
    this.cover = cover
    this.count = automaton.space.servers.length
    this.width = this.count + 2
    this.records = new Records(this.width)
    this.here = new Int32Array(this.width)
    this.there = new Int32Array(this.width)
    this.servers = new Int32Array(this.count)
  }

  isCovered(id: number): boolean {
    return this.cover && at(this.covered.data, id) === 1
  }

  /** `a` can do nothing that `b` cannot do; both have the same servers. */
  private isWithin(a: Int32Array, b: Int32Array): boolean {
    const { automaton, count } = this
    if (at(b, count + 1) > at(a, count + 1) || !automaton.historyWithin(at(a, count), at(b, count))) return false
    for (let i = 0; i < count; i++) if (!automaton.mayBeWithin(at(a, i), at(b, i))) return false
    for (let i = 0; i < count; i++) if (!automaton.isWithin(at(a, i), at(b, i))) return false
    return true
  }

  /** The id of a state that must be expanded, or -1. Earlier states that it covers need not be expanded any more. */
  add(state: Int32Array, parent: number): number {
    const { automaton, count, records, covered } = this
    const known = records.size
    const id = records.intern(state)
    if (id !== known) return NONE
    push(this.parents, parent)
    for (let i = 0; i < count; i++) this.servers[i] = automaton.serverOf(at(state, i))
    const clusters = this.clusters.size
    const cluster = this.clusters.intern(this.servers, count)
    if (!this.cover) return id
    push(covered, 0)
    push(this.nexts, NONE)
    if (cluster === clusters) {
      put(this.heads, cluster, id, NONE)
      return id
    }
    this.here.set(state)
    let before = NONE
    for (let other = at(this.heads.data, cluster); other !== NONE;) {
      records.load(other, this.there)
      if (this.isWithin(this.here, this.there)) {
        covered.data[id] = 1
        return NONE
      }
      const after = at(this.nexts.data, other)
      if (this.isWithin(this.there, this.here)) {
        covered.data[other] = 1
        if (before === NONE) this.heads.data[cluster] = after
        else this.nexts.data[before] = after
      } else before = other
      other = after
    }
    this.nexts.data[id] = at(this.heads.data, cluster)
    this.heads.data[cluster] = id
    return id
  }
  get bytes(): number {
    return (
      this.records.bytes +
      this.clusters.bytes +
      4 * (this.parents.data.length + this.heads.data.length + this.nexts.data.length + this.covered.data.length)
    )
  }
}
