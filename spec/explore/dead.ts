/**
 * Messages that can never matter again. The network never forgets, so without this most states would differ only in
 * old answers. Each rule is about what a crash cannot take back: terms only grow, and a server becomes a candidate
 * (and then a leader) only in a term that is new to it, so once a term is durable it is never a candidate of that term
 * again unless it is one now. A search with and without these rules meets the same states of servers (tested).
 */
import type { Member, Message } from "../../core/index.ts"
import type { Server } from "./server.ts"

export const isDead = ({ state, disk }: Server, from: Member, message: Message): boolean => {
  const durable = disk.hardState.term
  const { currentTerm, role } = state
  const { term } = message
  if (term > durable) return false
  switch (message.type) {
    case "RequestVoteReply": {
      if (role.type !== "candidate" || currentTerm !== term) return true
      // A vote once given stays given, and a refusal told twice says nothing new.
      const told = role.votes[from.name]
      return told === true || told === message.granted
    }
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
      return !((role.type === "candidate" || role.type === "leader") && currentTerm === term)
    case "RequestPreVoteReply":
      // A granted one carries the term that was asked about, one more than the asker had.
      return message.granted || term < durable
    case "ReadIndexReply":
    case "TimeoutNow":
      return term < durable
    case "RequestVote":
    case "RequestPreVote":
    case "AppendEntries":
    case "InstallSnapshot":
    case "ReadIndex":
    case "ForwardProposal":
    case "ForwardProposalReply":
      return false
  }
}
