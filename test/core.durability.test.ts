/** What is claimed is durable (architecture: durability order), windows and backpressure, low space, a hanging disk. */
import { describe, expect, test } from "vitest"
import { defaultSettings, entryBytes } from "../core/index.ts"
import {
  accepted,
  append,
  follower,
  leader,
  member,
  payload,
  requestVote,
  server,
  snapshotAt,
  install,
  voteReply,
  type Server,
} from "./server.ts"

const slow = { slow: true } as const

describe("votes", () => {
  test("term and vote leave in one record, and the grant waits for it", () => {
    const it = server(slow).receive("b", requestVote(2))
    expect([it.did("Persist").map(({ hardState }) => hardState), it.did("Send")]).toEqual([
      [{ term: 2, vote: member("b") }],
      [],
    ])
    expect(it.persisted().last("RequestVoteReply", "b")).toEqual(voteReply(2, true))
  })
  test("a grant does not leave with an older persist of the same term", () => {
    const it = server(slow).receive("c", voteReply(2, false)).receive("b", requestVote(2))
    expect(it.did("Persist")).toHaveLength(1)
    expect(it.persisted(1).did("Send")).toEqual([])
    expect(it.persisted(1).sent("RequestVoteReply", "b")).toHaveLength(1)
  })
  test("a grant that a later term overtook is not told", () => {
    const it = server(slow)
      .receive("b", requestVote(2))
      .receive("c", append({ term: 3 }))
    expect(it.persisted().sent("RequestVoteReply")).toEqual([])
  })
  test("a grant is told once", () => {
    const it = server(slow).receive("b", requestVote(2))
    it.persisted()
    expect(
      it
        .receive("c", append({ term: 2 }))
        .persisted()
        .sent("RequestVoteReply"),
    ).toEqual([])
  })
  test("a candidate asks, and counts its own vote, once that vote is durable", () => {
    const it = server({ ...slow, settings: { preVote: false } }).expire("election")
    expect([it.role, it.did("Send")]).toEqual(["candidate", []])
    it.receive("b", voteReply(2, true))
    expect(it.role).toBe("candidate")
    expect([it.persisted().role, it.receivers("RequestVote")]).toEqual(["leader", "bc"])
  })
  test("a server alone does not lead before its vote is durable", () => {
    const it = server({ ...slow, voters: "a" }).expire("election")
    expect([it.role, it.persisted(1).role]).toEqual(["candidate", "leader"])
  })
})

