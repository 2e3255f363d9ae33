/** Replication and commitment: the sentences of paper §5.3, §5.4.2 and Figure 2, and its Figures 7 and 8. */
import { describe, expect, test } from "vitest"
import type { Message } from "../core/index.ts"
import {
  accepted,
  append,
  follower,
  leader,
  member,
  payload,
  rejected,
  server,
  termsOf,
  voteReply,
  type Given,
  type MessageOf,
  type Server,
} from "./server.ts"

describe("§5.3 log replication, followers", () => {
  test("the receiver refuses if its log has no entry at prevLogIndex", () => {
    const it = follower({ log: [1] }).receive("b", append({ prev: [3, 1], entries: [1] }))
    expect(it.last("AppendRejected", "b")).toMatchObject({ prevLogIndex: 3, conflictTerm: 0, conflictIndex: 2 })
    expect(it.noted("append.rejected")).toBe(true)
    expect(it.log).toEqual([1])
  })
  test("the receiver refuses if the entry at prevLogIndex has another term, and names the first entry of that term", () => {
    const it = follower({ term: 4, log: [1, 2, 2, 2] }).receive("b", append({ term: 4, prev: [4, 3], entries: [4] }))
    expect(it.last("AppendRejected", "b")).toMatchObject({ prevLogIndex: 4, conflictTerm: 2, conflictIndex: 2 })
    expect(it.log).toEqual([1, 2, 2, 2])
  })
  test("a heartbeat is checked against prevLogIndex like any other append", () => {
    expect(
      follower({ log: [1] })
        .receive("b", append({ prev: [2, 1], commit: 1 }))
        .last("AppendRejected").conflictIndex,
    ).toBe(2)
    const it = follower({ term: 3, log: [1, 2] }).receive("b", append({ term: 3, prev: [2, 3], commit: 2 }))
    expect([it.sent("AppendRejected").length, it.commit]).toEqual([1, 0])
  })
  test("a refused append stores nothing, commits nothing and truncates nothing", () => {
    const it = follower({ term: 3, log: [1, 2] }).receive(
      "b",
      append({ term: 3, prev: [2, 3], entries: [3, 3], commit: 2 }),
    )
    expect([it.log, it.commit]).toEqual([[1, 2], 0])
  })
  test("new entries are appended and acknowledged", () => {
    const it = follower({ log: [1] }).receive("b", append({ prev: [1, 1], entries: [1, 1] }))
    expect(it.noted("append.accepted")).toBe(true)
    expect([it.log, it.last("AppendAccepted", "b")]).toEqual([
      [1, 1, 1],
      accepted(3, { term: 1, verifiedChain: it.state.log.last.chain }),
    ])
  })
  test("an existing entry that conflicts with a new one is deleted with all that follow it", () => {
    const it = follower({ term: 3, log: [1, 1, 2, 2] }).receive("b", append({ term: 3, prev: [1, 1], entries: [1, 3] }))
    expect([it.log, it.did("Persist").map(({ truncateFrom }) => truncateFrom)]).toEqual([[1, 1, 3], [3]])
    expect(it.noted("append.truncated")).toBe(true)
  })
  test("a late append that holds nothing new deletes nothing", () => {
    const it = follower({ log: [1, 1, 1] })
    for (const late of [
      append({ prev: [0, 0], entries: [1] }),
      append({ prev: [1, 1], entries: [1] }),
      append({ prev: [1, 1] }),
    ]) {
      expect(it.receive("b", late).did("Persist")).toEqual([])
      expect(it.log).toEqual([1, 1, 1])
    }
  })
  test("an append that arrives twice is acknowledged twice, for the first answer may be lost", () => {
    const it = follower()
    expect(it.receive("b", append({ entries: [1, 1] })).last("AppendAccepted").matchIndex).toBe(2)
    expect(it.receive("b", append({ entries: [1, 1] })).last("AppendAccepted").matchIndex).toBe(2)
  })
  test("commitIndex becomes the lesser of leaderCommit and the index of the last new entry", () => {
    const it = follower({ log: [1, 1, 1] })
    expect(it.receive("b", append({ prev: [1, 1], commit: 3 })).commit).toBe(1)
    expect(it.receive("b", append({ prev: [1, 1], entries: [1], commit: 3 })).commit).toBe(2)
    expect(it.receive("b", append({ prev: [3, 1], commit: 2 })).commit).toBe(2)
    expect(it.receive("b", append({ prev: [3, 1], commit: 9 })).commit).toBe(3)
    expect(it.noted("commit.learned")).toBe(true)
  })
  test("commitIndex never falls", () => {
    const it = follower({ log: [1, 1] }).receive("b", append({ prev: [2, 1], commit: 2 }))
    expect(it.receive("b", append({ prev: [2, 1], commit: 1 })).commit).toBe(2)
    expect(it.receive("b", append({ prev: [0, 0], entries: [1], commit: 2 })).commit).toBe(2)
  })
  test("what agreed with one leader is not known to agree with the next", () => {
    const it = follower({ log: [1, 1, 1] }).receive("b", append({ prev: [3, 1], commit: 1 }))
    it.receive("c", append({ term: 2, prev: [1, 1], commit: 3 }))
    expect(it.commit).toBe(1)
  })
  test("a leader that contradicts what is committed is not believed", () => {
    const it = follower({ log: [1, 1], applied: 2, term: 2 }).receive(
      "b",
      append({ term: 2, prev: [1, 1], entries: [2] }),
    )
    expect(it.state.halted).toMatchObject({ reason: "committedConflict", index: 2, term: 1, theirs: 2 })
    expect(it.log).toEqual([1, 1])
  })
  test("committed entries are applied in order, each once", () => {
    const it = follower({ log: [1, 1, 1] })
    expect(
      it
        .receive("b", append({ prev: [3, 1], commit: 2 }))
        .did("Apply")
        .map((apply) => apply.entries.map(({ index }) => index)),
    ).toEqual([[1, 2]])
    expect(it.receive("b", append({ prev: [3, 1], commit: 2 })).did("Apply")).toEqual([])
    expect(
      it
        .receive("b", append({ prev: [3, 1], commit: 3 }))
        .did("Apply")
        .map((apply) => apply.entries.map(({ index }) => index)),
    ).toEqual([[3]])
  })
  test("the next batch is applied once the one before it is", () => {
    const it = follower({ log: [1, 1, 1], slow: true, settings: { maxApplyBytes: 60 } })
    expect(it.receive("b", append({ prev: [3, 1], commit: 3 })).did("Apply")).toHaveLength(1)
    expect(it.receive("b", append({ prev: [3, 1], commit: 3 })).did("Apply")).toEqual([])
    expect(
      it
        .applied()
        .did("Apply")
        .flatMap((apply) => apply.entries.map(({ index }) => index)),
    ).toEqual([2])
  })
})

