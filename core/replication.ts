/** Log replication (paper §5.3): followers append the leader's entries; the leader sends each follower what it lacks. */
import { receiveFollowerClock, receiveLeaderTime, replicatedTime } from "./clock.ts"
import { appendToLog, truncateLog } from "./durability.ts"
import { appendAgrees } from "./halt.ts"
import type { Log } from "./log.ts"
import { recordRound, probeFrom, progressOf, releaseInflight, replicateFrom, isWindowOpen } from "./progress.ts"
import { followLeader } from "./roles.ts"
import { countHeartbeat, onAcceptedInTransfer } from "./snapshot.ts"
import { asFollower, asLeader, note, send, type Turn } from "./turn.ts"
import type {
  AppendAccepted,
  AppendEntries,
  AppendRejected,
  Condition,
  Entry,
  Follower,
  Index,
  Leader,
  Member,
  Progress,
  State,
  Term,
} from "./types.ts"

// -------------------------------------------------------------------------------------------- followers

/** The first entry of `term`, which is the term at `index`. Terms never decrease along a log, so binary search works. */
const firstOfTerm = (log: Log, index: Index, term: Term): Index => {
  let low = log.base.index + 1
  let high = index
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if ((log.termAt(middle) ?? 0) < term) low = middle + 1
    else high = middle
  }
  return high
}

const rejectionAt = (state: State, prevLogIndex: Index): Exclude<Follower["reply"], string | null> => {
  const { log, commitIndex } = state
  const conflictTerm = log.termAt(prevLogIndex)
  if (conflictTerm === undefined) return { prevLogIndex, conflictTerm: 0, conflictIndex: log.lastIndex + 1 }
  return {
    prevLogIndex,
    conflictTerm,
    conflictIndex: Math.max(firstOfTerm(log, prevLogIndex, conflictTerm), commitIndex + 1),
  }
}

/**
 * "If an existing entry conflicts with a new one (same index but different terms), delete the existing entry and all
 * that follow it. Append any new entries not already in the log", Figure 2. Only a conflict truncates: a request that
 * arrives late must not remove entries that a later request brought.
 */
const appendNew = (turn: Turn, entries: readonly Entry[]): void => {
  const { state } = turn
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]
    if (entry === undefined || entry.index <= state.log.base.index) continue
    const here = state.log.termAt(entry.index)
    if (here === entry.term) continue
    if (here !== undefined) {
      note(turn, "append.truncated")
      truncateLog(state, entry.index)
    }
    appendToLog(state, entries.slice(i))
    return
  }
}

export const onAppendEntries = (turn: Turn, from: Member, message: AppendEntries): void => {
  const { state } = turn
  const follower = followLeader(turn, from)
  if (follower === null) return
  const { prevLogIndex, prevLogTerm, entries, leaderCommit, round } = message
  if (!appendAgrees(turn, from, message)) return
  follower.round = Math.max(follower.round, round)
  receiveLeaderTime(state, follower, message.time, message.settled)
  // Entries of earlier terms and this term's no-op are accepted even when space is low: without them no leader could
  // serve a read.
  if (state.spaceLow && entries.some((entry) => entry.kind === "command" && entry.term === state.currentTerm)) {
    note(turn, "append.refused.spaceLow")
    follower.reply = "accept"
    return
  }
  // Entries before the base are committed, so they agree with every leader's.
  if (prevLogIndex >= state.log.base.index && state.log.termAt(prevLogIndex) !== prevLogTerm) {
    note(turn, "append.rejected")
    follower.reply = rejectionAt(state, prevLogIndex)
    return
  }
  if (entries.length > 0) {
    note(turn, "append.accepted")
    appendNew(turn, entries)
  }
  const through = prevLogIndex + entries.length
  follower.verified = Math.max(follower.verified, through)
  // A request that brought nothing new is answered too: the first reply may have been lost.
  if (entries.length > 0 && through <= state.durability.index) follower.reply = "accept"
  // "set commitIndex = min(leaderCommit, index of last new entry)", Figure 2: never past what is known to agree.
  const commit = Math.min(leaderCommit, follower.verified)
  if (commit > state.commitIndex) {
    note(turn, "commit.learned")
    state.commitIndex = commit
  }
}

const conditionOf = (state: State): Condition => (state.spaceLow ? "full" : state.machine)

