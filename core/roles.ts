/** Changes of role. What belongs to a role ends with it, and clients that waited for it are given the reason. */
import { chainAfter } from "./chain.ts"
import { nextStamp, startClock } from "./clock.ts"
import { MAX_INDEX, MAX_TERM } from "./domain.ts"
import { isOnlyLeader } from "./halt.ts"
import { dropLease } from "./lease.ts"
import { closeSentSnapshot, newProgress } from "./progress.ts"
import { replicationTargets, targetsAsOf } from "./removal.ts"
import { appendToLog } from "./durability.ts"
import { note, respond, type Turn } from "./turn.ts"
import { adoptTerm } from "./vote.ts"
import type { Candidate, Follower, Index, Member, State, Term } from "./types.ts"

const setElectionTimer = (turn: Turn, min: number, max: number): void => {
  turn.effects.push({ type: "SetTimer", timer: "election", min, max })
}
/** Paper §5.2: a fresh random timeout for every election. */
export const waitForElection = (turn: Turn): void => {
  const { electionMin, electionMax } = turn.state.settings
  setElectionTimer(turn, electionMin, electionMax)
}

export const newFollower = (
  commitIndex: Index,
  leader: Member | null,
  stickiness: Follower["stickiness"] = "lapsed",
): Follower => ({
  type: "follower",
  leader,
  stickiness,
  // Committed entries are in the log of every later leader (Leader Completeness, paper §5.4).
  verified: commitIndex,
  reportedMatch: 0,
  reportedRound: 0,
  round: 0,
  leaderTime: 0,
  aheadSince: null,
  reply: null,
  asked: null,
  unsentReads: [],
  install: null,
})

/** Reads and forwarded proposals depend on one leader of one term; when that ends nobody will answer them. */
const failPending = (turn: Turn, leader: Member | null): void => {
  const { state } = turn
  const { role } = state
  const refuseRead = (ref: number): void => respond(turn, ref, { type: "ReadRefused", reason: "leaderChanged", leader })
  if (role.type === "follower") {
    for (const ref of role.asked?.refs ?? []) refuseRead(ref)
    for (const ref of role.unsentReads) refuseRead(ref)
    role.asked = null
    role.unsentReads = []
  }
  if (role.type === "leader") {
    for (const read of role.reads) if (read.from === null) refuseRead(read.ref)
    role.reads = []
  }
  // Reads of committed indexes will be served; an index that is not committed yet may never be.
  for (const { ref, index } of state.confirmedReads) if (index > state.commitIndex) refuseRead(ref)
  state.confirmedReads = state.confirmedReads.filter((read) => read.index <= state.commitIndex)
  for (const { ref } of state.forwarded) respond(turn, ref, { type: "ProposalUnknown", leader })
  state.forwarded = []
}

const leaveRole = (turn: Turn, leader: Member | null): void => {
  const { role } = turn.state
  failPending(turn, leader)
  if (role.type !== "leader") return
  for (const progress of Object.values(role.progress)) closeSentSnapshot(turn, progress)
  for (const timer of ["heartbeat", "quorum", "persist", "transfer"] as const)
    turn.effects.push({ type: "CancelTimer", timer })
  dropLease(turn)
}

export const becomeFollower = (turn: Turn, leader: Member | null): void => {
  const { state } = turn
  leaveRole(turn, leader)
  state.role = newFollower(state.commitIndex, leader)
  waitForElection(turn)
}

/**
 * A higher term was seen. A follower's election timer runs on: only granting a vote, or a message from the current leader,
 * restarts it (paper §5.2).
 */
export const stepDown = (turn: Turn, term: Term): void => {
  const { state } = turn
  const { role } = state
  adoptTerm(state, term)
  if (role.type !== "follower") {
    becomeFollower(turn, null)
    return
  }
  const { stickiness } = role
  leaveRole(turn, null)
  state.role = newFollower(state.commitIndex, null, stickiness)
}

/**
 * A message from the leader of this term arrived: follow it, and restart the minimum election timeout. Returns null if
 * another server is already known to lead this term.
 */
export const followLeader = (turn: Turn, leader: Member): Follower | null => {
  const { state } = turn
  if (!isOnlyLeader(turn, leader)) return null
  state.termLeader = leader
  if (state.role.type !== "follower") becomeFollower(turn, leader)
  const follower = state.role
  if (follower.type !== "follower") return null
  follower.leader = leader
  follower.stickiness = "active"
  setElectionTimer(turn, state.settings.electionMin, state.settings.electionMin)
  return follower
}

