/**
 * What survives a crash. Every change of hard state, log or base is handed out as one Persist, and the state records, in
 * order, what each outstanding Persist will make durable. Every claim (a vote, an acknowledgement, the leader's own share
 * of a quorum) is derived from `durability.hardState` and `durability.index` only.
 */
import type { Turn } from "./turn.ts"
import { sameMember } from "./turn.ts"
import type { Log } from "./log.ts"
import { configurationsOf } from "./membership.ts"
import type { Entry, HardState, Index, LogBase, State } from "./types.ts"

export const appendToLog = (state: State, entries: readonly Entry[]): void => {
  state.log = state.log.append(entries)
  for (const entry of entries)
    if (entry.kind === "configuration")
      state.configurations.push({ index: entry.index, configuration: entry.configuration })
}

/**
 * Index and term do not identify a Persist: an entry that was overwritten and written again looks the same while the
 * overwrite is still queued. So a truncation caps both what is durable and what outstanding Persists will make durable.
 */
const voidFrom = (state: State, index: Index): void => {
  const { durability } = state
  durability.index = Math.min(durability.index, index - 1)
  for (const persist of durability.outstanding) persist.lastIndex = Math.min(persist.lastIndex, index - 1)
  if (index < durability.unsavedFrom) {
    durability.unsavedFrom = index
    durability.truncateFrom = Math.min(durability.truncateFrom ?? index, index)
  }
}

export const truncateLog = (state: State, index: Index): void => {
  state.log = state.log.truncateFrom(index)
  // When a configuration's entry is truncated, the configuration before it is in force again (paper §6).
  while (state.configurations.length > 1 && (state.configurations.at(-1)?.index ?? 0) >= index)
    state.configurations.pop()
  voidFrom(state, index)
}

/** From now on the log starts after `base`; later entries stay. */
export const trimLog = (state: State, base: LogBase): void => {
  state.log = state.log.trim(base)
  const kept = state.configurations.filter((known) => known.index > base.index)
  state.configurations = [{ index: base.index, configuration: base.configuration }, ...kept]
  state.durability.base = base
  state.durability.unsavedFrom = Math.max(state.durability.unsavedFrom, base.index + 1)
}

/** From now on the log is empty and starts after its base. */
export const replaceLog = (state: State, empty: Log): void => {
  voidFrom(state, state.log.base.index + 1)
  state.log = empty
  state.configurations = configurationsOf(empty.base, [])
  state.durability.base = empty.base
  state.durability.unsavedFrom = empty.base.index + 1
  state.durability.truncateFrom = empty.base.index + 1
}

export const onPersisted = (turn: Turn, seq: number): void => {
  const { durability } = turn.state
  const { outstanding } = durability
  for (let oldest = outstanding[0]; oldest !== undefined && oldest.seq <= seq; oldest = outstanding[0]) {
    durability.hardState = oldest.hardState
    durability.index = oldest.lastIndex
    outstanding.shift()
  }
}

/** Term and vote are written together, in one record with the entries of the same step. */
export const persistWhatChanged = (turn: Turn): void => {
  const { durability, currentTerm, votedFor, log } = turn.state
  const { queued } = durability
  const hardStateChanged = queued.term !== currentTerm || !sameMember(queued.vote, votedFor)
  const unsaved = durability.unsavedFrom <= log.lastIndex
  if (!hardStateChanged && !unsaved && durability.truncateFrom === null && durability.base === null) return
  const hardState: HardState = hardStateChanged ? { term: currentTerm, vote: votedFor } : queued
  const seq = durability.nextSeq
  turn.effects.push({
    type: "Persist",
    seq,
    hardState: hardStateChanged ? hardState : null,
    truncateFrom: durability.truncateFrom,
    entries: unsaved ? log.slice(durability.unsavedFrom, log.lastIndex, Number.POSITIVE_INFINITY) : [],
    base: durability.base,
  })
  durability.outstanding.push({ seq, hardState, lastIndex: log.lastIndex })
  durability.nextSeq = seq + 1
  durability.queued = hardState
  durability.unsavedFrom = log.lastIndex + 1
  durability.truncateFrom = null
  durability.base = null
}
