/** What the loop measures for metrics beside its counters. */
import type { Index, Millis, State } from "../../core/index.ts"
import { Histogram } from "../metrics/index.ts"

export interface Measures {
  /** On a leader: how long one entry took from append to commit. One entry is measured at a time. */
  readonly commit: Histogram
  /** How long the state machine took to execute the entries of one Apply. */
  readonly apply: Histogram
}
export interface Measuring extends Measures {
  /** Called after each run of the reducer. */
  readonly stepped: (state: Readonly<State>, now: Millis) => void
}

export const makeMeasures = (): Measuring => {
  const commit = new Histogram()
  /** The entry that is being measured, until it is committed. */
  let open: { readonly index: Index; readonly term: number; readonly at: Millis } | null = null
  return {
    commit,
    apply: new Histogram(),
    stepped: ({ role, currentTerm, commitIndex, log }, now) => {
      if (role.type !== "leader" || (open !== null && open.term !== currentTerm)) open = null
      if (role.type !== "leader") return
      if (open !== null && commitIndex >= open.index) {
        commit.observe((now - open.at) / 1000)
        open = null
      }
      if (open === null && log.lastIndex > commitIndex) open = { index: log.lastIndex, term: currentTerm, at: now }
    },
  }
}