describe("§5.3 log replication, the leader", () => {
  test("a leader starts every term with a no-op of that term, §8", () => {
    const it = leader({ log: [1, 1] })
    expect([it.log, it.state.log.entry(3)?.kind]).toEqual([[1, 1, 2], "noop"])
  })
  test("for each server nextIndex starts after the leader's last entry, and matchIndex at 0", () => {
    const it = leader({ log: [1, 1] })
    expect(it.progress("b")).toMatchObject({ nextIndex: 3, matchIndex: 0 })
    expect(it.last("AppendEntries", "b")).toMatchObject({
      prevLogIndex: 2,
      prevLogTerm: 1,
      entries: [{ kind: "noop", index: 3 }],
      leaderCommit: 0,
    })
  })
  test("a command is appended to the leader's own log first and sent to all in parallel", () => {
    const it = leader()
    it.receive("b", accepted(1)).receive("c", accepted(1))
    const ref = it.propose()
    expect([it.outcome(ref), it.receivers("AppendEntries")]).toEqual([
      { type: "ProposalAppended", first: 2, term: 2 },
      "bc",
    ])
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 1, prevLogTerm: 2 })
  })
  test("proposals of one batch stand together in one append", () => {
    const it = leader().receive("b", accepted(1))
    it.happens(
      { type: "Proposed", ref: 1, payloads: [payload(1), payload(2)] },
      { type: "Proposed", ref: 2, payloads: [payload(3)] },
    )
    expect(it.sent("AppendEntries", "b").map((message) => message.entries.length)).toEqual([3])
    expect([it.outcome(1), it.outcome(2)]).toMatchObject([{ first: 2 }, { first: 4 }])
  })
  test("on success nextIndex and matchIndex of the follower move up", () => {
    const it = leader().receive("b", accepted(1))
    expect(it.progress("b")).toMatchObject({ nextIndex: 2, matchIndex: 1, mode: { type: "replicate" } })
    expect(it.noted("progress.replicate")).toBe(true)
  })
  test("late answers never move matchIndex or nextIndex back", () => {
    const it = leader({ log: [1, 1] })
      .receive("b", accepted(3))
      .receive("b", accepted(1))
      .receive("b", rejected(2, 0, 1))
    expect(it.progress("b")).toMatchObject({ nextIndex: 4, matchIndex: 3 })
    expect(it.noted("progress.staleRejection")).toBe(true)
  })
  test("a rejection says nothing about what the follower holds", () => {
    const it = leader({ log: [1, 1] })
      .receive("b", rejected(2, 1, 1))
      .receive("c", rejected(2, 0, 3))
    expect([it.progress("b").matchIndex, it.progress("c").matchIndex, it.commit]).toEqual([0, 0, 0])
  })
  test("after a refusal the leader decrements nextIndex and retries", () => {
    const it = leader({ log: [1, 1] }).receive("b", rejected(2, 0, 1))
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 0, prevLogTerm: 0 })
    expect(termsOf(it.last("AppendEntries", "b").entries)).toEqual([1, 1, 2])
  })
  test("the same refusal twice moves nextIndex once", () => {
    const it = leader({ log: [1, 1, 1] }).receive("b", rejected(3, 0, 2))
    expect(it.receive("b", rejected(3, 0, 2)).sent("AppendEntries")).toEqual([])
    expect(it.progress("b").nextIndex).toBe(2)
  })
  test("a refusal that names a term the leader has goes to the leader's last entry of it", () => {
    const it = leader({ term: 5, log: [1, 1, 3, 3, 5] }).receive("b", rejected(5, 3, 2, { term: 6 }))
    expect(it.progress("b").nextIndex).toBe(5)
  })
  test("a refusal that names a term the leader lacks skips all of that term", () => {
    const it = leader({ term: 5, log: [1, 1, 3, 3, 5] }).receive("b", rejected(5, 4, 2, { term: 6 }))
    expect(it.progress("b").nextIndex).toBe(2)
  })
  test("every refusal goes further back, whatever it says, so that probing ends", () => {
    const it = leader({ log: [1, 1, 1] }).receive("b", rejected(3, 0, 9))
    expect(it.progress("b").nextIndex).toBe(3)
    expect(it.receive("b", rejected(2, 1, 7)).progress("b").nextIndex).toBe(2)
  })
  test("no refusal takes nextIndex below what is known to match", () => {
    const it = leader({ log: [1, 1, 1, 1] })
      .receive("b", accepted(3))
      .receive("b", rejected(4, 1, 1))
    expect([it.noted("progress.backtracked"), it.progress("b").nextIndex]).toEqual([true, 4])
    expect(
      leader({ log: [1, 1] })
        .receive("b", accepted(2))
        .receive("b", rejected(3, 3, 1))
        .progress("b").nextIndex,
    ).toBe(3)
  })
  test("a follower that is down is sent to until it answers: a heartbeat asks where an append was lost", () => {
    const it = leader().receive("b", accepted(1))
    it.propose()
    const { prevLogIndex } = it.expire("heartbeat").last("AppendEntries", "b")
    expect(prevLogIndex).toBe(2)
    expect(termsOf(it.receive("b", rejected(prevLogIndex, 0, 2)).last("AppendEntries", "b").entries)).toEqual([2])
  })
  test("a connection that comes back is asked where the logs meet at once", () => {
    const it = leader().receive("b", accepted(1))
    it.propose()
    it.happens({ type: "PeerConnected", peer: member("b") })
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 1, entries: [{ index: 2 }] })
  })
  test("a connection of another incarnation of a follower is none of the follower's", () => {
    const it = leader().receive("b", accepted(1))
    it.propose()
    expect(it.happens({ type: "PeerConnected", peer: member("b", "0") }).did("Send")).toEqual([])
  })
  test("a leader never deletes or overwrites its own entries, §5.4 Leader Append-Only", () => {
    const it = leader({ log: [1, 1] }).receive("b", append({ term: 2, prev: [0, 0], entries: [2] }))
    expect(it.log).toEqual([1, 1, 2])
  })
})