describe("acknowledgements", () => {
  const slowFollower = (): Server => {
    const it = server({ ...slow, log: [1] })
    return it.receive("b", append({ prev: [1, 1] }))
  }
  test("entries are acknowledged once they are durable", () => {
    const it = slowFollower().receive("b", append({ prev: [1, 1], entries: [1, 1] }))
    expect(it.sent("AppendAccepted")).toEqual([])
    expect(it.persisted().last("AppendAccepted", "b")).toMatchObject({ matchIndex: 3, verifiedIndex: 3 })
  })
  test("a heartbeat meanwhile is answered, with what is durable", () => {
    const it = slowFollower().receive("b", append({ prev: [1, 1], entries: [1, 1] }))
    expect(it.receive("b", append({ prev: [3, 1], round: 1 })).last("AppendAccepted")).toMatchObject({
      matchIndex: 1,
      verifiedIndex: 3,
      round: 1,
    })
  })
  test("an append that repeats entries still in the queue is not acknowledged", () => {
    const it = slowFollower().receive("b", append({ prev: [1, 1], entries: [1, 1] }))
    expect(it.receive("b", append({ prev: [1, 1], entries: [1, 1] })).sent("AppendAccepted")).toEqual([])
  })
  test("nothing is acknowledged in a term that is not durable", () => {
    const it = server({ ...slow, log: [1] }).receive("b", append({ term: 2, prev: [1, 1], round: 1 }))
    expect(it.did("Send")).toEqual([])
    expect(it.persisted().last("AppendAccepted", "b").matchIndex).toBe(1)
    const refused = server(slow).receive("b", append({ term: 2, prev: [4, 1] }))
    expect([refused.did("Send").length, refused.persisted().sent("AppendRejected").length]).toEqual([0, 1])
  })
  test("a truncation caps what outstanding persists make durable", () => {
    const it = server({ ...slow, term: 1 }).receive("b", append({ entries: [1, 1, 1] }))
    it.receive("c", append({ term: 2, prev: [1, 1], entries: [2, 2], round: 1 }))
    expect(it.did("Persist")).toMatchObject([{ truncateFrom: 2, entries: [{ term: 2 }, { term: 2 }] }])
    expect([it.persisted(1).state.durability.index, it.sent("AppendAccepted")]).toEqual([1, []])
    expect(it.persisted(1).last("AppendAccepted", "c").matchIndex).toBe(3)
  })
  test("an entry that replaces a durable one is not durable with it", () => {
    const it = server({ ...slow, term: 2, log: [1, 1, 1] }).receive(
      "c",
      append({ term: 2, prev: [1, 1], entries: [2, 2] }),
    )
    expect([it.state.durability.index, it.last("AppendAccepted").matchIndex]).toEqual([1, 1])
    expect(
      it.receive("c", append({ term: 2, prev: [3, 2], round: 1, commit: 3 })).last("AppendAccepted"),
    ).toMatchObject({ matchIndex: 1, verifiedIndex: 3 })
    expect(it.did("Apply").flatMap(({ entries }) => entries.map(({ term }) => term))).not.toContain(2)
    expect(it.persisted().last("AppendAccepted").matchIndex).toBe(3)
  })
  test("the same entry written, overwritten and written again is durable with the last writing only", () => {
    const it = server(slow).receive("b", append({ entries: [1, 1] }))
    it.receive("c", append({ term: 2, prev: [1, 1], entries: [2] }))
    it.receive("b", append({ term: 3, prev: [1, 1], entries: [2], round: 1 }))
    expect(it.persisted(1).state.durability.index).toBe(1)
    expect(it.persisted(1).state.durability.index).toBe(2)
    const again = server(slow)
      .receive("b", append({ entries: [1, 1] }))
      .receive("c", append({ term: 2, entries: [2] }))
    again.receive("b", append({ term: 3, entries: [1, 1] }))
    expect([
      again.persisted(1).state.durability.index,
      again.persisted(1).state.durability.index,
      again.persisted(1).state.durability.index,
    ]).toEqual([0, 0, 2])
  })
  test("truncation and the new entries leave in one record", () => {
    const it = server({ ...slow, log: [1, 1], term: 2 }).receive("b", append({ term: 2, entries: [2] }))
    expect(it.did("Persist")).toMatchObject([{ truncateFrom: 1, entries: [{ index: 1, term: 2 }] }])
  })
  test("nothing is applied that the own disk does not hold", () => {
    const it = slowFollower().receive("b", append({ prev: [1, 1], entries: [1], commit: 2 }))
    expect([it.commit, it.did("Apply").map(({ entries }) => entries.length)]).toEqual([2, [1]])
    it.applied()
    expect(
      it
        .persisted()
        .did("Apply")
        .map(({ entries }) => entries[0]?.index),
    ).toEqual([2])
  })
  test("an installed snapshot is told once the log's new base is durable", () => {
    const it = server(slow)
      .receive("b", install(snapshotAt(9, 1), 0, true))
      .happens({ type: "ChunkStored", id: "s9", nextOffset: 1, last: true })
    it.happens({ type: "SnapshotRestored", snapshot: snapshotAt(9, 1) })
    expect(it.sent("InstallSnapshotReply")).toEqual([])
    expect(it.persisted().last("InstallSnapshotReply").status).toBe("installed")
  })
})

