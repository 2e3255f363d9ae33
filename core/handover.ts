/**
 * A leader that cannot do its work gives leadership away: its disk hangs, it has no space, or its state machine is lost.
 * None of these is in the paper; each would leave the cluster with a leader that answers heartbeats and nothing else.
 */
import { becomeFollower } from "./roles.ts"
import { bestTarget, onTransferRequested } from "./transfer.ts"
import { asFollower, asLeader, note, send, type Turn } from "./turn.ts"

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

// --------------------------------------------------------------------------------------------- no space

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

// ------------------------------------------------------------------------------------- a disk that hangs

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

// ------------------------------------------------------------------------------ a state machine that is lost

/** A leader without a state machine can serve nobody: it hands over and is rebuilt as a follower. */
export const onMachineDamaged = (turn: Turn): void => {
  const { state } = turn
  note(turn, "machine.damaged")
  state.machine = "rebuild"
  handOver(turn)
}

/** One that was elected without a state machine, since its log was needed: it can answer no read and apply nothing. */
export const machineLostPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || state.machine === "ready" || leader.transfer !== null || bestTarget(state, leader)?.active !== true) return
  note(turn, "transfer.machineLost")
  onTransferRequested(turn, null)
}
