/** Cluster membership changes (paper §6, thesis §4) and lease reads (thesis §6.4.1), sentence by sentence. */
import { describe, expect, test } from "vitest"
import { chainAfter, configurationOf, defaultSettings, type Member } from "../core/index.ts"
import {
  accepted,
  append,
  follower,
  leader,
  member,
  members,
  preVoteReply,
  rejected,
  requestPreVote,
  requestVote,
  server,
  voteReply,
  voting,
  type Server,
} from "./server.ts"

const { electionMin } = defaultSettings

let nextRef = 1000
const change = (it: Server, voters: string | readonly Member[], learners: string | readonly Member[] = ""): number => {
  const ref = nextRef++
  const list = (names: string | readonly Member[]): readonly Member[] =>
    typeof names === "string" ? members(names) : names
  it.happens({ type: "ConfigurationChangeProposed", ref, voters: list(voters), learners: list(learners) })
  return ref
}
const names = (list: readonly Member[]): string => list.map(({ name }) => name).join("")
/** voters|outgoing|learners of the configuration in force. */
const inForce = (it: Server): string => {
  const { voters, outgoing, learners } = configurationOf(it.state)
  return `${names(voters)}|${names(outgoing)}|${names(learners)}`
}
/** A leader of abc, with these learners, that has committed its no-op at 1, and to which the learners have answered. */
const ready = (learners = ""): Server => {
  const it = leader({ configuration: { ...voting("abc"), learners: members(learners) } }).receive("b", accepted(1))
  for (const name of learners) it.receive(name, accepted(1))
  return it
}
const refusal = (it: Server, ref: number): unknown => it.outcome(ref)

describe("a change goes through a joint configuration, paper §6", () => {
  test("the leader appends it, uses it at once and replicates it to the new servers too", () => {
    const it = ready("d")
    const ref = change(it, "abd")
    expect([refusal(it, ref), inForce(it)]).toEqual([{ type: "ProposalAppended", first: 2, term: 2 }, "abd|abc|"])
    expect(it.noted("member.changeStarted")).toBe(true)
    expect(it.receivers("AppendEntries")).toContain("d")
  })
  test("it is committed by a majority of the old and a majority of the new servers", () => {
    const it = ready("de")
    change(it, "ade")
    expect(it.receive("b", accepted(2)).receive("c", accepted(2)).commit).toBe(1)
    expect(it.receive("d", accepted(2)).commit).toBe(2)
  })
  test("once it is committed the leader appends the entry that leaves it, for which the new servers decide", () => {
    const it = ready("de")
    change(it, "ade")
    it.receive("d", accepted(2)).receive("b", accepted(2))
    expect([inForce(it), it.state.log.lastIndex, it.noted("member.jointLeft")]).toEqual(["ade||", 3, true])
    expect(it.receive("b", accepted(3)).receive("c", accepted(3)).commit).toBe(2)
    expect(it.receive("e", accepted(3)).commit).toBe(3)
  })
  test("whichever leader sees it committed leaves it, after an entry of its own term", () => {
    const joint = {
      kind: "configuration",
      index: 1,
      term: 1,
      time: 0,
      chain: 0,
      configuration: voting("abd", "abc"),
    } as const
    const it = follower()
    it.receive("b", { ...append({ commit: 1 }), entries: [joint] })
    expect([it.commit, inForce(it)]).toEqual([1, "abd|abc|"])
    it.elect()
    expect([inForce(it), it.state.log.lastIndex]).toEqual(["abd|abc|", 2])
    it.receive("b", accepted(2))
    expect([inForce(it), it.commit, it.state.log.lastIndex]).toEqual(["abd||", 2, 3])
  })
  test("it is not left while nobody who would stay has a state machine that works: who goes may be the one to supply a snapshot", () => {
    const it = ready()
    change(it, "bc")
    it.receive("b", accepted(2, { condition: "rebuild" })).receive("c", accepted(2, { condition: "rebuild" }))
    expect([it.commit, inForce(it)]).toEqual([2, "bc|abc|"])
    it.receive("c", accepted(2))
    expect(inForce(it)).toBe("bc||")
  })
  test("whom it removes learns of it from the last entry, and is left alone once that is committed", () => {
    const it = ready("d")
    it.receive("c", accepted(1))
    change(it, "abd")
    it.receive("b", accepted(2))
    expect([inForce(it), it.last("AppendEntries", "c").entries.at(-1)]).toMatchObject([
      "abd||",
      { kind: "configuration", index: 3 },
    ])
    it.receive("b", accepted(3))
    expect(it.expire("heartbeat").receivers("AppendEntries")).toBe("bd")
  })
  test("a change of learners alone needs no joint configuration, and learners do not count", () => {
    const it = ready()
    change(it, "abc", "z")
    expect([inForce(it), it.receive("z", accepted(2)).commit, it.receive("c", accepted(2)).commit]).toEqual([
      "abc||z",
      1,
      2,
    ])
  })
  test("a promoted learner votes and counts", () => {
    const it = ready()
    change(it, "abc", "z")
    it.receive("b", accepted(2)).receive("z", accepted(2))
    change(it, "abcz")
    it.receive("b", accepted(3)).receive("z", accepted(3))
    expect([inForce(it), it.receive("b", accepted(4)).commit, it.receive("z", accepted(4)).commit]).toEqual([
      "abcz||",
      3,
      4,
    ])
    // What it knows of itself does not matter to whether it may vote, thesis §4.2.2.
    expect(
      server({ name: "z", configuration: { ...voting("abc"), learners: members("z") } })
        .receive("a", requestVote(2))
        .last("RequestVoteReply", "a").granted,
    ).toBe(true)
  })
})

