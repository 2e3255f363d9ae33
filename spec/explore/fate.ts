/**
 * Messages that can never matter again. The network never forgets, so without this most states would differ only in old
 * messages. Each rule follows from what a crash cannot undo: terms only grow, and a server becomes a candidate (and
 * then a leader) only in a term that is new to it. So once a term is durable, the server is never again a candidate of
 * that term unless it is one now. A search with and without these rules reaches the same states of servers (tested).
 */
import type { Member, Message } from "../../core/index.ts"
import type { ServerState } from "./server.ts"

/** stale: a request whose only possible answer is the current term. */
export type Fate = "live" | "stale" | "dead"

export const fateOf = ({ state, disk }: ServerState, from: Member, message: Message): Fate => {
  const durable = disk.hardState.term
  const { currentTerm, role } = state
  const { term } = message
  if (term > durable) return "live"
  const dead = (is: boolean): Fate => (is ? "dead" : "live")
  switch (message.type) {
    case "RequestVoteReply": {
      if (role.type !== "candidate" || currentTerm !== term) return "dead"
      // A granted vote stays granted, and a second refusal adds nothing.
      const told = role.votes[from.name]
      return dead(told === true || told === message.granted)
    }
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
      return dead(!((role.type === "candidate" || role.type === "leader") && currentTerm === term))
    case "RequestPreVoteReply":
      // A granted reply carries the requested term, which is one more than the requester's.
      return dead(message.granted || term < durable)
    case "ReadIndexReply":
    case "TimeoutNow":
      return dead(term < durable)
    case "RequestVote":
    case "RequestPreVote":
    case "AppendEntries":
    case "InstallSnapshot":
      return term < durable ? "stale" : "live"
    case "ReadIndex":
    case "ForwardProposal":
    case "ForwardProposalReply":
      return "live"
  }
}

/** The message that stands for all stale ones with the same answer. */
export const staleRepresentative = (message: Message): Message => {
  if (message.type === "RequestVote") return { ...message, term: 0, lastLogIndex: 0, lastLogTerm: 0, transfer: false }
  if (message.type === "RequestPreVote") return { ...message, term: 0, lastLogIndex: 0, lastLogTerm: 0 }
  if (message.type === "AppendEntries")
    return { ...message, term: 0, prevLogTerm: 0, entries: [], leaderCommit: 0, round: 0 }
  return { ...message, term: 0 }
}
