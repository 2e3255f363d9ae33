/** What the loop measures for metrics beside its counters. */
import type { Index, Millis, State } from "../../core/index.ts"
import { Histogram } from "../metrics/index.ts"

export interface Measures {
  /** On a leader: from an entry's being appended to its being committed, of one entry at a time. */
  readonly commit: Histogram
  /** From handing entries to the state machine to its having executed them. */
  readonly apply: Histogram
}
export interface Measuring extends Measures {
  /** After each run of the reducer. */
  readonly stepped: (state: Readonly<State>, now: Millis) => void
}

export const makeMeasures = (): Measuring => {
  const commit = new Histogram()
  /** The entry whose commit is waited for. */
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
