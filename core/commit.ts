/** Commitment (paper §5.3, §5.4.2) and delivery to the state machine. */
import { configurationOf } from "./membership.ts"
import { quorumValue } from "./quorum.ts"
import { progressOf } from "./progress.ts"
import { asLeader, note, sameMember, type Turn } from "./turn.ts"
import type { Index } from "./types.ts"

/**
 * "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and log[N].term == currentTerm: set
 * commitIndex = N", Figure 2. For the leader itself, what its disk holds counts, not what its log in memory holds.
 *
 * Why the term must be the current one: Figure 8. An entry of an earlier term may be stored on a majority and still be
 * overwritten by a leader that never saw it. It is committed together with a later entry of the current term; the first
 * such entry is the no-op that opens the term (becomeLeader).
 */
export const commitPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || state.commitIndex === state.log.lastIndex) return
  const stored = quorumValue(configurationOf(state), (member) =>
    sameMember(member, state.self) ? state.durability.index : (progressOf(leader, member)?.matchIndex ?? 0),
  )
  if (stored <= state.commitIndex) return
  if (state.log.termAt(stored) !== state.currentTerm) {
    note(turn, "commit.earlierTerm")
    return
  }
  note(turn, "commit.advanced")
  state.commitIndex = stored
}

/**
 * "If commitIndex > lastApplied: apply", Figure 2. One batch at a time, and only entries that this node's disk holds, so
 * that after a crash the state machine is never ahead of the log.
 */
export const applyPass = (turn: Turn): void => {
  const { state } = turn
  if (state.machine !== "ready" || state.restoring !== null || state.applying !== state.applied) return
  const through = Math.min(state.commitIndex, state.durability.index)
  if (through <= state.applied) return
  const entries = state.log.slice(state.applied + 1, through, state.settings.maxApplyBytes)
  if (entries.length === 0) return
  state.applying = state.applied + entries.length
  turn.effects.push({ type: "Apply", entries })
}

export const onApplied = (turn: Turn, index: Index): void => {
  turn.state.applied = Math.max(turn.state.applied, index)
}
