/** Linearizable reads that append nothing to the log: ReadIndex, on the leader and on followers (thesis §6.4). */
import { configurationOf } from "./membership.ts"
import { holdsLease } from "./lease.ts"
import { progressOf } from "./progress.ts"
import { quorumValue } from "./quorum.ts"
import { asFollower, asLeader, knownLeader, note, respond, sameMember, send, type Turn } from "./turn.ts"
import type { Index, Leader, Member, PendingRead, ReadIndex, ReadIndexReply, ReadOutcome } from "./types.ts"

const refuse = (turn: Turn, ref: number, reason: Extract<ReadOutcome, { type: "ReadRefused" }>["reason"]): void => {
  note(turn, "read.failed")
  respond(turn, ref, { type: "ReadRefused", reason, leader: knownLeader(turn.state) })
}

/**
 * The read index is the current commit index, or the no-op that opened the term if that is not committed yet: until then
 * a leader does not know what earlier leaders committed (thesis §6.4, step 1). Only a round that starts after the read
 * arrived confirms it, so the read waits for the next one.
 */
const pendingRead = (turn: Turn, leader: Leader, ref: number, from: PendingRead["from"]): PendingRead => ({
  from,
  ref,
  index: Math.max(turn.state.commitIndex, leader.termStart),
  round: leader.round + 1,
})

export const onReadRequested = (turn: Turn, ref: number): void => {
  const { state } = turn
  const { role } = state
  if (state.machine !== "ready") refuse(turn, ref, "rebuilding")
  else if (role.type === "leader" && holdsLease(state, role)) {
    note(turn, "read.leased")
    state.confirmedReads.push({ ref, index: state.commitIndex })
  } else if (role.type === "leader") {
    if (role.reads.length >= state.settings.maxPendingReads) refuse(turn, ref, "busy")
    else role.reads.push(pendingRead(turn, role, ref, null))
  } else if (role.type === "follower" && role.leader !== null) {
    if (role.unsentReads.length >= state.settings.maxPendingReads) refuse(turn, ref, "busy")
    else role.unsentReads.push(ref)
  } else refuse(turn, ref, "noLeader")
}

const confirmForFollower = (
  turn: Turn,
  leader: Leader,
  { member, bootId, number }: NonNullable<PendingRead["from"]>,
  readIndex: Index,
): void => {
  const progress = progressOf(leader, member)
  if (progress !== undefined) progress.wantsCommit = Math.max(progress.wantsCommit, readIndex)
  send(turn, member, { type: "ReadIndexReply", term: turn.state.currentTerm, bootId, number, readIndex })
}

export const onReadIndex = (turn: Turn, from: Member, { bootId, number }: ReadIndex): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || leader.reads.length >= state.settings.maxPendingReads)
    send(turn, from, { type: "ReadIndexReply", term: state.currentTerm, bootId, number, readIndex: null })
  else if (holdsLease(state, leader)) {
    note(turn, "read.leased")
    confirmForFollower(turn, leader, { member: from, bootId, number }, state.commitIndex)
  } else leader.reads.push(pendingRead(turn, leader, 0, { member: from, bootId, number }))
}

export const onReadIndexReply = (turn: Turn, from: Member, { bootId, number, readIndex }: ReadIndexReply): void => {
  const { state } = turn
  const follower = asFollower(state)
  const asked = follower?.asked ?? null
  // A reply to a request of an earlier start, or to an earlier request, does not cover reads that came after it.
  if (
    follower === null ||
    asked === null ||
    bootId !== state.bootId ||
    asked.number !== number ||
    !sameMember(follower.leader, from)
  )
    return
  follower.asked = null
  for (const ref of asked.refs)
    if (readIndex === null) refuse(turn, ref, "leaderChanged")
    else state.confirmedReads.push({ ref, index: readIndex })
}

/** One request is outstanding at a time; reads that arrive meanwhile go into the next. */
export const askLeaderPass = (turn: Turn): void => {
  const { state } = turn
  const follower = asFollower(state)
  if (follower === null || follower.leader === null || follower.asked !== null || follower.unsentReads.length === 0)
    return
  note(turn, "read.asked")
  state.readNumber += 1
  follower.asked = { number: state.readNumber, refs: follower.unsentReads, overdue: false }
  follower.unsentReads = []
  send(turn, follower.leader, {
    type: "ReadIndex",
    term: state.currentTerm,
    bootId: state.bootId,
    number: state.readNumber,
  })
}

/** Start a round for the reads that wait for one, unless reads of the current round are still unconfirmed. */
export const startRoundPass = (turn: Turn): void => {
  const leader = asLeader(turn.state)
  if (leader === null || leader.reads.length === 0) return
  if (leader.reads.every((read) => read.round > leader.round)) leader.round += 1
}

export const confirmReadsPass = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null || (leader.reads.length === 0 && !state.settings.leaseReads)) return
  // "send heartbeats to a majority of the cluster" (thesis §6.4, step 3); a majority of both halves when joint.
  const confirmed = quorumValue(configurationOf(state), (member) =>
    sameMember(member, state.self) ? leader.round : (progressOf(leader, member)?.round ?? 0),
  )
  leader.confirmedRound = Math.max(leader.confirmedRound, confirmed)
  const done = leader.reads.filter((read) => read.round <= leader.confirmedRound)
  if (done.length === 0) return
  note(turn, "read.confirmed")
  leader.reads = leader.reads.filter((read) => read.round > leader.confirmedRound)
  for (const { from, ref, index } of done) {
    if (from === null) state.confirmedReads.push({ ref, index })
    else confirmForFollower(turn, leader, from, index)
  }
}

/** Thesis §6.4, step 4: wait until the state machine has executed everything through the read index. */
export const releaseReadsPass = (turn: Turn): void => {
  const { state } = turn
  if (state.confirmedReads.length === 0) return
  if (state.machine !== "ready") {
    for (const { ref } of state.confirmedReads) refuse(turn, ref, "rebuilding")
    state.confirmedReads = []
    return
  }
  const { applied } = state
  if (state.confirmedReads.every((read) => read.index > applied)) return
  for (const { ref, index } of state.confirmedReads)
    if (index <= applied) respond(turn, ref, { type: "ReadReady", index: applied })
  state.confirmedReads = state.confirmedReads.filter((read) => read.index > applied)
}

/** Run the timer while the leader has not answered everything that this node asked. */
export const awaitAnswersPass = (turn: Turn): void => {
  const { state } = turn
  const open = state.forwarded.length > 0 || (asFollower(state)?.asked ?? null) !== null
  if (!open || state.awaitingAnswer) return
  state.awaitingAnswer = true
  const { electionMin } = state.settings
  turn.effects.push({ type: "SetTimer", timer: "answer", min: electionMin, max: electionMin })
}

/**
 * A request or its reply was lost. Reads are requested again; proposals are answered ProposalUnknown, because they may
 * have been appended.
 */
export const onAnswerTimeout = (turn: Turn): void => {
  const { state } = turn
  state.awaitingAnswer = false
  const follower = asFollower(state)
  if (follower !== null && follower.asked !== null && follower.leader !== null) {
    const { asked, leader } = follower
    if (asked.overdue)
      send(turn, leader, { type: "ReadIndex", term: state.currentTerm, bootId: state.bootId, number: asked.number })
    asked.overdue = true
  }
  for (const { ref, overdue } of state.forwarded)
    if (overdue) respond(turn, ref, { type: "ProposalUnknown", leader: knownLeader(state) })
  state.forwarded = state.forwarded.filter((forwarded) => !forwarded.overdue)
  for (const forwarded of state.forwarded) forwarded.overdue = true
}