describe("§5.3, §5.4.2 commitment", () => {
  test("an entry of the current term is committed once a majority holds it", () => {
    const it = leader({ voters: "abcde" }).receive("b", accepted(1))
    expect(it.commit).toBe(0)
    expect(it.receive("c", accepted(1)).commit).toBe(1)
    expect(it.noted("commit.advanced")).toBe(true)
  })
  test("that commits everything before it too", () => {
    const it = leader({ log: [1, 1] }).receive("b", accepted(3))
    expect([it.commit, it.did("Apply").flatMap((apply) => termsOf(apply.entries))]).toEqual([3, [1, 1, 2]])
  })
  test("entries of earlier terms are never committed by counting", () => {
    const it = leader({ log: [1, 1] })
      .receive("b", accepted(2))
      .receive("c", accepted(2))
    expect([it.commit, it.noted("commit.earlierTerm")]).toEqual([0, true])
  })
  test("commitment goes up to what a majority holds, past what it does not", () => {
    const it = leader({ voters: "abcde" })
    for (let i = 0; i < 4; i++) it.propose()
    it.receive("b", accepted(5)).receive("c", accepted(3)).receive("d", accepted(2)).receive("e", accepted(1))
    expect(it.commit).toBe(3)
  })
  test("followers learn of it with the next append or heartbeat, and at once if their own clients wait for it", () => {
    const it = leader().receive("b", accepted(1)).receive("c", accepted(1))
    expect(it.expire("heartbeat").last("AppendEntries", "b")).toMatchObject({ leaderCommit: 1, entries: [] })
    it.receive("b", { type: "ForwardProposal", term: 2, ref: 1, bootId: 9, payloads: [payload(1)] })
    expect(it.receive("c", accepted(2)).last("AppendEntries", "b")).toMatchObject({ leaderCommit: 2, entries: [] })
    expect(it.sent("AppendEntries", "c")).toEqual([])
  })
  test("a follower is not told twice what it knows", () => {
    const it = leader().receive("b", accepted(1))
    expect(it.receive("b", accepted(1)).sent("AppendEntries", "b")).toEqual([])
  })
  test("a server alone commits by itself", () => {
    const it = server({ voters: "a" }).expire("election")
    expect([it.role, it.commit]).toEqual(["leader", 1])
  })
})

