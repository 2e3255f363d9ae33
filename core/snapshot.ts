/**
 * Snapshots (paper §7): when the log is trimmed, who is sent a snapshot instead of entries, and how. The state machine's own
 * durable state is the node's snapshot; its bytes do not pass through the core. The receiving side: install.ts.
 */
import { trimLog } from "./durability.ts"
import { snapshotAgrees } from "./halt.ts"
import { configurationAt } from "./membership.ts"
import { recordRound, closeSentSnapshot, progressOf, replicateFrom } from "./progress.ts"
import { asLeader, note, send, type Turn } from "./turn.ts"
import type {
  AppendAccepted,
  Index,
  InstallSnapshotReply,
  Leader,
  LogBase,
  Member,
  Progress,
  SnapshotRef,
  State,
} from "./types.ts"

// ------------------------------------------------------------------------------------- the own snapshot

const snapshotOf = (progress: Progress): SnapshotRef | null =>
  progress.mode.type === "snapshot" ? progress.mode.snapshot : null

export const takeSnapshotPass = (turn: Turn): void => {
  const { state } = turn
  const { log, settings } = state
  if (state.snapshotting || state.restoring !== null || state.machine !== "ready") return
  if (log.bytesThrough(state.applied) - log.bytesThrough(state.snapshotIndex) <= settings.snapshotBytes) return
  note(turn, "snapshot.take")
  state.snapshotting = true
  turn.effects.push({ type: "TakeSnapshot" })
}

/** Keep trailing entries for slow followers: the lowest base whose trailing bytes are within the limit. */
const trimmingPoint = ({ log, settings }: State, through: Index): Index => {
  let low = log.base.index
  let high = through
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (log.bytesThrough(through) - log.bytesThrough(middle) <= settings.trailingLogBytes) high = middle
    else low = middle + 1
  }
  return high
}

/**
 * Transfers hold back trimming until the log is this many times `snapshotBytes`; then trimming no longer waits for
 * them.
 */
const TRANSFER_PATIENCE = 4

/** A follower that receives a snapshot needs the entries after it: if they were trimmed, it would need another snapshot, and so on for ever. */
const heldByTransfers = (state: State): Index => {
  const leader = asLeader(state)
  if (leader === null || state.log.bytes > TRANSFER_PATIENCE * state.settings.snapshotBytes)
    return Number.POSITIVE_INFINITY
  return Object.values(leader.progress).reduce<Index>(
    (least, progress) => Math.min(least, snapshotOf(progress)?.index ?? least),
    Number.POSITIVE_INFINITY,
  )
}

export const onSnapshotTaken = (turn: Turn, base: LogBase): void => {
  const { state } = turn
  if (!snapshotAgrees(turn, null, base)) return
  state.snapshotting = false
  state.snapshotIndex = Math.max(state.snapshotIndex, base.index)
  const through = Math.min(base.index, state.applied, state.durability.index, heldByTransfers(state))
  if (through <= state.log.base.index) {
    note(turn, "snapshot.stale")
    return
  }
  const index = trimmingPoint(state, through)
  const entry = state.log.entry(index)
  if (entry === undefined) return
  note(turn, "snapshot.trimmed")
  trimLog(state, {
    index,
    term: entry.term,
    time: entry.time,
    chain: entry.chain,
    configuration: configurationAt(state, index),
  })
  const leader = asLeader(state)
  for (const progress of leader === null ? [] : Object.values(leader.progress))
    if ((snapshotOf(progress)?.index ?? index) < index) retryTransferLater(turn, progress)
}

// --------------------------------------------------------------------------------------------- sending

/** From now on send a snapshot instead of entries. sendSnapshotsPass pins an image for it. */
const startTransfer = (turn: Turn, progress: Progress): void => {
  closeSentSnapshot(turn, progress)
  note(turn, "progress.snapshot")
  progress.mode = { type: "snapshot", snapshot: null, offset: 0, waiting: false, heartbeats: 0 }
}

/** The transfer failed: pin another image, but only after a while, to spare a disk that fails. */
const retryTransferLater = (turn: Turn, progress: Progress): void => {
  closeSentSnapshot(turn, progress)
  note(turn, "snapshot.failed")
  progress.mode = { type: "snapshot", snapshot: null, offset: 0, waiting: true, heartbeats: 0 }
}