/** An acknowledgement claims only entries, and a term, that would survive a crash. */
export const acknowledgePass = (turn: Turn): void => {
  const { state } = turn
  const follower = asFollower(state)
  if (follower === null || follower.leader === null) return
  const { durability, currentTerm: term } = state
  if (durability.hardState.term !== term) return
  const { leader, reply, round, verified } = follower
  const matchIndex = Math.min(verified, durability.index)
  if (reply !== null && reply !== "accept") send(turn, leader, { type: "AppendRejected", term, ...reply, round })
  else if (reply === "accept" || matchIndex > follower.reportedMatch || round > follower.reportedRound) {
    send(turn, leader, {
      type: "AppendAccepted",
      term,
      verifiedIndex: verified,
      verifiedChain: state.log.chainAt(verified) ?? 0,
      matchIndex,
      round,
      condition: conditionOf(state),
      wall: state.clock.wall,
      leaderTime: follower.leaderTime,
    })
    follower.reportedMatch = matchIndex
  } else return
  follower.reply = null
  follower.reportedRound = round
}

// ----------------------------------------------------------------------------------------------- leader

const replyFrom = (turn: Turn, from: Member, round: number): Progress | null => {
  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, from)
  if (leader === null || progress === undefined) return null
  progress.active = true
  recordRound(leader, progress, round)
  return progress
}

export const onAppendAccepted = (turn: Turn, from: Member, message: AppendAccepted): void => {
  const { state } = turn
  const progress = replyFrom(turn, from, message.round)
  const leader = asLeader(state)
  if (leader === null || progress === null) return
  const { log } = state
  const { verifiedIndex, verifiedChain } = message
  if (verifiedIndex > log.lastIndex || (log.chainAt(verifiedIndex) ?? verifiedChain) !== verifiedChain) {
    // The follower has committed more than this log holds, or something else. That must not count. An append at exactly
    // this index makes the follower notice, at the latest with the no-op of this term, which only this leader can have
    // sent.
    note(turn, "progress.diverged")
    probeFrom(turn, progress, Math.min(verifiedIndex, log.lastIndex) + 1)
    return
  }
  receiveFollowerClock(turn, leader, progress, message.wall, message.leaderTime)
  // "If successful: update nextIndex and matchIndex for follower", Figure 2. Late replies never move them back.
  progress.matchIndex = Math.max(progress.matchIndex, message.matchIndex)
  if (message.round >= progress.round) progress.condition = message.condition
  switch (progress.mode.type) {
    case "probe":
      if (message.verifiedIndex >= progress.nextIndex - 1) replicateFrom(turn, progress, message.verifiedIndex + 1)
      break
    case "replicate":
      releaseInflight(progress)
      progress.nextIndex = Math.max(progress.nextIndex, message.verifiedIndex + 1)
      break
    case "snapshot":
      onAcceptedInTransfer(turn, progress, message)
      break
  }
}

/** Index of the leader's last entry of `term` at or before `index`, or undefined. */
const lastOfTerm = (log: Log, index: Index, term: Term): Index | undefined => {
  let low = log.base.index
  let high = Math.min(index, log.lastIndex)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((log.termAt(middle) ?? 0) > term) high = middle - 1
    else low = middle
  }
  return log.termAt(low) === term ? low : undefined
}

/** Paper §5.3, end: skip the whole conflicting term in one round trip. */
export const onAppendRejected = (turn: Turn, from: Member, message: AppendRejected): void => {
  const { log } = turn.state
  const progress = replyFrom(turn, from, message.round)
  if (progress === null || progress.mode.type === "snapshot") return
  const { prevLogIndex, conflictTerm, conflictIndex } = message
  const stale =
    progress.mode.type === "probe" ? prevLogIndex !== progress.nextIndex - 1 : prevLogIndex <= progress.matchIndex
  if (stale) {
    note(turn, "progress.staleRejection")
    return
  }
  note(turn, "progress.backtracked")
  const agreed = conflictTerm === 0 ? undefined : lastOfTerm(log, prevLogIndex, conflictTerm)
  probeFrom(turn, progress, Math.min(agreed === undefined ? conflictIndex : agreed + 1, prevLogIndex))
}

export const onHeartbeatTimeout = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null) return
  leader.round += 1
  for (const progress of Object.values(leader.progress)) countHeartbeat(turn, progress)
  turn.effects.push({
    type: "SetTimer",
    timer: "heartbeat",
    min: state.settings.heartbeat,
    max: state.settings.heartbeat,
  })
}