// -------------------------------------------------------------------------------------------------- figures

/** Hands the messages of one server to another, and answers back, until both are silent; answers the appends sent. */
const converse = (lead: Server, other: Server, name: string): number => {
  let appends = 0
  let waiting: readonly Message[] = lead.sent("AppendEntries", name)
  for (let rounds = 0; waiting.length > 0; rounds++) {
    if (rounds > 50) throw new Error("they do not come to an end")
    appends += waiting.length
    const answers: Message[] = []
    for (const message of waiting)
      answers.push(
        ...other
          .receive("a", message)
          .did("Send")
          .filter(({ to }) => to.name === "a")
          .map(({ message: reply }) => reply),
      )
    const next: Message[] = []
    for (const reply of answers)
      next.push(
        ...lead
          .receive(name, reply)
          .did("Send")
          .filter(({ to, message }) => to.name === name && message.type === "AppendEntries")
          .map(({ message }) => message),
      )
    waiting = next
  }
  return appends
}

describe("Figure 7", () => {
  const leaderLog = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  // Appends until the logs are equal: the probe that carries the no-op, one for each term of conflict, the commit.
  const followers: readonly (readonly [name: string, log: readonly number[], appends: number])[] = [
    ["a", [1, 1, 1, 4, 4, 5, 5, 6, 6], 3],
    ["b", [1, 1, 1, 4], 3],
    ["c", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], 2],
    ["d", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], 2],
    ["e", [1, 1, 1, 4, 4, 4, 4], 4],
    ["f", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], 4],
  ]
  test.each(followers)(
    "follower %s of Figure 7 is repaired, one round trip for each conflicting term",
    (_, log, most) => {
      const lead = leader({ term: 7, log: leaderLog, voters: "ab" })
      const other = server({ name: "b", term: 7, log })
      expect(converse(lead, other, "b")).toBeLessThanOrEqual(most)
      expect(other.log).toEqual([...leaderLog, 8])
      expect(converse(lead.expire("heartbeat"), other, "b")).toBe(1)
      expect([lead.commit, other.commit]).toEqual([11, 11])
    },
  )
  test("a thousand conflicting entries of one term cost one round trip", () => {
    const lead = leader({ term: 3, log: [1, ...Array.from({ length: 1000 }, () => 3)], voters: "ab" })
    const other = server({ name: "b", term: 3, log: [1, ...Array.from({ length: 1000 }, () => 2)] })
    expect(converse(lead, other, "b")).toBeLessThanOrEqual(4)
    expect(other.log).toEqual(lead.log)
  })
})

