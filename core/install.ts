/**
 * Installing a snapshot (paper §7): a follower stores the chunks one after the other, has the state machine replaced by
 * them, and starts its log after the snapshot. The bytes do not pass through the core.
 */
import { replaceLog, trimLog } from "./durability.ts"
import { snapshotAgrees } from "./halt.ts"
import { Log } from "./log.ts"
import { followLeader } from "./roles.ts"
import { asFollower, note, send, type Turn } from "./turn.ts"
import type { InstallSnapshot, InstallSnapshotReply, LogBase, Member, SnapshotRef, State } from "./types.ts"

const answer = (turn: Turn, id: string, status: InstallSnapshotReply["status"], nextOffset: number): void => {
  const follower = asFollower(turn.state)
  if (follower === null || follower.leader === null) return
  const { currentTerm: term } = turn.state
  send(turn, follower.leader, { type: "InstallSnapshotReply", term, id, round: follower.round, status, nextOffset })
}

/** A snapshot behind the commit index must change nothing; a lost state machine accepts any that the log continues. */
const isUseful = (state: State, snapshot: SnapshotRef): boolean =>
  state.machine === "ready" ? snapshot.index > state.commitIndex : snapshot.index >= state.log.base.index

export const onInstallSnapshot = (turn: Turn, from: Member, message: InstallSnapshot): void => {
  const { state } = turn
  const follower = followLeader(turn, from)
  if (follower === null) return
  follower.round = Math.max(follower.round, message.round)
  const { snapshot, offset, last } = message
  if (!snapshotAgrees(turn, from, snapshot)) return
  if (state.restoring !== null || follower.install?.phase === "installed") return
  if (!isUseful(state, snapshot)) {
    note(turn, "snapshot.stale")
    // A late chunk of an old snapshot must not stop the transfer of another one.
    if (follower.install?.snapshot.id === snapshot.id) follower.install = null
    if (state.machine === "ready") follower.reply = "accept"
    else answer(turn, snapshot.id, "failed", 0)
    return
  }
  if (follower.install?.snapshot.id !== snapshot.id) {
    if (offset !== 0) {
      answer(turn, snapshot.id, "more", 0)
      return
    }
    follower.install = { snapshot, nextOffset: 0, phase: "receiving" }
  }
  const { install } = follower
  // A duplicate chunk is neither stored twice nor a reason to start over.
  if (install.phase !== "receiving") return
  if (offset !== install.nextOffset) {
    answer(turn, snapshot.id, "more", install.nextOffset)
    return
  }
  note(turn, "snapshot.chunk")
  install.phase = "storing"
  turn.effects.push({ type: "StoreChunk", snapshot, offset, last })
}

export const onChunkStored = (turn: Turn, id: string, nextOffset: number, last: boolean): void => {
  const install = asFollower(turn.state)?.install ?? null
  if (install === null || install.snapshot.id !== id || install.phase !== "storing") return
  install.nextOffset = nextOffset
  install.phase = last ? "complete" : "receiving"
  if (!last) answer(turn, id, "more", nextOffset)
}

/** Restores once the state machine is idle: it must not be replaced while it executes. */
export const restorePass = (turn: Turn): void => {
  const { state } = turn
  const follower = asFollower(state)
  if (follower?.install?.phase === "complete" && !isUseful(state, follower.install.snapshot)) {
    // The log has overtaken the snapshot while the chunks were arriving.
    note(turn, "snapshot.stale")
    follower.install = null
    follower.reply = "accept"
  }
  const install = follower?.install ?? null
  if (
    install?.phase === "complete" &&
    state.restoring === null &&
    (state.applying === state.applied || state.machine === "rebuild")
  ) {
    install.phase = "restoring"
    state.restoring = install.snapshot.id
    turn.effects.push({ type: "RestoreSnapshot", snapshot: install.snapshot })
  }
  // The reply claims that the snapshot, and the log that starts after it, would survive a crash.
  if (
    install?.phase === "installed" &&
    state.durability.index >= install.snapshot.index &&
    state.durability.hardState.term === state.currentTerm
  ) {
    answer(turn, install.snapshot.id, "installed", 0)
    if (follower !== null) follower.install = null
  }
}

export const onSnapshotRejected = (turn: Turn, id: string): void => {
  const { state } = turn
  note(turn, "snapshot.failed")
  if (state.restoring === id) state.restoring = null
  const follower = asFollower(state)
  if (follower === null || follower.install?.snapshot.id !== id) return
  follower.install = null
  answer(turn, id, "failed", 0)
}

/**
 * "If existing log entry has same index and term as snapshot's last included entry, retain log entries following it",
 * otherwise "discard the entire log", Figure 13. Also used at start, by a node that crashed between restoring the
 * snapshot and this step.
 */
export const installBase = (turn: Turn, base: LogBase): void => {
  const { state } = turn
  if (base.index <= state.log.base.index) return
  if (state.log.termAt(base.index) === base.term && state.log.chainAt(base.index) === base.chain) {
    note(turn, "snapshot.tailKept")
    trimLog(state, base)
  } else {
    note(turn, "snapshot.logDropped")
    replaceLog(state, Log.empty(base))
  }
}

export const onSnapshotRestored = (turn: Turn, snapshot: SnapshotRef): void => {
  const { state } = turn
  if (!snapshotAgrees(turn, null, snapshot)) return
  note(turn, "snapshot.installed")
  state.restoring = null
  state.machine = "ready"
  state.applied = snapshot.index
  state.applying = snapshot.index
  state.commitIndex = Math.max(state.commitIndex, snapshot.index)
  state.snapshotIndex = Math.max(state.snapshotIndex, snapshot.index)
  const { index, term, time, chain, configuration } = snapshot
  installBase(turn, { index, term, time, chain, configuration })
  const follower = asFollower(state)
  if (follower === null) return
  follower.verified = Math.max(follower.verified, snapshot.index)
  if (follower.install?.snapshot.id === snapshot.id) follower.install.phase = "installed"
}
