/** Leadership transfer (thesis §3.10), also when the leader's disk hangs. */
import { configurationOf, isVoter } from "./membership.ts"
import { progressOf } from "./progress.ts"
import { bar } from "./lease.ts"
import { becomeFollower } from "./roles.ts"
import { asFollower, asLeader, note, send, type Turn } from "./turn.ts"
import type { Leader, Member, Progress, State } from "./types.ts"

/** The voter with a state machine that has most of the log, and was heard of lately if any was. */
const bestTarget = (state: State, leader: Leader): Progress | undefined => {
  const voters = Object.values(leader.progress).filter((progress) => progress.condition === "ready" && isVoter(configurationOf(state), progress.member))
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
  const target = to === null ? bestTarget(state, leader) : progressOf(leader, to)
  if (target === undefined || !isVoter(configurationOf(state), target.member)) return
  note(turn, "transfer.started")
  leader.transfer = { to: target.member, sent: false }
  turn.effects.push({ type: "SetTimer", timer: "transfer", min: state.settings.electionMin, max: state.settings.electionMin })
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
  // Its log was needed, perhaps; but it can answer no read and apply nothing.
  if (leader !== null && state.machine === "rebuild" && leader.transfer === null && bestTarget(state, leader)?.active === true) {
    note(turn, "transfer.machineLost")
    onTransferRequested(turn, null)
  }
  if (leader === null || leader.transfer === null || leader.transfer.sent) return
  const { to } = leader.transfer
  if ((progressOf(leader, to)?.matchIndex ?? 0) < state.log.lastIndex) return
  note(turn, "transfer.timeoutNow")
  leader.transfer = { to, sent: true }
  // Its voters may elect it at any time from now on.
  bar(turn, leader)
  send(turn, to, { type: "TimeoutNow", term: state.currentTerm })
}

/** Others may have room. Only the change hands over, so that two full servers do not toss leadership about. */
export const onSpaceChanged = (turn: Turn, low: boolean): void => {
  const { state } = turn
  state.spaceLow = low
  // Its leader is told at once: what is sent in the meantime can be committed by nobody.
  const follower = asFollower(state)
  if (follower !== null) follower.reply ??= "accept"
  const leader = asLeader(state)
  if (low) onTransferRequested(turn, null)
  else if (leader?.transfer?.sent === false) leader.transfer = null
}

/** Give up leadership at once, and name a successor if there is one. */
export const handOver = (turn: Turn): boolean => {
  const { state } = turn
  const leader = asLeader(state)
  const target = leader === null ? undefined : bestTarget(state, leader)
  if (target === undefined) return false
  send(turn, target.member, { type: "TimeoutNow", term: state.currentTerm })
  becomeFollower(turn, null)
  return true
}

/** Watch the oldest Persist of a leader; the timer runs on lazily and is never cancelled for a single one. */
export const watchPersistPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  const oldest = state.durability.outstanding[0]
  if (leader === null || leader.watchedPersist !== null || oldest === undefined) return
  leader.watchedPersist = oldest.seq
  turn.effects.push({ type: "SetTimer", timer: "persist", min: state.settings.persistStall, max: state.settings.persistStall })
}

export const onPersistTimeout = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null) return
  const stalled = leader.watchedPersist !== null && state.durability.outstanding[0]?.seq === leader.watchedPersist
  leader.watchedPersist = null
  if (!stalled) return
  note(turn, "persist.stalled")
  handOver(turn)
}
