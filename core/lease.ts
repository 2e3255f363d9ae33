/**
 * Leases (thesis §6.4.1), an option: a server that answered a round refuses its vote for the minimum election timeout.
 * So from the sending of a round that a quorum has answered, for that time less what clocks may differ, nobody else
 * can have been elected, and what is committed here is all that is committed.
 *
 * A lease has three ends: its time is over (onLeaseTimeout), a successor is told to campaign (barLease), or the leader's
 * role ends (dropLease).
 */
import { asLeader, note, type Turn } from "./turn.ts"
import type { Leader, State } from "./types.ts"

/** The commit index is current, and will be for as long as this batch lasts. */
export const holdsLease = (state: State, leader: Leader): boolean => leader.lease === "held" && state.commitIndex >= leader.termStart

/** A successor was told to campaign whatever its voters promised: no lease for the rest of the term. */
export const barLease = (turn: Turn, leader: Leader): void => {
  leader.lease = "barred"
  turn.effects.push({ type: "CancelTimer", timer: "lease" })
}

/** The lease is part of the role, and goes with it; nothing is left but its timer. */
export const dropLease = (turn: Turn): void => {
  turn.effects.push({ type: "CancelTimer", timer: "lease" })
}

export const onLeaseTimeout = (turn: Turn): void => {
  const leader = asLeader(turn.state)
  if (leader === null || leader.lease !== "held") return
  note(turn, "lease.over")
  leader.lease = "none"
}

/**
 * The last thing in a batch: the lease serves from the next batch on, before which the interpreter tells if it is over
 * already.
 */
export const leasePass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (!state.settings.leaseReads || leader === null || leader.lease === "barred" || leader.leasedRound >= leader.confirmedRound) return
  leader.leasedRound = leader.confirmedRound
  leader.lease = "held"
  const { electionMin, maxClockDriftPermille } = state.settings
  const length = Math.floor((electionMin * (1000 - maxClockDriftPermille)) / 1000)
  turn.effects.push({ type: "SetTimer", timer: "lease", min: length, max: length, since: leader.confirmedRound })
}