describe("when a change is refused", () => {
  test("before the leader has committed an entry of its term (Ongaro 2015)", () => {
    const it = leader()
    expect(refusal(it, change(it, "abd"))).toMatchObject({ reason: "notReady" })
    expect(it.noted("member.changeRefused")).toBe(true)
  })
  test("while an earlier one is open: not committed, or not left", () => {
    const it = ready("de")
    change(it, "abcd", "e")
    expect(refusal(it, change(it, "abcde"))).toMatchObject({ reason: "changePending" })
    it.receive("b", accepted(2)).receive("d", accepted(2))
    expect([inForce(it), refusal(it, change(it, "abcde"))]).toMatchObject(["abcd||e", { reason: "changePending" }])
    it.receive("b", accepted(3)).receive("d", accepted(3)).receive("e", accepted(3))
    expect(refusal(it, change(it, "abcde"))).toMatchObject({ type: "ProposalAppended" })
  })
  test("until a new voter's disk holds the configuration of which it is a learner, and its state machine works", () => {
    const it = ready()
    change(it, "abc", "d")
    it.receive("b", accepted(2))
    expect([it.commit, refusal(it, change(it, "abcd"))]).toMatchObject([2, { reason: "notReady" }])
    it.receive("d", accepted(2, { condition: "full" }))
    expect(refusal(it, change(it, "abcd"))).toMatchObject({ reason: "notReady" })
    it.receive("d", accepted(2))
    expect(refusal(it, change(it, "abcd"))).toMatchObject({ type: "ProposalAppended" })
  })
  test("by who does not lead, and during a transfer", () => {
    const it = follower()
    expect(refusal(it, change(it, "ab"))).toMatchObject({ reason: "notLeader", leader: member("b") })
    const leads = ready().happens({ type: "TransferRequested", to: member("b") })
    expect(refusal(leads, change(leads, "ab"))).toMatchObject({ reason: "transferring" })
  })
  test.each([
    ["nobody would decide", [], []],
    ["a name stands twice", members("aab"), []],
    ["a voter is a learner", members("ab"), members("b")],
    ["nothing changes", members("cab"), []],
    ["a new voter was no learner: it could not vote yet (thesis §4.2.1)", members("abcd"), []],
    ["a server that lost its disk would vote beside its earlier incarnation", [...members("ab"), member("c", "2")], []],
  ])("because %s", (_, voters, learners) => {
    const it = ready()
    expect([refusal(it, change(it, voters, learners)), it.state.log.lastIndex]).toMatchObject([
      { reason: "invalidChange" },
      1,
    ])
  })
})

describe("a server that lost its disk", () => {
  const again = member("c", "2")
  test("comes back as a learner of another incarnation, then as a voter; its earlier one never counts again", () => {
    const it = ready()
    change(it, "ab", [again])
    expect([inForce(it), it.receivers("AppendEntries")]).toEqual(["ab|abc|c", "bc"])
    // The earlier incarnation is still one of the outgoing voters, but nobody supplies it.
    it.receive(again, accepted(2))
    expect(it.commit).toBe(1)
    it.receive("b", accepted(2)).receive("b", accepted(3))
    expect([it.commit, inForce(it)]).toEqual([3, "ab||c"])
    it.receive("c", accepted(3))
    expect(it.noted("member.strangerIgnored")).toBe(true)
    it.receive(again, accepted(3))
    change(it, [...members("ab"), again])
    it.receive(again, accepted(4)).receive("b", accepted(4))
    expect([inForce(it), configurationOf(it.state).voters.at(-1)]).toEqual(["abc||", again])
  })
})

