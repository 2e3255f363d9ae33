/** Clients: paper §8, ReadIndex on the leader and on followers (thesis §6.4), forwarded proposals. */
import { describe, expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { accepted, append, follower, leader, member, payload, server, type MessageOf, type Server } from "./server.ts"

const b = member("b")
/** Its no-op is committed; both followers have answered round 1. */
const settled = (): Server =>
  leader()
    .receive("b", accepted(1, { round: 1 }))
    .receive("c", accepted(1, { round: 1 }))
const readIndex = (bootId = 1, number = 1, term = 2): MessageOf<"ReadIndex"> => ({
  type: "ReadIndex",
  term,
  bootId,
  number,
})
const readReply = (
  index: number | null,
  over: Partial<MessageOf<"ReadIndexReply">> = {},
): MessageOf<"ReadIndexReply"> => ({ type: "ReadIndexReply", term: 1, bootId: 7, number: 1, readIndex: index, ...over })
const readAt = (it: Server): readonly [Server, number] => {
  const ref = it.read()
  return [it, ref]
}

describe("reads at the leader, §8 and thesis §6.4", () => {
  test("a leader answers a read only after a majority answered a heartbeat sent after the read came", () => {
    const [it, ref] = readAt(settled())
    expect([it.outcome(ref), it.last("AppendEntries", "b").round]).toEqual([undefined, 2])
    expect(it.receive("b", accepted(1, { round: 2 })).outcome(ref)).toEqual({ type: "ReadReady", index: 1 })
    expect(it.noted("read.confirmed")).toBe(true)
  })
  test("answers to a round that began before the read say nothing about it", () => {
    const it = settled().expire("heartbeat")
    const ref = it.read()
    expect(
      it
        .receive("b", accepted(1, { round: 2 }))
        .receive("c", accepted(1, { round: 2 }))
        .outcome(ref),
    ).toBe(undefined)
    expect(it.receive("b", accepted(1, { round: 3 })).outcome(ref)).toBeDefined()
  })
  test("a read that comes during a round waits for the next, which begins when that round ends", () => {
    const [it, first] = readAt(settled())
    const second = it.read()
    expect(it.sent("AppendEntries")).toEqual([])
    it.receive("b", accepted(1, { round: 2 }))
    expect([it.outcome(first)?.type, it.outcome(second)]).toEqual(["ReadReady", undefined])
    // The pass that confirmed the first has begun no round yet: the next step, or a heartbeat, does.
    const round = Math.max(
      ...[it, it.expire("heartbeat")].flatMap((one) => one.sent("AppendEntries", "b").map((message) => message.round)),
    )
    expect(it.receive("b", accepted(1, { round })).outcome(second)?.type).toBe("ReadReady")
  })
  test("a rejection confirms leadership as well as an acceptance does", () => {
    const [it, ref] = readAt(settled())
    expect(
      it
        .receive("b", { type: "AppendRejected", term: 2, prevLogIndex: 0, conflictTerm: 0, conflictIndex: 1, round: 2 })
        .outcome(ref)?.type,
    ).toBe("ReadReady")
  })
  test("a new leader answers no read before its no-op is committed and applied", () => {
    const it = leader({ log: [1, 1], applied: 1 })
    const ref = it.read()
    it.receive("b", accepted(2, { round: 2 })).receive("c", accepted(2, { round: 2 }))
    expect([it.commit, it.outcome(ref)]).toEqual([1, undefined])
    expect(it.receive("b", accepted(3, { round: 2 })).outcome(ref)).toEqual({ type: "ReadReady", index: 3 })
  })
  test("a read waits until the state machine has executed everything that was committed when it came", () => {
    const it = leader({ slow: true })
    it.persisted()
    it.receive("b", accepted(1, { round: 1 }))
    const ref = it.read()
    expect(it.receive("b", accepted(1, { round: 2 })).outcome(ref)).toBe(undefined)
    expect(it.applied().outcome(ref)).toEqual({ type: "ReadReady", index: 1 })
  })
  test("a leader that steps down fails the reads that wait, by name", () => {
    const [it, ref] = readAt(settled())
    expect(it.expire("quorum").expire("quorum").outcome(ref)).toMatchObject({
      type: "ReadRefused",
      reason: "leaderChanged",
    })
    const [other, lost] = readAt(settled())
    expect(other.receive("b", append({ term: 3 })).outcome(lost)).toMatchObject({ reason: "leaderChanged" })
  })
  test("a leader alone answers by itself", () => {
    const it = server({ voters: "a" }).expire("election")
    expect(it.outcome(it.read())?.type).toBe("ReadReady")
  })
  test("reads do not pile up without bound", () => {
    const it = leader({ settings: { maxPendingReads: 1 } })
    it.read()
    expect(it.outcome(it.read())).toMatchObject({ type: "ReadRefused", reason: "busy" })
    expect(it.receive("b", readIndex()).last("ReadIndexReply", "b").readIndex).toBe(null)
  })
})

describe("reads at followers, thesis §6.4", () => {
  test("a follower asks the leader, and answers once it has applied the index it is told", () => {
    const it = follower({ log: [1, 1] })
    const ref = it.read()
    expect(it.last("ReadIndex", "b")).toEqual({ type: "ReadIndex", term: 1, bootId: 7, number: 1 })
    expect(it.noted("read.asked")).toBe(true)
    expect(it.receive("b", readReply(2)).outcome(ref)).toBe(undefined)
    expect(it.receive("b", append({ prev: [2, 1], commit: 2 })).outcome(ref)).toEqual({ type: "ReadReady", index: 2 })
  })
  test("the leader confirms its leadership for it as for its own reads", () => {
    const it = settled().receive("c", readIndex(9, 4))
    expect(it.sent("ReadIndexReply")).toEqual([])
    expect(it.receive("b", accepted(1, { round: 2 })).last("ReadIndexReply", "c")).toEqual({
      type: "ReadIndexReply",
      term: 2,
      bootId: 9,
      number: 4,
      readIndex: 1,
    })
  })
  test("a new leader's answer waits for its no-op: it names that index", () => {
    const it = leader({ log: [1] }).receive("c", readIndex())
    expect(it.receive("b", accepted(1, { round: 2 })).last("ReadIndexReply", "c").readIndex).toBe(2)
  })
  test("a question that travelled through a change of term is answered by whoever leads", () => {
    const it = settled().receive("c", readIndex(1, 1, 1))
    expect(it.receive("b", accepted(1, { round: 2 })).sent("ReadIndexReply", "c")).toHaveLength(1)
  })
  test("who does not lead says so, and the read fails by name", () => {
    expect(follower({ term: 2 }).receive("c", readIndex()).last("ReadIndexReply", "c").readIndex).toBe(null)
    const it = follower()
    const ref = it.read()
    expect(it.receive("b", readReply(null)).outcome(ref)).toMatchObject({
      type: "ReadRefused",
      reason: "leaderChanged",
    })
    expect(it.noted("read.failed")).toBe(true)
  })
  test("reads that come while a question is under way go into the next one", () => {
    const it = follower({ log: [1], applied: 1 })
    const refs = [it.read(), it.read(), it.read()]
    expect(it.sent("ReadIndex")).toEqual([])
    it.receive("b", readReply(1))
    expect(refs.map((ref) => it.outcome(ref)?.type)).toEqual(["ReadReady", undefined, undefined])
    const next = [...it.sent("ReadIndex"), ...it.receive("b", append()).sent("ReadIndex")]
    expect(next.map(({ number }) => number)).toEqual([2])
  })
  test("an answer to an earlier life, an earlier question or from another server is not taken", () => {
    for (const [from, over] of [
      ["b", { bootId: 6 }],
      ["b", { number: 0 }],
      ["c", {}],
    ] as const) {
      const it = follower({ log: [1], applied: 1 })
      const ref = it.read()
      expect(it.receive(from, readReply(1, over)).outcome(ref)).toBe(undefined)
      expect(it.receive("b", readReply(1)).outcome(ref)?.type).toBe("ReadReady")
    }
  })
  test("an answer is taken once", () => {
    const it = follower({ log: [1], applied: 1 })
    it.read()
    it.receive("b", readReply(1))
    expect(it.receive("b", readReply(1)).did("Respond")).toEqual([])
  })
  test("a question or an answer that is lost is asked again, with the same number", () => {
    const it = follower()
    it.read()
    expect(it.timer("answer")).toEqual({ min: defaultSettings.electionMin, max: defaultSettings.electionMin })
    expect(it.expire("answer").sent("ReadIndex")).toEqual([])
    expect(it.expire("answer").last("ReadIndex", "b").number).toBe(1)
  })
  test("without a leader a read is refused at once", () => {
    for (const it of [server(), server().expire("election")])
      expect(it.outcome(it.read())).toMatchObject({ type: "ReadRefused", reason: "noLeader" })
  })
  test("a follower that loses its leader fails what it asked and what it was about to ask", () => {
    const it = follower()
    const refs = [it.read(), it.read()]
    it.happens({ type: "PeerDisconnected", peer: b })
    expect(refs.map((ref) => it.outcome(ref))).toMatchObject([{ reason: "leaderChanged" }, { reason: "leaderChanged" }])
    const other = follower()
    const ref = other.read()
    other.expire("election").expire("election")
    expect(other.outcome(ref)).toMatchObject({ reason: "leaderChanged" })
  })
})

describe("proposals, §5.3 and §8", () => {
  const forwarded = (ref = 1, term = 2): MessageOf<"ForwardProposal"> => ({
    type: "ForwardProposal",
    term,
    ref,
    bootId: 9,
    payloads: [payload()],
  })
  const outcome = (ref: number, bootId = 7): MessageOf<"ForwardProposalReply"> => ({
    type: "ForwardProposalReply",
    term: 1,
    ref,
    bootId,
    outcome: { type: "ProposalAppended", first: 4, term: 1 },
  })

  test("a follower hands proposals on to the leader, and the leader's outcome back", () => {
    const it = follower()
    const ref = it.propose()
    expect([it.last("ForwardProposal", "b"), it.outcome(ref)]).toMatchObject([{ ref, bootId: 7 }, undefined])
    expect(it.noted("proposal.forwarded")).toBe(true)
    expect(it.receive("b", outcome(ref)).outcome(ref)).toEqual({ type: "ProposalAppended", first: 4, term: 1 })
    expect(it.receive("b", outcome(ref)).did("Respond")).toEqual([])
  })
  test("the leader appends what is handed on to it and says where", () => {
    expect(settled().receive("c", forwarded(5)).last("ForwardProposalReply", "c")).toEqual({
      type: "ForwardProposalReply",
      term: 2,
      ref: 5,
      bootId: 9,
      outcome: { type: "ProposalAppended", first: 2, term: 2 },
    })
  })
  test("what is handed on is never handed on again: it is refused with the leader's name", () => {
    const it = follower({ term: 2 }).receive("c", forwarded())
    expect([it.sent("ForwardProposal"), it.last("ForwardProposalReply", "c").outcome]).toEqual([
      [],
      { type: "ProposalRefused", reason: "notLeader", leader: b },
    ])
  })
  test("with forwarding off a follower refuses with the leader's name", () => {
    const it = follower({ settings: { forwardProposals: false } })
    expect(it.outcome(it.propose())).toEqual({ type: "ProposalRefused", reason: "notLeader", leader: b })
    expect(it.noted("proposal.refused")).toBe(true)
  })
  test("without a leader a proposal is refused", () => {
    for (const it of [server(), server().expire("election")])
      expect(it.outcome(it.propose())).toEqual({ type: "ProposalRefused", reason: "noLeader", leader: null })
  })
  test("an outcome for an earlier life is not taken", () => {
    const it = follower()
    const ref = it.propose()
    expect(it.receive("b", outcome(ref, 6)).outcome(ref)).toBe(undefined)
  })
  test("if the leader is lost before it answers, nobody knows", () => {
    for (const lose of [
      (it: Server) => it.happens({ type: "PeerDisconnected", peer: b }),
      (it: Server) => it.receive("c", append({ term: 2 })),
      (it: Server) => it.expire("election").expire("election"),
      (it: Server) => it.expire("answer").expire("answer"),
    ]) {
      const it = follower()
      const ref = it.propose()
      expect(lose(it).outcome(ref)).toMatchObject({ type: "ProposalUnknown" })
      expect(it.receive("b", outcome(ref)).did("Respond")).toEqual([])
    }
  })
  test("all payloads of a proposal are appended, or none", () => {
    const it = leader({ settings: { maxEntryBytes: 10 } })
    expect(it.outcome(it.propose(payload(1, 10), payload(2, 11)))).toMatchObject({
      type: "ProposalRefused",
      reason: "tooLarge",
    })
    expect(it.log).toEqual([2])
    expect(it.outcome(it.propose(payload(1, 10), payload(2, 10)))).toMatchObject({ type: "ProposalAppended", first: 2 })
    expect(it.noted("proposal.appended")).toBe(true)
    expect(it.log).toEqual([2, 2, 2])
  })
  test("entries are stamped with the replicated clock, which goes on by monotonic time and never runs back along the log", () => {
    const it = leader().happens({ type: "ClockAdvanced", monotonic: 50, wall: 0 })
    it.propose()
    it.happens({ type: "ClockAdvanced", monotonic: 40, wall: 0 })
    it.propose()
    expect(it.state.log.toArray().map(({ time }) => time)).toEqual([0, 50, 50])
  })
})
