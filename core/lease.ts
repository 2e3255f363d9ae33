/**
 * Leases (thesis §6.4.1), off by default. A server that has answered a round refuses its vote for the minimum election
 * timeout. So for that time, counted from the sending of a round that a quorum has answered and reduced by the
 * permitted clock drift, no other leader can have been elected, and this leader's commit index is current.
 *
 * A lease ends in one of three ways: it expires (onLeaseTimeout), a successor is told to campaign (barLease), or the
 * leader steps down (dropLease).
 */
import { asLeader, note, type Turn } from "./turn.ts"
import type { Leader, State } from "./types.ts"

/** True if the commit index is current, and stays current for the rest of this batch. */
export const holdsLease = (state: State, leader: Leader): boolean =>
  leader.lease === "held" && state.commitIndex >= leader.termStart

/** A successor was told to campaign, and voters will vote for it at any time: no lease for the rest of the term. */
export const barLease = (turn: Turn, leader: Leader): void => {
  leader.lease = "barred"
  turn.effects.push({ type: "CancelTimer", timer: "lease" })
}

/** The lease is part of the role and ends with it; only its timer must be cancelled. */
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
 * Runs late among the passes: the lease serves from the next batch on, and if it has expired by then the interpreter
 * reports that before anything else.
 */
export const leasePass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (
    !state.settings.leaseReads ||
    leader === null ||
    leader.lease === "barred" ||
    leader.leasedRound >= leader.confirmedRound
  )
    return
  leader.leasedRound = leader.confirmedRound
  leader.lease = "held"
  const { electionMin, maxClockDriftPermille } = state.settings
  const length = Math.floor((electionMin * (1000 - maxClockDriftPermille)) / 1000)
  turn.effects.push({ type: "SetTimer", timer: "lease", min: length, max: length, since: leader.confirmedRound })
}