describe("addresses of members", () => {
  const addresses = { a: "h:1", b: "h:2", c: "h:3" }
  const addressesIn = (it: Server) => configurationOf(it.state).addresses
  const told = (it: Server, more: object, ref = 90): number => {
    it.happens({ type: "ConfigurationChangeProposed", ref, voters: members("abc"), learners: [], ...more })
    return ref
  }
  test("are changed like members, without a joint configuration, and stay through changes that give none", () => {
    const it = ready("d")
    told(it, { addresses, learners: members("d") })
    expect([inForce(it), addressesIn(it)]).toEqual(["abc||d", addresses])
    it.receive("b", accepted(2)).receive("d", accepted(2))
    expect(refusal(it, told(it, { addresses, learners: members("d") }, 91)), "nothing changes").toMatchObject({
      reason: "invalidChange",
    })
    change(it, "abd")
    expect([inForce(it), addressesIn(it)]).toEqual(["abd|abc|", addresses])
    it.receive("b", accepted(3)).receive("d", accepted(3))
    expect([inForce(it), addressesIn(it)]).toEqual(["abd||", addresses])
  })
  test("are covered by the chained checksum", () => {
    const entry = { kind: "configuration", index: 1, term: 1, time: 0, configuration: voting("abc") } as const
    const chainWith = (more: Readonly<Record<string, string>>): number =>
      chainAfter(0, { ...entry, configuration: { ...voting("abc"), addresses: more } })
    expect(
      new Set([
        chainWith(addresses),
        chainWith({ ...addresses, c: "h:4" }),
        chainWith({ a: "h:1" }),
        chainAfter(0, entry),
      ]).size,
    ).toBe(4)
    expect(chainWith({}), "none is as an empty list").toBe(chainAfter(0, entry))
  })
})

describe("removal of the leader, paper §6", () => {
  test("it leads until its removal is committed, does not count itself, then steps down and names a successor", () => {
    const it = ready("d")
    change(it, "bcd")
    it.receive("b", accepted(2)).receive("c", accepted(2))
    expect([inForce(it), it.role]).toEqual(["bcd||", "leader"])
    expect([it.receive("b", accepted(3)).commit, it.role]).toEqual([2, "leader"])
    it.receive("c", accepted(3))
    expect([it.commit, it.role, it.noted("member.leaderRemoved"), it.receivers("TimeoutNow")]).toEqual([
      3,
      "follower",
      true,
      "b",
    ])
    it.expire("election").expire("election")
    expect([it.role, it.noted("election.notVoter")]).toEqual(["follower", true])
  })
  test("so does one that becomes a learner", () => {
    const it = ready()
    change(it, "bc", "a")
    it.receive("b", accepted(2)).receive("c", accepted(2)).receive("b", accepted(3)).receive("c", accepted(3))
    expect([it.role, inForce(it)]).toEqual(["follower", "bc||a"])
  })
})

describe("a server that a change removes, while the change is not committed", () => {
  const leaving = { kind: "configuration", index: 2, term: 1, time: 0, chain: 0, configuration: voting("bc") } as const
  const joint = {
    kind: "configuration",
    index: 1,
    term: 1,
    time: 0,
    chain: 0,
    configuration: voting("bc", "abc"),
  } as const
  const holder = (commit: number): Server =>
    follower().receive("b", { ...append({ commit }), entries: [joint, leaving] })
  test("still campaigns: its log may be the one that the others need (thesis §4.2.2); it does not count itself", () => {
    const it = holder(1).expire("election").expire("election")
    expect([it.role, it.receivers("RequestPreVote")]).toEqual(["preCandidate", "bc"])
    it.receive("b", preVoteReply(2, true))
    expect(it.role).toBe("preCandidate")
    it.receive("c", preVoteReply(2, true))
    expect(it.role).toBe("candidate")
    it.receive("b", voteReply(2, true)).receive("c", voteReply(2, true))
    expect([it.role, inForce(it)]).toEqual(["leader", "bc||"])
    it.receive("b", accepted(3)).receive("c", accepted(3))
    expect([it.role, it.commit, it.noted("member.leaderRemoved")]).toEqual(["follower", 3, true])
  })
  test("never again once it knows that it is committed; the leader tells it, as well as may be", () => {
    const it = holder(2).expire("election").expire("election")
    expect([it.role, it.noted("election.notVoter")]).toEqual(["follower", true])
    const leads = ready().receive("c", accepted(1))
    change(leads, "ab")
    leads.receive("c", accepted(2)).receive("b", accepted(2)).receive("c", accepted(3)).receive("b", accepted(3))
    expect([inForce(leads), leads.commit, leads.last("AppendEntries", "c").leaderCommit]).toEqual(["ab||", 3, 3])
  })
})

