/** The meaning of the Persist effect, for interpreters that keep the log in memory: what is stored after it. */
import { Log } from "./log.ts"
import { emptyConfiguration } from "./membership.ts"
import type { Configuration, HardState, LogBase, Persist } from "./types.ts"

/** The base of a log that has no entries yet: it holds only the founding configuration. */
export const originOf = (founding: Configuration): LogBase => ({
  index: 0,
  term: 0,
  time: 0,
  chain: 0,
  configuration: founding,
})
/** The base of a log where no cluster was founded. */
export const origin = originOf(emptyConfiguration)

export interface StoredLog {
  readonly hardState: HardState
  readonly log: Log
}

/** In this order: truncation, base, entries. A log that disagrees with a new base is truncated in the same Persist. */
export const storedAfter = ({ hardState, log }: StoredLog, persist: Persist): StoredLog => {
  const { truncateFrom, base, entries } = persist
  const kept = truncateFrom === null ? log : log.truncateFrom(truncateFrom)
  const based = base === null ? kept : kept.lastIndex >= base.index ? kept.trim(base) : Log.empty(base)
  return { hardState: persist.hardState ?? hardState, log: based.append(entries) }
}
