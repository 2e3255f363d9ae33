/** Faults that reviews found in the core, each by its story. */
import { describe, expect, test } from "vitest"
import type { Message } from "../core/index.ts"
import {
  accepted,
  append,
  follower,
  install,
  leader,
  member,
  payload,
  rejected,
  requestVote,
  server,
  snapshotAt,
  voting,
  type Server,
} from "./server.ts"

describe("regression-1: a snapshot chunk that was sent twice once doubles the rest of the transfer", () => {
  test("one repeated chunk costs one chunk more, not one for each that follows", () => {
    const CHUNKS = 40
    const lead = leader({ base: { index: 5, term: 1 }, log: [1] }).receive("b", rejected(6, 0, 3))
    const other = server({ name: "b", term: 2 })
    let chunks = 0
    let waiting: readonly Message[] = lead
      .happens({ type: "SnapshotOpened", to: member("b"), snapshot: snapshotAt(6, 1) })
      .sent("InstallSnapshot", "b")
    // The first is slow, so the leader repeats it after some heartbeats; both arrive.
    waiting = [...waiting, ...waiting]
    while (waiting.length > 0 && chunks < 10 * CHUNKS) {
      const replies: Message[] = []
      for (const message of waiting) {
        if (message.type !== "InstallSnapshot") continue
        chunks += 1
        const last = message.offset === CHUNKS - 1
        other.receive("a", { ...message, length: 1, last })
        replies.push(...other.sent("InstallSnapshotReply", "a"))
        for (const { offset } of other.did("StoreChunk")) {
          other.happens({ type: "ChunkStored", id: "s6", nextOffset: offset + 1, last })
          replies.push(...other.sent("InstallSnapshotReply", "a"))
        }
      }
      const next: Message[] = []
      for (const reply of replies) next.push(...lead.receive("b", reply).sent("InstallSnapshot", "b"))
      waiting = next
    }
    expect(chunks).toBeLessThanOrEqual(CHUNKS + 2)
  })
})

describe("regression-2 (bug-G1): a refused vote restarts the election timer if the request brings a higher term", () => {
  test("a follower that waits for an election goes on waiting as long as before, §5.2", () => {
    const it = server({ log: [1, 1] }).receive("c", requestVote(2, [0, 0]))
    expect([it.term, it.last("RequestVoteReply").granted]).toEqual([2, false])
    expect(it.timer("election")).toBe(null)
  })
})

describe("regression-3: a read that is confirmed but waits for its index is not failed when leadership is lost", () => {
  test("at the leader: its no-op never commits, it steps down, the read must be told", () => {
    const it = leader({ log: [1, 1], applied: 1 })
    const ref = it.read()
    it.receive("b", accepted(2, { round: 2 }))
    expect(it.expire("quorum").expire("quorum").role).toBe("follower")
    expect(it.outcome(ref)).toMatchObject({ type: "ReadRefused", reason: "leaderChanged" })
  })
  test("at a follower: the index that it was told never comes, its leader is lost, the read must be told", () => {
    const it = follower({ log: [1] })
    const ref = it.read()
    it.receive("b", { type: "ReadIndexReply", term: 1, bootId: 7, number: 1, readIndex: 5 })
    expect(it.happens({ type: "PeerDisconnected", peer: member("b") }).outcome(ref)).toMatchObject({
      type: "ReadRefused",
      reason: "leaderChanged",
    })
  })
})

describe("regression-4: a follower without room", () => {
  test("it answers the round of an append that it does not take: it is alive, and reads go on", () => {
    const it = follower()
      .happens({ type: "SpaceChanged", low: true })
      .receive("b", append({ entries: [1], round: 3 }))
    expect(it.sent("AppendAccepted", "b").map(({ round }) => round)).toEqual([3])
  })
  test("it is not sent its whole window again and again", () => {
    const lead = leader({ settings: { maxBatchBytes: 100, maxInflight: 50 } })
      .receive("c", accepted(1))
      .receive("b", accepted(1))
    const other = server({ name: "b", term: 2 })
      .receive("a", { ...append({ term: 2, entries: [2] }), round: 1 })
      .happens({ type: "SpaceChanged", low: true })
    let entries = 0
    const exchange = (): void => {
      let waiting: readonly Message[] = lead.sent("AppendEntries", "b")
      while (waiting.length > 0) {
        const next: Message[] = []
        for (const message of waiting) {
          if (message.type === "AppendEntries") entries += message.entries.length
          const replies = other
            .receive("a", message)
            .did("Send")
            .map((effect) => effect.message)
          for (const reply of replies) next.push(...lead.receive("b", reply).sent("AppendEntries", "b"))
        }
        waiting = next
      }
    }
    lead.propose(...Array.from({ length: 50 }, (_, i) => payload(i)))
    exchange()
    const once = entries
    for (let i = 0; i < 40; i++) {
      lead.expire("heartbeat")
      exchange()
    }
    expect(entries).toBeLessThan(3 * once)
  })
})