describe("the leader's own share", () => {
  test("appends leave in parallel with the leader's own write, which counts when it is done", () => {
    const it = leader({ ...slow, voters: "abcd" })
    expect(it.receivers("AppendEntries")).toBe("bcd")
    it.receive("b", accepted(1)).receive("c", accepted(1))
    expect([it.commit, it.persisted().commit]).toEqual([0, 1])
  })
  test("a quorum of others commits without it; it applies what its disk holds", () => {
    const it = leader(slow).receive("b", accepted(1)).receive("c", accepted(1))
    expect([it.commit, it.did("Apply")]).toEqual([1, []])
    expect(it.persisted().did("Apply")).toHaveLength(1)
  })
})

describe("windows", () => {
  const streaming = (settings: Server["state"]["settings"] | object): Server =>
    leader({ settings }).receive("b", accepted(1))
  const inBatches = (it: Server): readonly number[] =>
    it.sent("AppendEntries", "b").map(({ entries }) => entries.length)

  test("appends do not wait for the answers to those before", () => {
    const it = streaming({})
    const prev = [1, 2, 3].map(() => {
      it.propose()
      return it.last("AppendEntries", "b").prevLogIndex
    })
    expect(prev).toEqual([1, 2, 3])
  })
  test("at most maxInflight appends are under way, and an answer opens the window", () => {
    const it = streaming({ maxInflight: 2 })
    const sent = [1, 2, 3, 4].map(() => {
      it.propose()
      return inBatches(it).length
    })
    expect(sent).toEqual([1, 1, 0, 0])
    expect(inBatches(it.receive("b", accepted(2)))).toEqual([2])
  })
  test("at most maxInflightBytes are under way, but for one entry that is larger", () => {
    const it = streaming({ maxInflightBytes: 500 })
    it.propose(payload(1, 2000))
    expect(inBatches(it)).toEqual([1])
    it.propose()
    expect(inBatches(it)).toEqual([])
    expect(inBatches(it.receive("b", accepted(2)))).toContain(1)
  })
  test("a batch is at most maxBatchBytes, but for one entry that is larger", () => {
    const it = streaming({ maxBatchBytes: 200 })
    it.propose(payload(1, 52), payload(2, 52), payload(3, 52), payload(4, 1000), payload(5, 10))
    expect(inBatches(it)).toEqual([2, 1, 1, 1])
    expect(it.sent("AppendEntries", "b").flatMap(({ entries }) => entries.map(({ index }) => index))).toEqual([
      2, 3, 4, 5, 6,
    ])
  })
  test("what is under way is counted exactly, whatever is answered together", () => {
    const it = streaming({ maxInflight: 100 })
    for (let i = 0; i < 5; i++) it.propose()
    it.receive("b", accepted(3))
    const { mode } = it.progress("b")
    const expected = [4, 5, 6].reduce(
      (bytes, index) =>
        bytes + entryBytes(it.state.log.entry(index) ?? { kind: "noop", index, term: 2, time: 0, chain: 0 }),
      0,
    )
    expect(mode).toMatchObject({
      inflightBytes: expected,
      inflight: [{ lastIndex: 4 }, { lastIndex: 5 }, { lastIndex: 6 }],
    })
  })
  test("while it probes, a leader sends one append, not a stream", () => {
    const it = leader()
    it.propose()
    it.propose()
    expect(inBatches(it)).toEqual([])
    expect(inBatches(it.receive("b", accepted(1)))).toEqual([2])
  })
  test("a batch for the state machine is at most maxApplyBytes", () => {
    const it = follower({ ...slow, log: [1, 1, 1], settings: { maxApplyBytes: 120 } })
    expect(
      it
        .receive("b", append({ prev: [3, 1], commit: 3 }))
        .did("Apply")
        .map(({ entries }) => entries.length),
    ).toEqual([2])
  })
})

