/** Terms, elections and who may decide: the sentences of paper §5.1, §5.2, §5.4.1, Figure 2 and of the thesis. */
import { describe, expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import {
  accepted,
  append,
  everyMessageOf,
  follower,
  install,
  installReply,
  leader,
  member,
  preVoteReply,
  rejected,
  requestPreVote,
  requestVote,
  server,
  snapshotAt,
  voteReply,
  voting,
  type Given,
} from "./server.ts"

const { electionMin, electionMax, heartbeat, disconnectMax } = defaultSettings
const whole = { min: electionMin, max: electionMax }
/** The paper's own election, without thesis §9.6. */
const plain = { settings: { preVote: false } } as const
const candidate = (given: Given = {}) => server({ ...plain, ...given }).expire("election")

describe("§5.1 terms", () => {
  test("servers start as followers, with what they had persisted, §5.2", () => {
    const it = server({ term: 4, vote: "c", log: [1, 4] })
    expect([it.role, it.term, it.vote, it.log, it.commit]).toEqual(["follower", 4, "c", [1, 4], 0])
  })

  test.each(
    everyMessageOf(9)
      .filter(({ type }) => type !== "ForwardProposalReply")
      .map((message) => [message.type, message] as const),
  )(
    "a follower, a candidate and a leader that see a higher term in %s adopt it and are followers, Figure 2",
    (type, message) => {
      for (const it of [server({ vote: "b" }), candidate(), leader()]) {
        if (type === "RequestVote" && it.role === "leader") continue // thesis §4.2.3, below
        it.receive("c", message)
        expect(it.noted("term.higherSeen")).toBe(true)
        // Told to campaign in term 9, it goes on to 10.
        expect([it.term, it.role]).toEqual(type === "TimeoutNow" ? [10, "candidate"] : [9, "follower"])
      }
    },
  )

  test("a higher term clears the vote of the lower one, and the vote of the new term goes to its first candidate", () => {
    expect(server({ vote: "b" }).receive("c", append({ term: 2 })).vote).toBe(null)
    expect(server({ vote: "b" }).receive("c", requestVote(2)).vote).toBe("c")
  })

  test("a higher term does not make its sender voted for", () => {
    expect(server({ log: [1] }).receive("c", requestVote(2)).vote).toBe(null)
    expect(server({ log: [1] }).receive("c", voteReply(2, false)).vote).toBe(null)
  })

  test("seeing the own term again does not clear the vote", () => {
    const it = candidate()
    it.receive("b", append({ term: it.term }))
    expect([it.role, it.vote]).toEqual(["follower", "a"])
    expect(it.receive("c", requestVote(it.term)).vote).toBe("a")
  })

  test("a server rejects a request with a stale term and says which term it has", () => {
    const it = server({ term: 5 })
    expect(it.receive("b", append({ term: 4 })).last("AppendRejected", "b").term).toBe(5)
    expect(it.noted("term.staleRequestAnswered")).toBe(true)
    expect(it.receive("b", requestVote(4)).last("RequestVoteReply", "b")).toMatchObject({ term: 5, granted: false })
    expect(it.receive("b", requestPreVote(4)).last("RequestPreVoteReply", "b")).toMatchObject({
      term: 5,
      granted: false,
    })
    expect(
      it.receive("b", install(snapshotAt(5, 1), 0, false, { term: 4 })).last("InstallSnapshotReply", "b"),
    ).toMatchObject({ term: 5, status: "failed" })
    expect([it.term, it.leader, it.vote]).toEqual([5, null, null])
  })

  test("a stale request changes nothing, not even the election timer", () => {
    const it = follower({ term: 5, log: [1, 5] })
    it.receive("c", append({ term: 4, prev: [1, 1], entries: [4, 4], commit: 3 }))
    expect([it.log, it.commit, it.leader, it.timer("election")]).toEqual([[1, 5], 0, "b", null])
  })

  test("the current term never falls, whatever arrives", () => {
    for (const message of everyMessageOf(2)) expect(server({ term: 5 }).receive("b", message).term).toBe(5)
  })

  test("a stale reply counts for nothing", () => {
    const it = candidate({ term: 4 })
    it.receive("b", voteReply(4, true)).receive("c", voteReply(4, true))
    expect(it.noted("term.staleReplyDropped")).toBe(true)
    expect([it.role, it.term]).toEqual(["candidate", 5])
    const lead = leader({ term: 4, log: [1, 4] })
    lead.receive("b", accepted(3, { term: 4 })).receive("c", accepted(3, { term: 4 }))
    expect([lead.progress("b").matchIndex, lead.commit]).toEqual([0, 0])
    lead.receive("b", rejected(2, 0, 1, { term: 4 }))
    expect(lead.progress("b").nextIndex).toBe(3)
  })
})

describe("§5.2 leader election", () => {
  test("a follower that starts waits for a random election timeout", () => {
    expect(server().happens({ type: "Started" }).timer("election")).toEqual(whole)
  })

  test("a server that is alone need not wait", () => {
    expect(server({ voters: "a" }).happens({ type: "Started" }).timer("election")).toEqual({ min: 0, max: 0 })
    expect(
      server({ configuration: voting("a", "bcd") })
        .happens({ type: "Started" })
        .timer("election"),
    ).toEqual(whole)
  })

  test("a follower that hears no leader for an election timeout starts an election", () => {
    const it = follower(plain)
    it.expire("election")
    expect([it.role, it.timer("election"), it.noted("election.stickinessLapsed")]).toEqual([
      "follower",
      { min: 0, max: electionMax - electionMin },
      true,
    ])
    expect(it.expire("election").role).toBe("candidate")
  })

  test("a follower remains a follower as long as it receives valid RPCs from a leader", () => {
    const it = follower(plain)
    it.expire("election").receive("b", append())
    expect(it.timer("election")).toEqual({ min: electionMin, max: electionMin })
    expect(it.expire("election").role).toBe("follower")
  })

  test("a rejected append of the current leader restarts the election timer too", () => {
    const it = follower()
    expect(it.receive("b", append({ prev: [9, 1] })).sent("AppendRejected")).toHaveLength(1)
    expect(it.timer("election")).toEqual({ min: electionMin, max: electionMin })
  })

  test("to begin an election, a follower increments its term, votes for itself and asks all others in parallel", () => {
    const it = candidate({ voters: "abcde", log: [1, 1] })
    expect([it.role, it.term, it.vote, it.receivers("RequestVote")]).toEqual(["candidate", 2, "a", "bcde"])
    expect(it.noted("election.campaign")).toBe(true)
    expect(it.last("RequestVote", "e")).toEqual(requestVote(2, [2, 1]))
    expect(it.timer("election")).toEqual(whole)
  })

  test("a candidate wins with votes of a majority of the full cluster in the same term", () => {
    const it = candidate({ voters: "abcde" })
    expect(it.receive("b", voteReply(2, true)).role).toBe("candidate")
    expect(it.receive("c", voteReply(2, true)).role).toBe("leader")
    expect(it.noted("election.won")).toBe(true)
  })

  test("a vote counts once, however often it arrives", () => {
    expect(
      candidate({ voters: "abcde" }).receive("b", voteReply(2, true), voteReply(2, true), voteReply(2, true)).role,
    ).toBe("candidate")
  })

  test("a grant is not taken back by a refusal that arrives late", () => {
    const it = candidate({ voters: "abcde" })
    it.receive("b", voteReply(2, true), voteReply(2, false)).receive("c", voteReply(2, true))
    expect(it.role).toBe("leader")
  })

  test("a vote of somebody outside the configuration counts for nothing", () => {
    expect(candidate().receive("z", voteReply(2, true)).role).toBe("candidate")
  })

  test("a candidate refused by a majority waits for its next timeout", () => {
    const it = candidate()
    it.receive("b", voteReply(2, false)).receive("c", voteReply(2, false))
    expect([it.role, it.term, it.timer("election")]).toEqual(["follower", 2, whole])
    expect(it.noted("election.lost")).toBe(true)
  })

  test("a server votes for at most one candidate in a given term, first come first served", () => {
    const it = server()
    expect(it.receive("b", requestVote(2)).last("RequestVoteReply", "b").granted).toBe(true)
    expect(it.noted("vote.granted")).toBe(true)
    expect(it.receive("c", requestVote(2)).last("RequestVoteReply", "c").granted).toBe(false)
    expect(it.noted("vote.refused.voted")).toBe(true)
    expect(it.vote).toBe("b")
  })

  test("the same candidate asking again in the same term is granted again, for the reply may be lost", () => {
    const it = server().receive("b", requestVote(2))
    expect(it.receive("b", requestVote(2)).last("RequestVoteReply", "b").granted).toBe(true)
  })

  test("a vote given before a restart binds after it", () => {
    const it = server({ term: 3, vote: "b" })
    expect(it.receive("c", requestVote(3)).last("RequestVoteReply").granted).toBe(false)
    expect(it.receive("b", requestVote(3)).last("RequestVoteReply").granted).toBe(true)
  })

  test("granting a vote restarts the election timer, refusing one does not", () => {
    const it = server({ log: [1] })
    expect(it.receive("b", requestVote(1)).timer("election")).toBe(null)
    expect(it.receive("b", requestVote(1, [1, 1])).timer("election")).toEqual(whole)
    expect(it.receive("c", requestVote(1, [1, 1])).timer("election")).toBe(null)
  })

  test("a candidate that hears a leader of its term or a later one recognises it and follows", () => {
    for (const term of [2, 3]) {
      const it = candidate().receive("b", append({ term }))
      expect([it.role, it.leader, it.term]).toEqual(["follower", "b", term])
    }
    expect(candidate().receive("b", install(snapshotAt(5, 1), 0, false, { term: 2 })).leader).toBe("b")
  })

  test("a candidate that hears a leader of an earlier term rejects it and stays a candidate", () => {
    const it = candidate().receive("b", append({ term: 1 }))
    expect([it.role, it.last("AppendRejected").term]).toEqual(["candidate", 2])
  })

  test("a candidate that neither wins nor loses starts a new election when it times out, and old votes do not count", () => {
    const it = candidate({ voters: "abcde" }).receive("b", voteReply(2, true))
    it.expire("election")
    expect([it.role, it.term, it.receivers("RequestVote")]).toEqual(["candidate", 3, "bcde"])
    it.receive("c", voteReply(2, true), voteReply(3, true))
    expect(it.role).toBe("candidate")
  })

  test("a new leader sends to everybody at once, so that no new election starts", () => {
    const it = leader({ voters: "abcde" })
    expect([it.receivers("AppendEntries"), it.timer("heartbeat")]).toEqual(["bcde", { min: heartbeat, max: heartbeat }])
    expect(it.did("CancelTimer").map(({ timer }) => timer)).toContain("election")
  })

  test("a leader repeats heartbeats in idle periods", () => {
    const it = leader()
    expect(it.expire("heartbeat").receivers("AppendEntries")).toBe("bc")
    expect(it.timer("heartbeat")).toEqual({ min: heartbeat, max: heartbeat })
    expect(it.expire("heartbeat").receivers("AppendEntries")).toBe("bc")
  })

  test("a leader does not campaign, and a second leader of the term is not followed", () => {
    const it = leader()
    expect(it.expire("election").role).toBe("leader")
    expect(it.receive("b", append({ term: 2 })).role).toBe("leader")
    expect(it.noted("halt.twoLeaders")).toBe(true)
    expect(follower().receive("c", append()).leader).toBe("b")
  })

  test("a leader that steps down stops its timers and waits for an election", () => {
    const it = leader().receive("b", append({ term: 3 }))
    expect(it.did("CancelTimer").map(({ timer }) => timer)).toEqual([
      "heartbeat",
      "quorum",
      "persist",
      "transfer",
      "lease",
    ])
    expect(it.expire("heartbeat").did("Send")).toEqual([])
  })
})

describe("§5.4.1 election restriction", () => {
  const mine = { term: 5, log: [1, 1, 4] }
  test.each([
    ["the later last term is more up to date, however short", [1, 5], true],
    ["an earlier last term is not, however long", [9, 3], false],
    ["of the same last term, the longer log is", [4, 4], true],
    ["of the same last term, an equal log is", [3, 4], true],
    ["of the same last term, a shorter log is not", [2, 4], false],
  ] as const)("%s", (_, last, granted) => {
    const it = server(mine).receive("b", requestVote(6, last))
    expect([it.last("RequestVoteReply").granted, it.noted("vote.refused.staleLog")]).toEqual([granted, !granted])
    expect(server(mine).receive("b", requestPreVote(6, last)).last("RequestPreVoteReply").granted).toBe(granted)
  })

  test("a log that is all in a snapshot counts with the snapshot's last index and term", () => {
    const it = server({ base: { index: 7, term: 3 }, term: 3 })
    expect(it.receive("b", requestVote(4, [6, 3])).last("RequestVoteReply").granted).toBe(false)
    expect(it.receive("b", requestVote(4, [7, 3])).last("RequestVoteReply").granted).toBe(true)
    expect(candidate({ base: { index: 7, term: 3 }, term: 3 }).last("RequestVote", "b")).toEqual(requestVote(4, [7, 3]))
  })
})

describe("PreVote, thesis §9.6", () => {
  test("before a campaign a server asks whether it could win, and changes neither term nor vote", () => {
    const it = server({ log: [1] }).expire("election")
    expect([it.role, it.term, it.vote, it.receivers("RequestPreVote")]).toEqual(["preCandidate", 1, null, "bc"])
    expect(it.noted("election.preCampaign")).toBe(true)
    expect(it.last("RequestPreVote", "b")).toEqual(requestPreVote(2, [1, 1]))
    expect(it.did("Persist")).toEqual([])
  })

  test("it campaigns once a majority would vote for it", () => {
    const it = server({ voters: "abcde" }).expire("election").receive("b", preVoteReply(2, true))
    expect(it.role).toBe("preCandidate")
    it.receive("c", preVoteReply(2, true))
    expect([it.role, it.term, it.vote, it.receivers("RequestVote")]).toEqual(["candidate", 2, "a", "bcde"])
  })

  test("refused by a majority, it waits", () => {
    const it = server().expire("election").receive("b", preVoteReply(1, false)).receive("c", preVoteReply(1, false))
    expect([it.role, it.term]).toEqual(["follower", 1])
  })

  test("a granted pre-vote is no vote, and a pre-vote of another campaign is none either", () => {
    const it = server().expire("election").receive("b", preVoteReply(2, true)).receive("b", preVoteReply(3, true))
    expect([it.role, it.receive("c", preVoteReply(3, true)).role]).toEqual(["candidate", "candidate"])
    expect(server({ term: 4 }).expire("election").receive("b", preVoteReply(3, true)).role).toBe("preCandidate")
    expect(server({ term: 4 }).expire("election").receive("b", preVoteReply(7, true)).role).toBe("preCandidate")
  })

  test("giving a pre-vote changes nothing, and several can be given", () => {
    const it = server({ vote: "b" })
    expect(it.receive("b", requestPreVote(2)).last("RequestPreVoteReply")).toEqual(preVoteReply(2, true))
    expect(it.noted("preVote.granted")).toBe(true)
    expect(it.receive("c", requestPreVote(2)).last("RequestPreVoteReply")).toEqual(preVoteReply(2, true))
    expect([it.term, it.vote, it.timer("election"), it.did("Persist")]).toEqual([1, "b", null, []])
  })

  test("a pre-vote for the term in which another has the vote is refused", () => {
    const it = server({ term: 2, vote: "b" })
    expect(it.receive("c", requestPreVote(2)).last("RequestPreVoteReply").granted).toBe(false)
    expect(it.receive("b", requestPreVote(2)).last("RequestPreVoteReply").granted).toBe(true)
  })

  test("no pre-vote is given while a leader is heard, and a leader gives none", () => {
    const it = follower()
    expect(it.receive("c", requestPreVote(2)).last("RequestPreVoteReply")).toEqual(preVoteReply(1, false))
    expect(it.noted("preVote.refused")).toBe(true)
    expect(it.expire("election").receive("c", requestPreVote(2)).last("RequestPreVoteReply").granted).toBe(true)
    expect(leader().receive("c", requestPreVote(3)).last("RequestPreVoteReply")).toEqual(preVoteReply(2, false))
  })

  test("a refusal of a later term tells it of that term", () => {
    expect(server().expire("election").receive("b", preVoteReply(6, false)).term).toBe(6)
  })

  test("a pre-candidate that hears a leader follows it", () => {
    expect(server().expire("election").receive("b", append()).leader).toBe("b")
  })

  test("a broken connection to the leader lets a follower ask soon, and help others", () => {
    const it = follower().happens({ type: "PeerDisconnected", peer: member("b") })
    expect([it.leader, it.timer("election")]).toEqual([null, { min: 0, max: disconnectMax }])
    expect(it.noted("election.leaderDisconnected")).toBe(true)
    expect(it.receive("c", requestPreVote(2)).last("RequestPreVoteReply").granted).toBe(true)
    expect(it.expire("election").role).toBe("preCandidate")
  })

  test("a voter that is connected while no leader is known lets a server ask soon, as when a cluster starts", () => {
    const connected = (it: ReturnType<typeof server>, peer = member("b")) =>
      it.happens({ type: "PeerConnected", peer }).timer("election")
    const starting = server()
    expect(connected(starting)).toEqual({ min: 0, max: disconnectMax })
    expect(starting.noted("election.voterConnected")).toBe(true)
    // With a leader, or one that may still be there, nobody is hurried; nor by a stranger, nor without pre-votes.
    expect(connected(follower())).toBeNull()
    expect(connected(server(), member("z"))).toBeNull()
    expect(connected(server({ settings: { preVote: false } }))).toBeNull()
    expect(connected(server({ settings: { leaseReads: true } }))).toBeNull()
  })

  test("a broken connection to anybody else, or to an earlier incarnation of the leader, changes nothing", () => {
    for (const peer of [member("c"), member("b", "0")]) {
      const it = follower().happens({ type: "PeerDisconnected", peer })
      expect([it.leader, it.timer("election")]).toEqual(["b", null])
    }
  })
})

describe("disruptive servers, §6 and thesis §4.2.3", () => {
  test("a server that heard a leader within the minimum election timeout neither votes nor adopts the term", () => {
    const it = follower().receive("c", requestVote(7))
    expect([it.term, it.vote, it.leader, it.sent("RequestVoteReply"), it.noted("vote.refused.sticky")]).toEqual([
      1,
      null,
      "b",
      [],
      true,
    ])
  })
  test("a leader is not deposed by a vote request", () => {
    const it = leader().receive("c", requestVote(7))
    expect([it.role, it.term]).toEqual(["leader", 2])
  })
  test("after the minimum election timeout without a leader it votes again", () => {
    expect(follower().expire("election").receive("c", requestVote(7)).vote).toBe("c")
  })
  test("an election that the leader itself asked for is let through", () => {
    const it = follower().receive("c", requestVote(2, [0, 0], true))
    expect([it.term, it.vote, it.last("RequestVoteReply").granted]).toEqual([2, "c", true])
    expect(leader().receive("c", requestVote(3, [1, 2], true)).role).toBe("follower")
  })
})

describe("CheckQuorum, thesis §6.2", () => {
  test("a leader that a majority answered within an election timeout goes on", () => {
    const it = leader({ voters: "abcde" })
    it.receive("b", accepted(0))
      .receive("c", rejected(0, 0, 1))
      .expire("quorum")
    expect([it.role, it.timer("quorum")]).toEqual(["leader", { min: electionMin, max: electionMin }])
  })
  test("a leader that no majority answered within an election timeout steps down, in the same term", () => {
    const it = leader({ voters: "abcde" })
    it.receive("b", accepted(0)).expire("quorum")
    expect([it.role, it.term, it.leader, it.timer("election")]).toEqual(["follower", 2, null, whole])
    expect(it.noted("quorum.lost")).toBe(true)
  })
  test("an answer counts for one period only", () => {
    const it = leader().receive("b", accepted(0)).expire("quorum")
    expect([it.role, it.expire("quorum").role]).toEqual(["leader", "follower"])
  })
  test("answers to snapshot chunks count", () => {
    expect(
      leader()
        .receive("b", installReply("s", "more", 1))
        .expire("quorum").role,
    ).toBe("leader")
  })
  test("it can be switched off", () => {
    expect(leader({ settings: { checkQuorum: false } }).timer("quorum")).toBe(null)
  })
})