describe("removed servers", () => {
  const removed = (): Server => {
    const it = ready()
    change(it, "ab")
    return it.receive("b", accepted(2)).receive("b", accepted(3))
  }
  test("cannot disturb: a live leader's servers refuse votes without adopting the term, thesis §4.2.3", () => {
    const it = removed()
    it.receive("c", requestVote(9, [9, 9]), requestPreVote(9, [9, 9]))
    expect([it.role, it.term]).toEqual(["leader", 2])
    const follows = follower().receive("c", requestVote(9, [9, 9]))
    expect([follows.term, follows.leader]).toEqual([1, "b"])
  })
  test("late answers of theirs count for nothing and break nothing", () => {
    const it = removed()
    const before = it.commit
    it.receive("c", accepted(3), rejected(3, 0, 1), voteReply(2, true), preVoteReply(3, true), {
      type: "ReadIndex",
      term: 2,
      bootId: 1,
      number: 1,
    })
    expect([it.role, it.commit]).toEqual(["leader", before])
  })
})

describe("lease reads, thesis §6.4.1", () => {
  const leases = { settings: { leaseReads: true } } as const
  const leased = (): Server => leader(leases).receive("b", accepted(1, { round: 1 }))
  test("a quorum's answer gives a lease from the sending of that round, for the shortest election timeout less what clocks may differ", () => {
    expect(
      leased()
        .did("SetTimer")
        .find(({ timer }) => timer === "lease"),
    ).toEqual({ type: "SetTimer", timer: "lease", min: electionMin * 0.9, max: electionMin * 0.9, since: 1 })
  })
  test("it serves reads without a round, at the leader and for followers", () => {
    const it = leased()
    const ref = it.read()
    expect([it.outcome(ref), it.did("Send"), it.noted("read.leased")]).toEqual([
      { type: "ReadReady", index: 1 },
      [],
      true,
    ])
    it.receive("c", { type: "ReadIndex", term: 2, bootId: 4, number: 9 })
    expect(it.last("ReadIndexReply", "c")).toMatchObject({ bootId: 4, number: 9, readIndex: 1 })
  })
  test("not in the batch that brings the answer: the lease may be over already, and only the next batch is told", () => {
    const it = leader(leases)
    const late = { type: "MessageReceived", from: member("b"), message: accepted(1, { round: 1 }) } as const
    it.happens(late, { type: "ReadRequested", ref: 77 })
    expect(it.outcome(77)).toBe(undefined)
    it.happens({ type: "TimerExpired", timer: "lease" }, { type: "ReadRequested", ref: 78 })
    expect([it.outcome(78), it.noted("lease.over")]).toEqual([undefined, true])
  })
  test("not before an entry of the leader's term is committed", () => {
    const it = leader(leases).receive("b", accepted(0, { round: 1 }))
    expect(it.outcome(it.read())).toBe(undefined)
  })
  test("never again in a term in which a successor was told to campaign", () => {
    const it = leased().happens({ type: "TransferRequested", to: member("b") })
    expect(it.receivers("TimeoutNow")).toBe("b")
    it.expire("transfer")
      .expire("heartbeat")
      .receive("b", accepted(1, { round: 2 }))
    expect(it.outcome(it.read())).toBe(undefined)
  })
  test("a server that starts refuses its vote for the minimum election timeout: an earlier life may have promised it", () => {
    const it = server({ ...leases, slow: true }).happens({ type: "Started" })
    expect(it.timer("election")).toEqual({ min: electionMin, max: electionMin })
    expect(it.receive("b", requestVote(5)).term).toBe(1)
    expect(it.receive("b", requestPreVote(5)).last("RequestPreVoteReply").granted).toBe(false)
    it.expire("election")
    expect(it.receive("b", requestVote(5)).vote).toBe("b")
  })
  test("a closed connection does not end what was promised to the leader", () => {
    const it = follower(leases).happens({ type: "PeerDisconnected", peer: member("b") })
    expect([it.leader, it.timer("election"), it.receive("c", requestVote(5)).term]).toEqual([null, null, 1])
  })
  test("without the option there is no lease", () => {
    const it = ready()
    expect([it.timer("lease"), it.outcome(it.read())]).toEqual([null, undefined])
  })
})
