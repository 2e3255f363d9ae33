import type { Seeded } from "./mutant.ts"

export const election: readonly Seeded[] = [
  {
    id: "bug-E1",
    title: "stepping down within a term clears the vote",
    patches: [
      {
        file: "core/roles.ts",
        find: "  state.role = newFollower(state.commitIndex, leader)\n  waitForElection(turn)",
        replace:
          "  state.role = newFollower(state.commitIndex, leader)\n  state.votedFor = null\n  waitForElection(turn)",
      },
    ],
  },
  {
    id: "bug-E2",
    title: "a vote is granted to a candidate whose log is older",
    patches: [
      {
        file: "core/election.ts",
        find: "if (mayVote(state, from) && current) {",
        replace: "if (mayVote(state, from)) {",
      },
    ],
  },
  {
    id: "bug-E4",
    title: "last entries are compared by index only",
    patches: [
      {
        file: "core/election.ts",
        find: "lastLogTerm > log.lastTerm || (lastLogTerm === log.lastTerm && lastLogIndex >= log.lastIndex)",
        replace: "lastLogTerm >= 0 && lastLogIndex >= log.lastIndex",
      },
    ],
  },
  {
    id: "bug-E5",
    title: "a vote of an earlier term counts",
    patches: [
      {
        file: "core/term.ts",
        find: `    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndexReply":
    case "TimeoutNow":
      note(`,
        replace: `    case "RequestVoteReply":
      return true
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndexReply":
    case "TimeoutNow":
      note(`,
      },
    ],
  },
  {
    id: "bug-E7",
    title: "seeing a candidate of a higher term is recorded as a vote for it",
    patches: [
      {
        file: "core/term.ts",
        find: "const passesHigherTerm = (turn: Turn, message: Message): boolean => {",
        replace: "const passesHigherTerm = (turn: Turn, from: Member, message: Message): boolean => {",
      },
      {
        file: "core/term.ts",
        find: "return passesHigherTerm(turn, message)",
        replace: "return passesHigherTerm(turn, from, message)",
      },
      {
        file: "core/term.ts",
        find: `        return false
      }
      adoptTermOf(turn, message)
      return true`,
        replace: `        return false
      }
      adoptTermOf(turn, message)
      turn.state.votedFor = from
      turn.state.pendingVote = from
      return true`,
      },
    ],
  },
  {
    id: "bug-E8",
    title: "a leader answers a vote or pre-vote request like a follower",
    patches: [
      {
        file: "core/election.ts",
        find: `  role.type === "leader" ||
  (role.type === "follower" && (role.leader !== null || settings.leaseReads) && role.stickiness === "active")
`,
        replace:
          '  role.type === "follower" && (role.leader !== null || settings.leaseReads) && role.stickiness === "active"\n',
      },
    ],
  },
  {
    id: "bug-E10",
    title: "a refused vote of an earlier term sets the current term back",
    patches: [
      {
        file: "core/term.ts",
        find: `    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndexReply":
    case "TimeoutNow":
      note(`,
        replace: `    case "RequestVoteReply":
      adoptTermOf(turn, message)
      return true
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndexReply":
    case "TimeoutNow":
      note(`,
      },
    ],
  },
  {
    id: "bug-E11",
    title: "the same candidate asking again in the same term is refused",
    patches: [
      {
        file: "core/vote.ts",
        find: "state.votedFor === null || sameMember(state.votedFor, candidate)",
        replace: "state.votedFor === null",
      },
    ],
  },
]