/** After this many heartbeats without a reply a chunk is sent again, in case it or the reply was lost … */
const RESEND_AFTER = 10
/** … and after this many the image is released, because it holds back the trimming of the log. */
const GIVE_UP_AFTER = 50

/** The timeouts of a transfer are counted in heartbeats. */
export const countHeartbeat = (turn: Turn, progress: Progress): void => {
  const { mode } = progress
  if (mode.type !== "snapshot" || (!mode.waiting && mode.snapshot === null)) return
  mode.heartbeats += 1
  if (mode.heartbeats >= GIVE_UP_AFTER) retryTransferLater(turn, progress)
  else if (mode.heartbeats % RESEND_AFTER === 0) mode.waiting = false
}

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
  if (progress?.mode.type === "snapshot" && progress.mode.snapshot === null) retryTransferLater(turn, progress)
}

export const onInstallSnapshotReply = (turn: Turn, from: Member, message: InstallSnapshotReply): void => {
  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, from)
  if (leader === null || progress === undefined) return
  progress.active = true
  recordRound(leader, progress, message.round)
  const { mode } = progress
  if (mode.type !== "snapshot" || mode.snapshot === null || mode.snapshot.id !== message.id) return
  switch (message.status) {
    case "more":
      // The expected offset only grows, unless the follower lost all chunks and starts over; a reply with any other
      // offset is an old one.
      if (message.nextOffset <= mode.offset && !(message.nextOffset === 0 && mode.offset > 0)) break
      mode.offset = message.nextOffset
      mode.waiting = false
      mode.heartbeats = 0
      break
    case "installed":
      progress.matchIndex = Math.max(progress.matchIndex, mode.snapshot.index)
      progress.condition = "ready"
      replicateFrom(turn, progress, progress.matchIndex + 1)
      break
    case "failed":
      retryTransferLater(turn, progress)
      break
  }
}

/** The follower's next entry was trimmed, or it has reported that its state machine is lost. */
const needsSnapshot = (
  { log, applied }: State,
  leader: Leader,
  { mode, nextIndex, condition, active }: Progress,
): boolean => {
  if (mode.type === "snapshot") return false
  if (nextIndex <= log.base.index) return true
  // Until this leader has executed its own no-op, its state machine may be behind the follower's log, and the follower's
  // acknowledgements may be needed to commit that no-op.
  return condition === "rebuild" && active && applied >= leader.termStart
}

/**
 * An acknowledgement during a transfer. Only what the follower itself reports ends the transfer: if the follower holds
 * everything that was trimmed here, entries suffice; if it holds the snapshot, but the log was meanwhile trimmed past it, it
 * needs a newer one.
 */
export const onAcceptedInTransfer = (
  turn: Turn,
  progress: Progress,
  { matchIndex, verifiedIndex }: AppendAccepted,
): void => {
  const sent = snapshotOf(progress)
  if (progress.condition === "rebuild" || matchIndex < (sent?.index ?? 0)) return
  if (matchIndex >= turn.state.log.base.index) replicateFrom(turn, progress, verifiedIndex + 1)
  else if (sent !== null) startTransfer(turn, progress)
}

const sendChunk = (turn: Turn, leader: Leader, progress: Progress): void => {
  const { mode, member } = progress
  // An image is pinned only for a follower that is responding.
  if (mode.type !== "snapshot" || mode.waiting || (mode.snapshot === null && !progress.active)) return
  mode.waiting = true
  const { snapshot, offset } = mode
  if (snapshot === null) turn.effects.push({ type: "OpenSnapshot", to: member })
  // The interpreter fills in the bytes at `offset`, their length, and whether they are the last.
  else
    send(turn, member, {
      type: "InstallSnapshot",
      term: turn.state.currentTerm,
      snapshot,
      offset,
      length: 0,
      last: false,
      round: leader.round,
    })
}

/** Send snapshots chunk by chunk, each once the one before it was acknowledged. */
export const sendSnapshotsPass = (turn: Turn): void => {
  const leader = asLeader(turn.state)
  if (leader === null) return
  for (const name in leader.progress) {
    const progress = leader.progress[name]
    if (progress === undefined) continue
    if (needsSnapshot(turn.state, leader, progress)) startTransfer(turn, progress)
    sendChunk(turn, leader, progress)
  }
}
