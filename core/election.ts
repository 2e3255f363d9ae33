/**
 * Leader election (paper §5.2, §5.4.1) with PreVote (thesis §9.6) and CheckQuorum (thesis §6.2, §4.2.3).
 *
 * The election timer runs in two stages. For the minimum election timeout after a message from the leader, a follower
 * refuses votes; then the random rest of the timeout follows, in which it grants them.
 */
import { receiveVoterClock } from "./clock.ts"
import { configurationOf, isVoter, votersOf } from "./membership.ts"
import { progressOf } from "./progress.ts"
import { hasQuorum, voteResult } from "./quorum.ts"
import { canCampaign } from "./removal.ts"
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  stickinessLapsed,
  forgetLeader,
  isExhausted,
  waitForElection,
} from "./roles.ts"
import { asLeader, note, sameMember, send, type Turn } from "./turn.ts"
import { grantVote, isVoteDurable, mayVote, sendPendingVote, voteReply } from "./vote.ts"
import type {
  Index,
  Member,
  RequestPreVote,
  RequestPreVoteReply,
  RequestVote,
  RequestVoteReply,
  State,
  Term,
} from "./types.ts"

export const campaign = (turn: Turn, transfer: boolean): void => {
  const { state } = turn
  if (!canCampaign(state) || isExhausted(state)) {
    note(turn, canCampaign(state) ? "election.exhausted" : "election.notVoter")
    if (state.role.type === "follower") forgetLeader(turn, state.role)
    waitForElection(turn)
  } else if (state.settings.preVote && !transfer) {
    note(turn, "election.preCampaign")
    becomePreCandidate(turn)
  } else {
    note(turn, "election.campaign")
    becomeCandidate(turn, transfer)
  }
}

export const onElectionTimeout = (turn: Turn): void => {
  const { role } = turn.state
  if (role.type === "leader") return
  if (role.type === "follower" && role.stickiness === "active") stickinessLapsed(turn, role)
  else campaign(turn, false)
}

/** Paper §5.4.1: later last term, or the same last term and at least as long. */
const upToDate = ({ log }: State, lastLogIndex: Index, lastLogTerm: Term): boolean =>
  lastLogTerm > log.lastTerm || (lastLogTerm === log.lastTerm && lastLogIndex >= log.lastIndex)

/** Thesis §4.2.3: a server that has just heard a leader, or is one, does not help to depose it. */
export const isSticky = ({ role, settings }: State): boolean =>
  role.type === "leader" ||
  (role.type === "follower" && (role.leader !== null || settings.leaseReads) && role.stickiness === "active")

/** The message's term is the current one: the gate has made sure of that. */
export const onRequestVote = (turn: Turn, from: Member, message: RequestVote): void => {
  const { state } = turn
  if (configurationOf(state).voters.length === 0) {
    // A server that lost its disk cannot know whether it has voted in this term.
    note(turn, "vote.refused.amnesiac")
    return
  }
  if (isSticky(state) && !message.transfer) {
    note(turn, "vote.refused.sticky")
    send(turn, from, voteReply(state, false))
    return
  }
  const current = upToDate(state, message.lastLogIndex, message.lastLogTerm)
  if (mayVote(state, from) && current) {
    note(turn, "vote.granted")
    if (state.role.type !== "follower") becomeFollower(turn, null)
    grantVote(state, from)
    // Paper §5.2: only a granted vote resets the timer; a refused one must not keep this server from campaigning.
    waitForElection(turn)
    return
  }
  note(turn, current ? "vote.refused.voted" : "vote.refused.staleLog")
  send(turn, from, voteReply(state, false))
}

/** A pre-vote changes no state. No server need have its term yet. */
export const onRequestPreVote = (turn: Turn, from: Member, message: RequestPreVote): void => {
  const { state } = turn
  if (configurationOf(state).voters.length === 0) {
    note(turn, "vote.refused.amnesiac")
    return
  }
  const possible = message.term > state.currentTerm || mayVote(state, from)
  const granted = possible && !isSticky(state) && upToDate(state, message.lastLogIndex, message.lastLogTerm)
  note(turn, granted ? "preVote.granted" : "preVote.refused")
  send(turn, from, { type: "RequestPreVoteReply", term: granted ? message.term : state.currentTerm, granted })
}

export const onVoteReply = (turn: Turn, from: Member, message: RequestVoteReply | RequestPreVoteReply): void => {
  const { state } = turn
  const { role } = state
  if (role.type !== (message.type === "RequestVoteReply" ? "candidate" : "preCandidate")) return
  if (message.type === "RequestPreVoteReply" && message.granted && message.term !== state.currentTerm + 1) return
  if (!isVoter(configurationOf(state), from)) return
  if (message.type === "RequestVoteReply") receiveVoterClock(state, role, from.name, message.wall, message.time)
  if (role.votes[from.name] !== true) role.votes[from.name] = message.granted
}

const askForVotes = (turn: Turn): void => {
  const { state } = turn
  const { role, self, currentTerm, log } = state
  if ((role.type !== "candidate" && role.type !== "preCandidate") || role.asked) return
  if (role.type === "candidate" && !isVoteDurable(state, self)) return
  role.asked = true
  role.votes[self.name] = true
  role.askedAt = state.clock.monotonic
  for (const voter of votersOf(configurationOf(state))) {
    if (sameMember(voter, self)) continue
    const last = { lastLogIndex: log.lastIndex, lastLogTerm: log.lastTerm }
    if (role.type === "candidate")
      send(turn, voter, { type: "RequestVote", term: currentTerm, ...last, transfer: role.transfer })
    else send(turn, voter, { type: "RequestPreVote", term: currentTerm + 1, ...last })
  }
}

const countVotes = (turn: Turn): void => {
  const { state } = turn
  const { role } = state
  if ((role.type !== "candidate" && role.type !== "preCandidate") || !role.asked) return
  switch (voteResult(configurationOf(state), role.votes)) {
    case "won":
      if (role.type === "preCandidate") {
        note(turn, "election.campaign")
        becomeCandidate(turn, false)
      } else {
        note(turn, "election.won")
        becomeLeader(turn)
      }
      break
    case "lost":
      note(turn, "election.lost")
      becomeFollower(turn, null)
      break
    case "pending":
      break
  }
}

export const electionPass = (turn: Turn): void => {
  sendPendingVote(turn)
  askForVotes(turn)
  countVotes(turn)
}

/** Thesis §6.2: a leader that hears from no quorum steps down, so that its clients look for another one. */
export const onQuorumTimeout = (turn: Turn): void => {
  const { state } = turn
  const leader = asLeader(state)
  if (leader === null) return
  const heard = hasQuorum(
    configurationOf(state),
    (member) => sameMember(member, state.self) || progressOf(leader, member)?.active === true,
  )
  if (!heard) {
    note(turn, "quorum.lost")
    becomeFollower(turn, null)
    return
  }
  for (const progress of Object.values(leader.progress)) progress.active = false
  turn.effects.push({
    type: "SetTimer",
    timer: "quorum",
    min: state.settings.electionMin,
    max: state.settings.electionMin,
  })
}