describe("backpressure", () => {
  test("a leader refuses more than maxUncommittedBytes, and takes proposals again once they are committed", () => {
    const it = leader({ settings: { maxUncommittedBytes: 400 } }).receive("b", accepted(1))
    expect(it.outcome(it.propose(payload(1, 300)))).toMatchObject({ type: "ProposalAppended" })
    expect(it.outcome(it.propose(payload(2, 300)))).toMatchObject({
      type: "ProposalRefused",
      reason: "busy",
      leader: member("a"),
    })
    it.receive("b", accepted(2))
    expect(it.outcome(it.propose(payload(2, 300)))).toMatchObject({ type: "ProposalAppended" })
  })
  test("one proposal always fits a leader that has nothing uncommitted, however large", () => {
    const it = leader({ settings: { maxUncommittedBytes: 400 } }).receive("b", accepted(1))
    expect(it.outcome(it.propose(payload(1, 5000)))).toMatchObject({ type: "ProposalAppended" })
  })
})

describe("low space", () => {
  const low = { type: "SpaceChanged", low: true } as const
  test("a follower takes and acknowledges no entries, but answers heartbeats", () => {
    const it = follower({ log: [1] })
      .happens(low)
      .receive("b", append({ prev: [1, 1], entries: [1] }))
    expect([it.log, it.noted("append.refused.spaceLow")]).toEqual([[1], true])
    expect(it.last("AppendAccepted")).toMatchObject({ condition: "full" })
    expect(it.receive("b", append({ prev: [1, 1], round: 1 })).last("AppendAccepted")).toMatchObject({
      round: 1,
      matchIndex: 1,
    })
    expect(it.timer("election")).not.toBe(null)
  })
  test("a leader refuses proposals by name, and still answers reads", () => {
    const it = leader()
      .receive("b", accepted(1, { round: 1 }))
      .happens(low)
    expect(it.outcome(it.propose())).toMatchObject({ type: "ProposalRefused", reason: "spaceLow" })
    const ref = it.read()
    expect(it.receive("b", accepted(1, { round: 2 })).outcome(ref)?.type).toBe("ReadReady")
  })
  test("all resumes once there is room", () => {
    const it = follower()
      .happens(low, { type: "SpaceChanged", low: false })
      .receive("b", append({ entries: [1] }))
    expect(it.last("AppendAccepted").matchIndex).toBe(1)
    const lead = leader().happens(low, { type: "SpaceChanged", low: false })
    expect(lead.outcome(lead.propose())?.type).toBe("ProposalAppended")
  })
})

describe("a disk that hangs", () => {
  const { diskStallTimeout } = defaultSettings
  test("a leader whose oldest write does not end hands over to whoever has most, and follows", () => {
    const it = leader(slow)
    expect(it.timer("persist")).toEqual({ min: diskStallTimeout, max: diskStallTimeout })
    it.receive("b", accepted(0)).receive("c", accepted(1)).expire("persist")
    expect([it.role, it.receivers("TimeoutNow"), it.noted("persist.stalled")]).toEqual(["follower", "c", true])
  })
  test("a disk that ends its writes, however many there are, is watched on", () => {
    const it = leader(slow)
    it.propose()
    it.persisted(1).expire("persist")
    expect([it.role, it.timer("persist")]).toEqual(["leader", { min: diskStallTimeout, max: diskStallTimeout }])
    expect(it.receive("c", accepted(1)).expire("persist").role).toBe("follower")
  })
  test("an idle disk is not watched", () => {
    const it = leader(slow)
    it.persisted().expire("persist")
    expect([it.role, it.timer("persist")]).toEqual(["leader", null])
  })
  test("with nobody to hand over to, a leader goes on", () => {
    const it = server({ ...slow, voters: "a" }).expire("election")
    it.persisted(1).expire("persist")
    expect([it.role, it.timer("persist")]).toEqual(["leader", { min: diskStallTimeout, max: diskStallTimeout }])
  })
})