describe("regression-5: a follower forwards what no leader will take", () => {
  test("a proposal above maxEntryBytes is refused where it is made: as a frame it would be too large to send", () => {
    const it = follower({ settings: { maxEntryBytes: 10 } })
    expect(it.outcome(it.propose(payload(1, 11)))).toMatchObject({ type: "ProposalRefused", reason: "tooLarge" })
  })
})

describe("regression-6: the late rejection of one snapshot ends the restoring of another", () => {
  const restoring = (): Server =>
    follower({ log: [1, 1] })
      .receive("b", install(snapshotAt(9, 1), 0, false))
      .receive("b", install(snapshotAt(12, 1), 0, true))
      .happens({ type: "ChunkStored", id: "s12", nextOffset: 1, last: true })
  test("while a snapshot is restored nothing is applied, whatever is said of an earlier one", () => {
    const it = restoring()
    expect(it.did("RestoreSnapshot")).toHaveLength(1)
    it.happens({ type: "SnapshotRejected", id: "s9" })
    expect(it.receive("b", append({ prev: [2, 1], commit: 2 })).did("Apply")).toEqual([])
  })
})

describe("regression-7: a definite refusal of a forwarded proposal is told as unknown if it brings a higher term", () => {
  test("a refusal is a refusal: not executed, and never will be", () => {
    const it = follower()
    const ref = it.propose()
    it.receive("b", {
      type: "ForwardProposalReply",
      term: 2,
      ref,
      bootId: 7,
      outcome: { type: "ProposalRefused", reason: "noLeader", leader: null },
    })
    expect(it.outcome(ref)).toMatchObject({ type: "ProposalRefused" })
  })
})

describe("regression-8: a follower that lost an acknowledged record never caught up", () => {
  test("after it reconnects the leader goes back to what it still holds, below what it had acknowledged", () => {
    const it = leader({ log: [1, 1] })
      .receive("b", accepted(3))
      .happens({ type: "PeerConnected", peer: member("b") })
    expect(it.receive("b", rejected(3, 0, 2)).progress("b")).toMatchObject({ nextIndex: 2, mode: { type: "probe" } })
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 1, entries: [{ index: 2 }, { index: 3 }] })
  })
})

describe("regression-9: reads waited for ever at a server that is cut off and may not campaign", () => {
  test("a learner, or a removed server, that hears no leader any more tells who waits for it", () => {
    const learner = { name: "z", configuration: { ...voting("abc"), learners: [member("z")] } } as const
    const it = follower(learner)
    const read = it.read()
    const proposal = it.propose()
    it.expire("election").expire("election")
    expect([it.leader, it.outcome(read), it.outcome(proposal)]).toMatchObject([
      null,
      { type: "ReadRefused", reason: "leaderChanged" },
      { type: "ProposalUnknown" },
    ])
  })
})

describe("regression-10: a proposal that was refused was executed after all, by a copy of it", () => {
  const forwarded = (ref: number, term: number, bootId = 9, id = 1): Message => ({
    type: "ForwardProposal",
    term,
    ref,
    bootId,
    payloads: [payload(id)],
  })
  test("the second copy of a forwarded proposal is nobody's, whatever became of the first", () => {
    const it = leader()
      .receive("b", accepted(1))
      .happens({ type: "TransferRequested", to: member("c") })
      .receive("b", forwarded(5, 2))
    expect(it.last("ForwardProposalReply", "b").outcome).toMatchObject({ reason: "transferring" })
    it.expire("transfer").receive("b", forwarded(5, 2))
    expect([it.state.log.lastIndex, it.sent("ForwardProposalReply")]).toEqual([1, []])
    it.receive("b", forwarded(7, 2))
      .receive("b", forwarded(6, 2))
      .receive("b", forwarded(7, 2))
      .receive("b", forwarded(5, 2, 10))
    expect(it.state.log.lastIndex).toBe(4)
  })
  test("only the leader of the term that it was forwarded in may take it", () => {
    const it = leader({ term: 3 })
    expect(it.receive("b", forwarded(5, 3)).last("ForwardProposalReply", "b").outcome).toMatchObject({
      type: "ProposalRefused",
      leader: member("a"),
    })
    expect(it.state.log.lastIndex).toBe(1)
  })
  test("however many there are, what is remembered of them stays small", () => {
    const it = leader().receive("b", accepted(1))
    for (let ref = 1; ref <= 300; ref++) it.receive("b", forwarded(ref, 2))
    expect([
      it.state.role.type === "leader" ? it.state.role.forwards[0]?.recent.length : 0,
      it.receive("b", forwarded(3, 2)).state.log.lastIndex,
    ]).toEqual([64, 301])
  })
})

