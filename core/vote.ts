/**
 * The vote of a term. A server gives at most one in each term (paper §5.2), also across a crash: so a vote counts, for the
 * candidate itself too, only once it is durable. A granted vote that waits for the disk is void when a new term begins.
 */
import { replicatedTime } from "./clock.ts"
import { sameMember, send, type Turn } from "./turn.ts"
import type { Member, RequestVoteReply, State, Term } from "./types.ts"

/** A new term clears the vote; within a term the vote is never cleared. */
export const adoptTerm = (state: State, term: Term): void => {
  state.currentTerm = term
  state.votedFor = null
  state.termLeader = null
  state.pendingVote = null
}

export const mayVote = (state: State, candidate: Member): boolean =>
  state.votedFor === null || sameMember(state.votedFor, candidate)

export const grantVote = (state: State, candidate: Member): void => {
  state.votedFor = candidate
  state.pendingVote = candidate
}

/** Would it survive a crash: exactly this vote, in exactly this term? */
export const isVoteDurable = ({ durability: { hardState }, currentTerm }: State, candidate: Member): boolean =>
  hardState.term === currentTerm && sameMember(hardState.vote, candidate)

export const voteReply = (state: State, granted: boolean): RequestVoteReply => ({
  type: "RequestVoteReply",
  term: state.currentTerm,
  granted,
  wall: state.clock.wall,
  time: state.clock.settled ? replicatedTime(state) : 0,
})

export const sendPendingVote = (turn: Turn): void => {
  const { state } = turn
  const { pendingVote } = state
  if (pendingVote === null || !isVoteDurable(state, pendingVote)) return
  send(turn, pendingVote, voteReply(state, true))
  state.pendingVote = null
}
