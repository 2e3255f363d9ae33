/**
 * The gate: the one place where terms are compared (paper §5.1). Returns whether the message is to be handled. If so, its
 * term is the current one, except for pre-votes (whose term nobody has yet) and messages that do not depend on a term.
 */
import { chainBreaksAt } from "./chain.ts"
import { flawOfMessage, MAX_TERM_LEAP } from "./domain.ts"
import { isSticky } from "./election.ts"
import { configurationOf, isStranger } from "./membership.ts"
import { stepDown } from "./roles.ts"
import { note, send, type Turn } from "./turn.ts"
import { voteReply } from "./vote.ts"
import type { Member, Message } from "./types.ts"

/** "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower", Figure 2. */
const adoptTermOf = (turn: Turn, message: Message): void => {
  note(turn, "term.higherSeen")
  stepDown(turn, message.term)
}

const passesHigherTerm = (turn: Turn, message: Message): boolean => {
  switch (message.type) {
    case "RequestPreVote":
      return true
    case "RequestPreVoteReply":
      // A granted reply repeats the term that was asked for; a refusal carries a term that some server has.
      if (!message.granted) adoptTermOf(turn, message)
      return true
    case "RequestVote":
      if (!message.transfer && isSticky(turn.state)) {
        note(turn, "vote.refused.sticky")
        return false
      }
      adoptTermOf(turn, message)
      return true
    case "RequestVoteReply":
    case "AppendEntries":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshot":
    case "InstallSnapshotReply":
    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposal":
    case "TimeoutNow":
      adoptTermOf(turn, message)
      return true
    case "ForwardProposalReply":
      // If this server stepped down, a definite outcome would become an unknown one. The reply is matched by bootId and
      // ref, not by term.
      return true
  }
}

/** "Reply false if term < currentTerm", Figure 2. If requests were dropped silently, their sender would never learn the new term. */
const passesLowerTerm = (turn: Turn, from: Member, message: Message): boolean => {
  const term = turn.state.currentTerm
  switch (message.type) {
    case "RequestVote":
      note(turn, "term.staleRequestAnswered")
      send(turn, from, voteReply(turn.state, false))
      return false
    case "RequestPreVote":
      note(turn, "term.staleRequestAnswered")
      send(turn, from, { type: "RequestPreVoteReply", term, granted: false })
      return false
    case "AppendEntries":
      note(turn, "term.staleRequestAnswered")
      send(turn, from, {
        type: "AppendRejected",
        term,
        prevLogIndex: message.prevLogIndex,
        conflictTerm: 0,
        conflictIndex: 0,
        round: 0,
      })
      return false
    case "InstallSnapshot":
      note(turn, "term.staleRequestAnswered")
      send(turn, from, {
        type: "InstallSnapshotReply",
        term,
        id: message.snapshot.id,
        round: 0,
        status: "failed",
        nextOffset: 0,
      })
      return false
    case "ReadIndex":
    case "ForwardProposal":
    case "ForwardProposalReply":
      // Matched by bootId and number, not by term: the present leader can serve them.
      return true
    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndexReply":
    case "TimeoutNow":
      note(turn, "term.staleReplyDropped")
      return false
  }
}

/** Votes and acknowledgements count only from the incarnation that the configuration names. */
const countsTowardsQuorum = (message: Message): boolean => {
  switch (message.type) {
    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
      return true
    case "RequestVote":
    case "RequestPreVote":
    case "AppendEntries":
    case "InstallSnapshot":
    case "ReadIndex":
    case "ForwardProposal":
    case "TimeoutNow":
    case "ReadIndexReply":
    case "ForwardProposalReply":
      // "servers process incoming RPC requests without consulting their current configurations", thesis §4.1: a leader
      // may have joined by a change that this server has not received yet.
      return false
  }
}

export const passesGate = (turn: Turn, from: Member, message: Message): boolean => {
  const { state } = turn
  if (message.term > state.currentTerm + MAX_TERM_LEAP || flawOfMessage(message) !== null) {
    note(turn, "term.outOfDomain")
    return false
  }
  if (
    message.type === "AppendEntries" &&
    message.entries.length > 0 &&
    chainBreaksAt(message.prevLogChain, message.entries) !== null
  ) {
    note(turn, "append.chainBroken")
    return false
  }
  if (countsTowardsQuorum(message) && isStranger(configurationOf(state), from)) {
    note(turn, "member.strangerIgnored")
    return false
  }
  if (message.term > state.currentTerm) return passesHigherTerm(turn, message)
  if (message.term < state.currentTerm) return passesLowerTerm(turn, from, message)
  return true
}