describe("regression-11: a snapshot that the log had overtaken was restored all the same", () => {
  test("what is behind the commit index by the time that it is whole changes nothing", () => {
    const it = follower({ log: [1, 1] }).receive("b", install(snapshotAt(8, 1), 0, true))
    it.receive("b", append({ prev: [2, 1], entries: [1, 1, 1, 1, 1, 1, 1, 1], commit: 10 }))
    it.happens({ type: "ChunkStored", id: "s8", nextOffset: 1, last: true })
    expect([it.did("RestoreSnapshot"), it.state.applied, it.last("AppendAccepted", "b").matchIndex]).toEqual([
      [],
      10,
      10,
    ])
  })
})

describe("regression-12: a late chunk of an older snapshot threw away the transfer under way", () => {
  test("what is useless by now changes nothing of a transfer that is not", () => {
    const it = follower({ log: [1, 1], applied: 2 }).receive("b", install(snapshotAt(8, 1), 0, false))
    it.happens({ type: "ChunkStored", id: "s8", nextOffset: 1, last: false })
    it.receive("b", install(snapshotAt(1, 1), 0, false)).receive("b", install(snapshotAt(8, 1), 1, true))
    expect(it.did("StoreChunk")).toMatchObject([{ snapshot: { id: "s8" }, offset: 1 }])
  })
})

describe("regression-13: a late answer ended a transfer, and took back what its sender had said since", () => {
  test("it is still lost what was lost in a later round, and nothing goes out that the follower holds", () => {
    const it = leader({ log: [1, 1], applied: 2 })
      .receive("b", accepted(3, { round: 1 }))
      .receive("c", accepted(3, { round: 1 }))
    it.expire("heartbeat").expire("heartbeat")
    it.receive("b", accepted(3, { round: 3, condition: "rebuild" }))
    expect(it.progress("b")).toMatchObject({ mode: { type: "snapshot" }, condition: "rebuild" })
    it.receive("b", accepted(2, { round: 2 }))
    const { condition, nextIndex, matchIndex } = it.progress("b")
    expect([condition, nextIndex > matchIndex]).toEqual(["rebuild", true])
    expect(it.sent("AppendEntries", "b")).toEqual([])
  })
  test("a late answer of the same round may end it, and still nothing goes out that the follower holds", () => {
    const it = leader({ log: [1, 1], applied: 2 }).receive("c", accepted(3, { round: 1 }))
    it.receive("b", accepted(3, { round: 1, condition: "rebuild" })).receive("b", accepted(2, { round: 1 }))
    expect(it.progress("b").mode.type).toBe("replicate")
    expect(it.sent("AppendEntries", "b").flatMap(({ entries }) => entries)).toEqual([])
  })
})

describe("regression-14: a leader without a state machine waited for ever for a follower that held more than it could say", () => {
  test("it asks at its base, where the log may go on, instead of at index 0", () => {
    const it = leader({ base: { index: 5, term: 1 }, log: [1], applied: null }).receive("c", accepted(7))
    it.receive("b", { type: "AppendRejected", term: 2, prevLogIndex: 6, conflictTerm: 0, conflictIndex: 5, round: 1 })
    expect(it.progress("b").mode.type, "it needs what is gone here").toBe("snapshot")
    it.expire("heartbeat")
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 5, prevLogTerm: 1, entries: [] })
    it.receive("b", accepted(5, { round: it.last("AppendEntries", "b").round }))
    expect(it.progress("b").mode.type).toBe("replicate")
  })
})
