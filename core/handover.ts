/**
 * A leader that cannot do its work hands leadership over: its disk stalls, it has no space, or its state machine is lost.
 * None of these is in the paper; each would leave the cluster with a leader that sends heartbeats and does nothing else.
 */
import { becomeFollower } from "./roles.ts"
import { bestTransferTarget, onTransferRequested } from "./transfer.ts"
import { asFollower, asLeader, note, send, type Turn } from "./turn.ts"

/**
 * Step down at once and let a successor campaign. If there is no successor, nothing is done and the result is false.
 */
export const handOver = (turn: Turn): boolean => {
  const { state } = turn
  const leader = asLeader(state)
  const target = leader === null ? undefined : bestTransferTarget(state, leader)
  if (target === undefined) return false
  send(turn, target.member, { type: "TimeoutNow", term: state.currentTerm })
  becomeFollower(turn, null)
  return true
}

// --------------------------------------------------------------------------------------------- no space

/** A leader whose disk becomes full hands over (`unfitLeaderPass`): other servers may have room. */
export const onSpaceChanged = (turn: Turn, low: boolean): void => {
  const { state } = turn
  state.spaceLow = low
  // A follower reports this to the leader at once, so that it stops sending entries that no quorum can store.
  const follower = asFollower(state)
  if (follower !== null) follower.reply ??= "accept"
  const leader = asLeader(state)
  if (!low && leader?.transfer?.sent === false) leader.transfer = null
}

// ------------------------------------------------------------------------------------- a disk that hangs

/** Watch a leader's oldest outstanding Persist. To save work the timer is not restarted for each Persist. */
export const watchPersistPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  const oldest = state.durability.outstanding[0]
  if (leader === null || leader.watchedPersist !== null || oldest === undefined) return
  leader.watchedPersist = oldest.seq
  turn.effects.push({
    type: "SetTimer",
    timer: "persist",
    min: state.settings.diskStallTimeout,
    max: state.settings.diskStallTimeout,
  })
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

/** A leader without a state machine cannot serve clients: it hands over, and is rebuilt as a follower. */
export const onMachineDamaged = (turn: Turn): void => {
  const { state } = turn
  note(turn, "machine.damaged")
  state.machine = "rebuild"
  handOver(turn)
}

/**
 * A server without a state machine may be elected because its log is needed. It cannot serve reads, so it hands over
 * soon. So does a leader whose space ran low, and it tries again if the voter that it chose did not take over. Voters
 * that are full tell so and are not chosen: leadership is not passed back and forth.
 */
export const unfitLeaderPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (
    leader === null ||
    (state.machine === "ready" && !state.spaceLow) ||
    leader.transfer !== null ||
    bestTransferTarget(state, leader)?.active !== true
  )
    return
  note(turn, state.spaceLow ? "transfer.spaceLow" : "transfer.machineLost")
  onTransferRequested(turn, null)
}