describe("Figure 8", () => {
  // S1 is `a`; (c): S1 leads again in term 4 and has brought the entry of term 2 to a majority, (d)/(e) what follows.
  const s1 = (): Server => leader({ voters: "abcde", term: 3, log: [1, 2], applied: 1 })
  const s5 = (given: Given = {}): Server =>
    server({
      name: "e",
      voters: "abcde",
      term: 4,
      log: [1, 3],
      applied: 1,
      settings: { preVote: false },
      ...given,
    }).expire("election")
  const voter = (name: string, log: readonly number[]): Server =>
    server({ name, voters: "abcde", term: 4, log, applied: 1 })

  test("(c) the entry of term 2 on a majority is not committed in term 4", () => {
    const it = s1()
      .receive("b", accepted(2, { term: 4 }))
      .receive("c", accepted(2, { term: 4 }))
    expect([it.term, it.log, it.commit]).toEqual([4, [1, 2, 4], 1])
  })
  test("(d) so S5 can still win with its entry of term 3, and overwrites it", () => {
    const five = s5()
    const votes: MessageOf<"RequestVoteReply">[] = []
    for (const name of ["b", "c", "d"])
      votes.push(
        voter(name, name === "d" ? [1] : [1, 2])
          .receive(member("e"), five.last("RequestVote", name))
          .last("RequestVoteReply"),
      )
    expect(votes.map(({ granted }) => granted)).toEqual([true, true, true])
    five.receive("b", votes[0] ?? voteReply(5, false)).receive("c", votes[1] ?? voteReply(5, false))
    expect(five.role).toBe("leader")
    const two = voter("b", [1, 2])
    two.receive(member("e"), append({ term: 5, prev: [1, 1], entries: [3, 5] }))
    expect(two.log).toEqual([1, 3, 5])
  })
  test("(e) with its own entry of term 4 on a majority both are committed, and S5 cannot win", () => {
    const it = s1()
      .receive("b", accepted(3, { term: 4 }))
      .receive("c", accepted(3, { term: 4 }))
    expect(it.commit).toBe(3)
    const five = s5()
    const request = five.last("RequestVote", "b")
    for (const name of ["b", "c"]) {
      const reply = voter(name, [1, 2, 4]).receive(member("e"), request).last("RequestVoteReply")
      expect(five.receive(name, reply).role).toBe("candidate")
      expect(reply.granted).toBe(false)
    }
    expect(five.receive("d", voteReply(5, true)).role).toBe("candidate")
  })
})