/**
 * Before the restart this server may have helped to confirm a leader's lease: grant no vote for the minimum election
 * timeout.
 */
export const startSticky = (turn: Turn): void => {
  const { electionMin } = turn.state.settings
  setElectionTimer(turn, electionMin, electionMin)
}

/** The minimum election timeout is over: the rest of the timeout is random. */
export const stickinessLapsed = (turn: Turn, follower: Follower): void => {
  const { electionMin, electionMax } = turn.state.settings
  follower.stickiness = "lapsed"
  note(turn, "election.stickinessLapsed")
  setElectionTimer(turn, 0, electionMax - electionMin)
}

/** No leader is known any more: tell clients that wait for the leader. */
export const forgetLeader = (turn: Turn, follower: Follower): void => {
  failPending(turn, null)
  follower.leader = null
  follower.install = follower.install?.phase === "restoring" ? follower.install : null
}

/** The connection to the leader broke, as it does when the leader crashes: campaign soon, but not all at the same moment. */
export const leaderDisconnected = (turn: Turn, follower: Follower): void => {
  forgetLeader(turn, follower)
  // A lease does not end with the connection: this server must still refuse votes.
  if (turn.state.settings.leaseReads) return
  follower.stickiness = "lapsed"
  note(turn, "election.leaderDisconnected")
  setElectionTimer(turn, 0, turn.state.settings.disconnectMax)
}

/**
 * A voter is connected, and no leader is known, as when a cluster starts or a partition heals: there may be a majority now, so
 * ask soon. Pre-votes disturb no leader that the others hear.
 */
export const voterConnected = (turn: Turn): void => {
  const { settings } = turn.state
  if (!settings.preVote || settings.leaseReads) return
  note(turn, "election.voterConnected")
  setElectionTimer(turn, 0, settings.disconnectMax)
}

/** There is no next term, or no index for its no-op, that the codecs could write. */
export const isExhausted = ({ currentTerm, log }: State): boolean =>
  currentTerm >= MAX_TERM || log.lastIndex >= MAX_INDEX

const newCandidate = (type: Candidate["type"], transfer: boolean): Candidate => ({
  type,
  votes: {},
  asked: false,
  transfer,
  askedAt: 0,
  wallOffsets: {},
  timeOffset: null,
})

export const becomePreCandidate = (turn: Turn): void => {
  leaveRole(turn, null)
  turn.state.role = newCandidate("preCandidate", false)
  waitForElection(turn)
}

export const becomeCandidate = (turn: Turn, transfer: boolean): void => {
  const { state } = turn
  leaveRole(turn, null)
  adoptTerm(state, state.currentTerm + 1)
  state.votedFor = state.self
  state.role = newCandidate("candidate", transfer)
  waitForElection(turn)
}

/** Paper §5.2, and §8: a no-op at the start of the term, so that entries of earlier terms can be committed. */
export const becomeLeader = (turn: Turn): void => {
  const { state } = turn
  const candidate = state.role.type === "candidate" ? state.role : null
  leaveRole(turn, null)
  const { log } = state
  state.termLeader = state.self
  const termStart = log.lastIndex + 1
  const progress = Object.fromEntries(
    replicationTargets(state).map((member) => [member.name, newProgress(member, termStart)]),
  )
  state.role = {
    type: "leader",
    termStart,
    progress,
    round: 1,
    confirmedRound: 0,
    reads: [],
    forwards: [],
    transfer: null,
    lease: "none",
    leasedRound: 0,
    targetsAsOf: targetsAsOf(state),
    watchedPersist: null,
    since: state.clock.monotonic,
    agreedOffset: null,
    comparedAt: 0,
  }
  startClock(turn, state.role, candidate)
  const noop = { kind: "noop", index: termStart, term: state.currentTerm, time: nextStamp(state) } as const
  appendToLog(state, [{ ...noop, chain: chainAfter(log.last.chain, noop) }])
  turn.effects.push({ type: "CancelTimer", timer: "election" })
  turn.effects.push({
    type: "SetTimer",
    timer: "heartbeat",
    min: state.settings.heartbeat,
    max: state.settings.heartbeat,
  })
  if (state.settings.checkQuorum)
    turn.effects.push({
      type: "SetTimer",
      timer: "quorum",
      min: state.settings.electionMin,
      max: state.settings.electionMin,
    })
}
