/**
 * Snapshots (paper §7). The state machine's own durable state is the node's snapshot; its bytes never come here. The
 * core decides when the log is trimmed, who needs a snapshot, and what installing one means for the log.
 */
import { replaceLog, trimLog } from "./durability.ts"
import { snapshotAgrees } from "./halt.ts"
import { Log } from "./log.ts"
import { configurationAt } from "./membership.ts"
import { answered, progressOf, replicateFrom, retrySnapshotLater, snapshotOf } from "./progress.ts"
import { followLeader } from "./roles.ts"
import { handOver } from "./transfer.ts"
import { asFollower, asLeader, note, send, type Turn } from "./turn.ts"
import type { Index, InstallSnapshot, InstallSnapshotReply, LogBase, Member, SnapshotRef, State } from "./types.ts"

// ------------------------------------------------------------------------------------- the own snapshot

export const takeSnapshotPass = (turn: Turn): void => {
  const { state } = turn
  const { log, settings } = state
  if (state.snapshotting || state.restoring !== null || state.machine !== "ready") return
  if (log.bytesThrough(state.applied) - log.bytesThrough(state.snapshotIndex) <= settings.snapshotBytes) return
  note(turn, "snapshot.take")
  state.snapshotting = true
  turn.effects.push({ type: "TakeSnapshot" })
}

/** Keep a tail for slow followers: the oldest base whose tail fits. */
const trimmingPoint = ({ log, settings }: State, through: Index): Index => {
  let low = log.base.index
  let high = through
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (log.bytesThrough(through) - log.bytesThrough(middle) <= settings.tailBytes) high = middle
    else low = middle + 1
  }
  return high
}

/** A log trimmed this many times later than it could be: then a follower in a transfer is given up on. */
const TRANSFER_PATIENCE = 4

/** Whoever is receiving a snapshot goes on from there: trimmed past that, it would be sent another one for ever. */
const neededBySnapshots = (state: State): Index => {
  const leader = asLeader(state)
  if (leader === null || state.log.bytes > TRANSFER_PATIENCE * state.settings.snapshotBytes) return Number.POSITIVE_INFINITY
  return Object.values(leader.progress).reduce<Index>((least, progress) => Math.min(least, snapshotOf(progress)?.index ?? least), Number.POSITIVE_INFINITY)
}

export const onSnapshotTaken = (turn: Turn, base: LogBase): void => {
  const { state } = turn
  if (!snapshotAgrees(turn, null, base)) return
  state.snapshotting = false
  state.snapshotIndex = Math.max(state.snapshotIndex, base.index)
  const through = Math.min(base.index, state.applied, state.durability.index, neededBySnapshots(state))
  if (through <= state.log.base.index) {
    note(turn, "snapshot.stale")
    return
  }
  const index = trimmingPoint(state, through)
  const entry = state.log.entry(index)
  if (entry === undefined) return
  note(turn, "snapshot.trimmed")
  trimLog(state, { index, term: entry.term, time: entry.time, chain: entry.chain, configuration: configurationAt(state, index) })
  const leader = asLeader(state)
  for (const progress of leader === null ? [] : Object.values(leader.progress))
    if ((snapshotOf(progress)?.index ?? index) < index) retrySnapshotLater(turn, progress)
}

// --------------------------------------------------------------------------------------------- sending

export const onSnapshotOpened = (turn: Turn, to: Member, snapshot: SnapshotRef): void => {
  const { state } = turn
  const leader = asLeader(state)
  const progress = leader === null ? undefined : progressOf(leader, to)
  const mode = progress?.mode
  const wanted = mode?.type === "snapshot" && mode.snapshot === null
  if (!wanted || snapshot.index < state.log.base.index) {
    turn.effects.push({ type: "CloseSnapshot", id: snapshot.id })
    if (wanted) mode.waiting = false
    return
  }
  mode.snapshot = snapshot
  mode.offset = 0
  mode.waiting = false
}

export const onSnapshotOpenFailed = (turn: Turn, to: Member): void => {
  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, to)
  if (progress?.mode.type === "snapshot" && progress.mode.snapshot === null) retrySnapshotLater(turn, progress)
}

export const onInstallSnapshotReply = (turn: Turn, from: Member, message: InstallSnapshotReply): void => {
  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, from)
  if (leader === null || progress === undefined) return
  progress.active = true
  answered(leader, progress, message.round)
  const { mode } = progress
  if (mode.type !== "snapshot" || mode.snapshot === null || mode.snapshot.id !== message.id) return
  switch (message.status) {
    case "more":
      // What a follower expects only grows, but that one which lost all of it starts over; the rest is an old answer.
      if (message.nextOffset <= mode.offset && !(message.nextOffset === 0 && mode.offset > 0)) break
      mode.offset = message.nextOffset
      mode.waiting = false
      mode.heartbeats = 0
      break
    case "installed":
      progress.matchIndex = Math.max(progress.matchIndex, mode.snapshot.index)
      replicateFrom(turn, progress, progress.matchIndex + 1)
      break
    case "failed":
      retrySnapshotLater(turn, progress)
      break
  }
}

// ------------------------------------------------------------------------------------------- receiving

const answer = (turn: Turn, id: string, status: InstallSnapshotReply["status"], nextOffset: number): void => {
  const follower = asFollower(turn.state)
  if (follower === null || follower.leader === null) return
  const { currentTerm: term } = turn.state
  send(turn, follower.leader, { type: "InstallSnapshotReply", term, id, round: follower.round, status, nextOffset })
}

/** Behind what is held already, it must change nothing; a lost state machine takes any that the log continues. */
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
    // A late chunk says nothing about another snapshot whose chunks are coming in.
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
  // A chunk that comes twice is neither stored twice nor a reason to start over.
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

/** The state machine must be idle before it is replaced. */
export const restorePass = (turn: Turn): void => {
  const { state } = turn
  const follower = asFollower(state)
  if (follower?.install?.phase === "complete" && !isUseful(state, follower.install.snapshot)) {
    // The log went on past it while its chunks came.
    note(turn, "snapshot.stale")
    follower.install = null
    follower.reply = "accept"
  }
  const install = follower?.install ?? null
  if (install?.phase === "complete" && state.restoring === null && (state.applying === state.applied || state.machine === "rebuild")) {
    install.phase = "restoring"
    state.restoring = install.snapshot.id
    turn.effects.push({ type: "RestoreSnapshot", snapshot: install.snapshot })
  }
  // Paper §7: the answer says that the snapshot, and the log that starts after it, would survive a crash.
  if (install?.phase === "installed" && state.durability.index >= install.snapshot.index && state.durability.hardState.term === state.currentTerm) {
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
 * otherwise "discard the entire log", Figure 13. Also how a node that crashed in between finds its way at start.
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

/** A leader without a state machine can serve nobody: it hands over and is rebuilt as a follower. */
export const onMachineDamaged = (turn: Turn): void => {
  const { state } = turn
  note(turn, "machine.damaged")
  state.machine = "rebuild"
  handOver(turn)
}