/** A connection opened or broke: messages in flight are lost, so probe again for how far the logs agree. */
export const onPeerLink = (turn: Turn, peer: Member, connected: boolean): void => {
  const leader = asLeader(turn.state)
  const progress = leader === null ? undefined : progressOf(leader, peer)
  if (progress === undefined) return
  const nextIndex = progress.matchIndex + 1
  // The follower may have restarted with less on its disk than it acknowledged (a record that looked torn was cut off),
  // so it must report again what it holds. To count less towards commitment is always safe.
  if (connected) progress.matchIndex = 0
  else progress.active = false
  if (progress.mode.type === "snapshot")
    progress.mode.waiting = progress.mode.snapshot === null && progress.mode.waiting
  else probeFrom(turn, progress, nextIndex)
}

export const sendAppend = (
  turn: Turn,
  leader: Leader,
  progress: Progress,
  prevLogIndex: Index,
  entries: readonly Entry[],
): void => {
  const { state } = turn
  const before = state.log.at(prevLogIndex)
  send(turn, progress.member, {
    type: "AppendEntries",
    term: state.currentTerm,
    prevLogIndex,
    prevLogTerm: before?.term ?? 0,
    prevLogChain: before?.chain ?? 0,
    entries,
    leaderCommit: state.commitIndex,
    round: leader.round,
    time: replicatedTime(state),
    settled: state.clock.settled,
  })
  progress.sentCommit = Math.min(state.commitIndex, prevLogIndex + entries.length)
  progress.sentRound = leader.round
}

/** A follower without disk space is sent only what a leader needs to be confirmed: entries through this term's no-op. */
const sendThrough = (state: State, leader: Leader, progress: Progress): Index =>
  progress.condition === "full" ? leader.termStart : state.log.lastIndex

const nextBatch = (state: State, leader: Leader, progress: Progress): readonly Entry[] =>
  state.log.slice(progress.nextIndex, sendThrough(state, leader, progress), state.settings.maxBatchBytes)

const sendAhead = (turn: Turn, leader: Leader, progress: Progress): void => {
  const { state } = turn
  const { mode } = progress
  if (mode.type !== "replicate") return
  const through = sendThrough(state, leader, progress)
  while (progress.nextIndex <= through && isWindowOpen(state, progress)) {
    const entries = nextBatch(state, leader, progress)
    const before = progress.nextIndex - 1
    sendAppend(turn, leader, progress, before, entries)
    progress.nextIndex += entries.length
    const bytes = state.log.bytesThrough(progress.nextIndex - 1) - state.log.bytesThrough(before)
    mode.inflight.push({ lastIndex: progress.nextIndex - 1, bytes })
    mode.inflightBytes += bytes
  }
}

/**
 * Every follower is sent each new round, even without entries. A follower whose clients wait for it is also sent the
 * commit index.
 */
const needsHeartbeat = (state: State, leader: Leader, progress: Progress): boolean => {
  if (progress.sentRound < leader.round) return true
  const { sentCommit, wantsCommit, nextIndex } = progress
  return (
    progress.mode.type === "replicate" &&
    sentCommit < wantsCommit &&
    Math.min(state.commitIndex, nextIndex - 1) > sentCommit
  )
}

/**
 * prevLogIndex of a heartbeat during a snapshot transfer. No common entry is known yet, but index 0 always agrees. A
 * leader that has lost its state machine cannot send a snapshot, so it probes at its base instead: if the follower's
 * log reaches that far, it can be given entries, and then lead.
 */
const heartbeatPrevIndex = ({ machine, log }: State): Index => (machine === "ready" ? 0 : log.base.index)

/** Send each follower what it lacks, within its window. */
export const replicatePass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null) return
  for (const name in leader.progress) {
    const progress = leader.progress[name]
    if (progress === undefined) continue
    const { mode } = progress
    if (mode.type === "replicate") sendAhead(turn, leader, progress)
    else if (mode.type === "probe" && !mode.waiting) {
      sendAppend(turn, leader, progress, progress.nextIndex - 1, nextBatch(state, leader, progress))
      mode.waiting = true
    }
    if (needsHeartbeat(state, leader, progress))
      sendAppend(
        turn,
        leader,
        progress,
        mode.type === "snapshot" ? heartbeatPrevIndex(state) : progress.nextIndex - 1,
        [],
      )
  }
}
