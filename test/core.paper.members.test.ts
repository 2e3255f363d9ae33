/** Who is who: joint configurations (paper §6), leadership transfer (thesis §3.10), servers that lost their disk. */
import { describe, expect, test } from "vitest"
import { configurationOf, defaultSettings } from "../core/index.ts"
import {
  accepted,
  append,
  follower,
  installReply,
  leader,
  member,
  rejected,
  requestPreVote,
  requestVote,
  server,
  voteReply,
  voting,
  type Given,
} from "./server.ts"

const { electionMin, electionMax } = defaultSettings
const whole = { min: electionMin, max: electionMax }
const candidate = (given: Given = {}) => server({ settings: { preVote: false }, ...given }).expire("election")

describe("§6 joint configurations", () => {
  const joint = { configuration: voting("abc", "cde") }
  test("a vote needs a majority of the old and a majority of the new servers", () => {
    const it = candidate(joint)
    expect(it.receivers("RequestVote")).toBe("bcde")
    expect(it.receive("b", voteReply(2, true)).role).toBe("candidate")
    expect(it.receive("d", voteReply(2, true)).role).toBe("candidate")
    expect(it.receive("e", voteReply(2, true)).role).toBe("leader")
  })
  test("refused by a majority of either half, it has lost", () => {
    expect(candidate(joint).receive("d", voteReply(2, false)).receive("e", voteReply(2, false)).role).toBe("follower")
  })
  test("an entry needs both majorities to be committed", () => {
    const it = leader(joint).receive("b", accepted(1))
    expect(it.commit).toBe(0)
    expect(it.receive("d", accepted(1)).commit).toBe(0)
    expect(it.receive("c", accepted(1)).commit).toBe(1)
  })
  test("learners get the log and decide nothing", () => {
    const it = leader({ configuration: { ...voting("ab"), learners: [member("z")] } })
    expect(it.receive("z", accepted(1)).commit).toBe(0)
    expect([it.receive("b", accepted(1)).commit, it.expire("heartbeat").receivers("AppendEntries")]).toEqual([1, "bz"])
    expect(candidate({ configuration: { ...voting("ab"), learners: [member("z")] } }).receivers("RequestVote")).toBe(
      "b",
    )
  })
  test("a server outside its configuration never campaigns", () => {
    const it = server({ name: "z" }).expire("election")
    expect([it.role, it.noted("election.notVoter"), it.timer("election")]).toEqual(["follower", true, whole])
    expect(server({ name: "z" }).receive("a", { type: "TimeoutNow", term: 1 }).role).toBe("follower")
  })
  test("a configuration counts as soon as it stands in the log, and falls back when its entry is truncated", () => {
    const it = follower({ term: 2 })
    const entry = { kind: "configuration", index: 1, term: 1, time: 0, chain: 0, configuration: voting("ab") } as const
    it.receive("b", { ...append({ term: 2 }), entries: [entry] })
    expect(configurationOf(it.state)).toEqual(voting("ab"))
    it.receive("c", append({ term: 3, entries: [3] }))
    expect(configurationOf(it.state)).toEqual(voting("abc"))
  })
})

describe("leadership transfer, thesis §3.10", () => {
  const transfer = { type: "TransferRequested", to: member("b") } as const
  test("the target is brought up to date first, then told to start an election", () => {
    const it = leader().happens(transfer)
    expect([it.sent("TimeoutNow"), it.noted("transfer.started")]).toEqual([[], true])
    expect(it.receive("b", accepted(1)).last("TimeoutNow", "b").term).toBe(2)
    expect(it.noted("transfer.timeoutNow")).toBe(true)
    expect(it.receive("b", accepted(1)).sent("TimeoutNow")).toEqual([])
  })
  test("meanwhile no proposals are accepted", () => {
    const it = leader().happens(transfer)
    expect(it.outcome(it.propose())).toMatchObject({ type: "ProposalRefused", reason: "transferring" })
  })
  test("without a named target it goes to the voter that has most", () => {
    const it = leader().receive("b", accepted(0)).receive("c", accepted(1))
    expect(it.happens({ type: "TransferRequested", to: null }).receivers("TimeoutNow")).toBe("c")
  })
  test("the target starts an election at once, without asking first, and says why", () => {
    const it = follower().receive("b", { type: "TimeoutNow", term: 1 })
    expect([it.role, it.last("RequestVote", "c").transfer]).toEqual(["candidate", true])
  })
  test("a target that does not take over in time is given up", () => {
    const it = leader().happens(transfer)
    expect(it.timer("transfer")).toEqual({ min: electionMin, max: electionMin })
    it.expire("transfer")
    expect(it.noted("transfer.gaveUp")).toBe(true)
    expect(it.outcome(it.propose())).toMatchObject({ type: "ProposalAppended" })
  })
  test("only a leader transfers, and only to a voter that it knows", () => {
    expect(follower().happens(transfer).did("SetTimer")).toEqual([])
    expect(
      leader()
        .happens({ type: "TransferRequested", to: member("z") })
        .did("SetTimer"),
    ).toEqual([])
    expect(
      leader({ configuration: { ...voting("abc"), learners: [member("z")] } })
        .happens({ type: "TransferRequested", to: member("z") })
        .did("SetTimer"),
    ).toEqual([])
  })
})

describe("amnesia and strangers", () => {
  test("a server with an empty configuration grants nothing, not even an opinion, and never campaigns", () => {
    const it = server({ voters: "", term: 0 })
    expect(it.receive("b", requestVote(3)).did("Send")).toEqual([])
    expect([it.vote, it.noted("vote.refused.amnesiac")]).toEqual([null, true])
    expect(it.receive("b", requestPreVote(4)).did("Send")).toEqual([])
    expect(it.expire("election").role).toBe("follower")
    expect(it.receive("b", { type: "TimeoutNow", term: 3 }).role).toBe("follower")
  })
  test("neither votes nor acknowledgements of another incarnation of a member count, nor do their terms", () => {
    const stranger = member("b", "2")
    const it = candidate().receive(stranger, voteReply(2, true))
    expect([it.role, it.noted("member.strangerIgnored")]).toEqual(["candidate", true])
    for (const message of [
      voteReply(9, false),
      accepted(1, { term: 9 }),
      rejected(0, 0, 1, { term: 9 }),
      installReply("s", "installed", 0, { term: 9 }),
    ])
      expect(it.receive(stranger, message).term).toBe(2)
    const lead = leader().receive(stranger, accepted(1))
    expect([lead.commit, lead.progress("b").matchIndex]).toEqual([0, 0])
  })
  test("requests are taken from whoever sends them: a leader may be one that this server's configuration does not name yet, thesis §4.1", () => {
    const stranger = member("b", "2")
    const it = server().receive(stranger, append({ entries: [1] }))
    expect([it.log, it.state.role]).toMatchObject([[1], { leader: stranger }])
    expect(server().receive(stranger, requestVote(2)).state.votedFor).toEqual(stranger)
  })
  test("an answer from somebody whom the leader does not know harms nothing", () => {
    const it = leader()
      .receive("z", accepted(1), rejected(0, 0, 1), installReply("s", "installed"))
      .happens({ type: "PeerConnected", peer: member("z") }, { type: "SnapshotOpenFailed", to: member("z") })
    expect([it.role, it.commit]).toEqual(["leader", 0])
  })
})
