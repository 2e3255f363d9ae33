/**
 * What can never matter again. The network never forgets, so without this most states would differ only in old
 * messages. Each rule is about what a crash cannot take back: terms only grow, and a server becomes a candidate (and
 * then a leader) only in a term that is new to it, so once a term is durable it is never a candidate of that term
 * again unless it is one now. A search with and without these rules meets the same states of servers (tested).
 */
import type { Member, Message } from "../../core/index.ts"
import type { Server } from "./server.ts"

/** stale: a request that will only ever be answered with the current term. */
export type Fate = "live" | "stale" | "dead"

export const fateOf = ({ state, disk }: Server, from: Member, message: Message): Fate => {
  const durable = disk.hardState.term
  const { currentTerm, role } = state
  const { term } = message
  if (term > durable) return "live"
  const dead = (is: boolean): Fate => (is ? "dead" : "live")
  switch (message.type) {
    case "RequestVoteReply": {
      if (role.type !== "candidate" || currentTerm !== term) return "dead"
      // A vote once given stays given, and a refusal told twice says nothing new.
      const told = role.votes[from.name]
      return dead(told === true || told === message.granted)
    }
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
      return dead(!((role.type === "candidate" || role.type === "leader") && currentTerm === term))
    case "RequestPreVoteReply":
      // A granted one carries the term that was asked about, one more than the asker had.
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

/** The one message that stands for all stale ones that are answered alike. */
export const staleOf = (message: Message): Message => {
  if (message.type === "RequestVote") return { ...message, term: 0, lastLogIndex: 0, lastLogTerm: 0, transfer: false }
  if (message.type === "RequestPreVote") return { ...message, term: 0, lastLogIndex: 0, lastLogTerm: 0 }
  if (message.type === "AppendEntries")
    return { ...message, term: 0, prevLogTerm: 0, entries: [], leaderCommit: 0, round: 0 }
  return { ...message, term: 0 }
}
