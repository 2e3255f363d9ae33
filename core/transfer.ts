/** Leadership transfer (thesis §3.10): the leader brings a voter up to date and tells it to campaign. */
import { campaign } from "./election.ts"
import { configurationOf, isVoter } from "./membership.ts"
import { progressOf } from "./progress.ts"
import { barLease } from "./lease.ts"
import { asLeader, note, send, type Turn } from "./turn.ts"
import type { Leader, Member, Progress, State } from "./types.ts"

/** The voter with a working state machine and the longest matching log, preferably one that has answered lately. */
export const bestTransferTarget = (state: State, leader: Leader): Progress | undefined => {
  const voters = Object.values(leader.progress).filter(
    (progress) => progress.condition === "ready" && isVoter(configurationOf(state), progress.member),
  )
  const lively = voters.filter((progress) => progress.active || progress.round >= leader.round - 2)
  return (lively.length > 0 ? lively : voters).reduce<Progress | undefined>(
    (best, progress) => (best === undefined || progress.matchIndex > best.matchIndex ? progress : best),
    undefined,
  )
}

export const onTransferRequested = (turn: Turn, to: Member | null): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || leader.transfer !== null) return
  const target = to === null ? bestTransferTarget(state, leader) : progressOf(leader, to)
  if (target === undefined || !isVoter(configurationOf(state), target.member)) return
  note(turn, "transfer.started")
  leader.transfer = { to: target.member, sent: false }
  turn.effects.push({
    type: "SetTimer",
    timer: "transfer",
    min: state.settings.electionMin,
    max: state.settings.electionMin,
  })
}

export const onTransferTimeout = (turn: Turn): void => {
  const leader = asLeader(turn.state)
  if (leader === null || leader.transfer === null) return
  note(turn, "transfer.gaveUp")
  leader.transfer = null
}

export const transferPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || leader.transfer === null || leader.transfer.sent) return
  const { to } = leader.transfer
  if ((progressOf(leader, to)?.matchIndex ?? 0) < state.log.lastIndex) return
  note(turn, "transfer.timeoutNow")
  leader.transfer = { to, sent: true }
  // From now on the target may be elected at any time.
  barLease(turn, leader)
  send(turn, to, { type: "TimeoutNow", term: state.currentTerm })
}

/** At the target: "start a new election … without waiting for its election timeout", and without pre-votes. */
export const onTimeoutNow = (turn: Turn): void => {
  if (turn.state.role.type === "follower") campaign(turn, true)
}
