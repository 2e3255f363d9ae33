/** Log compaction: the sentences of paper §7 and Figure 13, chunks under loss, and a start after any crash. */
import { describe, expect, test } from "vitest"
import { initialState, defaultSettings } from "../core/index.ts"
import {
  accepted,
  append,
  entries,
  follower,
  install,
  installReply,
  leader,
  member,
  rejected,
  requestVote,
  server,
  snapshotAt,
  voting,
  type Server,
} from "./server.ts"

const b = member("b")
const stored = (it: Server, id: string, nextOffset: number, last = false): Server =>
  it.happens({ type: "ChunkStored", id, nextOffset, last })
/** A whole snapshot arrives in one chunk and waits to be restored. */
const received = (it: Server, index: number, term: number): Server =>
  stored(it.receive("b", install(snapshotAt(index, term), 0, true, { term: it.term })), `s${index}`, 1, true)
const restored = (it: Server, index: number, term: number): Server =>
  it.happens({ type: "SnapshotRestored", snapshot: snapshotAt(index, term) })
const small = { settings: { snapshotBytes: 600, trailingLogBytes: 120 } }

describe("§7 the own snapshot", () => {
  test("a server takes a snapshot when its log has grown past a fixed size, and one at a time", () => {
    const it = follower({ log: Array.from({ length: 12 }, () => 1), ...small })
    expect(it.receive("b", append({ prev: [12, 1], commit: 10 })).did("TakeSnapshot")).toEqual([])
    expect(it.receive("b", append({ prev: [12, 1], commit: 11 })).did("TakeSnapshot")).toHaveLength(1)
    expect(it.noted("snapshot.take")).toBe(true)
    expect(it.receive("b", append({ prev: [12, 1], commit: 12 })).did("TakeSnapshot")).toEqual([])
  })
  test("only once the state machine is durable is the log trimmed, leaving a tail for slow followers", () => {
    const it = follower({ log: Array.from({ length: 12 }, () => 1), ...small }).receive(
      "b",
      append({ prev: [12, 1], commit: 12 }),
    )
    expect(it.state.log.base.index).toBe(0)
    it.happens({ type: "SnapshotTaken", base: snapshotAt(11, 1) })
    expect([it.state.log.base.index, it.log.length, it.noted("snapshot.trimmed")]).toEqual([9, 3, true])
    expect(it.did("Persist")).toMatchObject([
      { base: { index: 9, term: 1, configuration: voting("abc") }, truncateFrom: null, entries: [] },
    ])
  })
  test("nothing is trimmed that is not applied, and a snapshot that finishes late trims nothing", () => {
    const it = follower({ log: [1, 1, 1], applied: 1, settings: { trailingLogBytes: 0 } })
    expect(it.happens({ type: "SnapshotTaken", base: snapshotAt(3, 1) }).state.log.base.index).toBe(1)
    expect(it.happens({ type: "SnapshotTaken", base: snapshotAt(1, 1) }).did("Persist")).toEqual([])
    expect(it.noted("snapshot.stale")).toBe(true)
  })
  test("a failed snapshot is tried again", () => {
    const it = follower({ log: Array.from({ length: 12 }, () => 1), ...small }).receive(
      "b",
      append({ prev: [12, 1], commit: 12 }),
    )
    expect(it.happens({ type: "SnapshotTakeFailed" }).did("TakeSnapshot")).toHaveLength(1)
  })
  test("the trimmed log still knows its last included term for the next append", () => {
    const it = follower({ base: { index: 5, term: 2 }, term: 2 })
    expect(it.receive("b", append({ term: 2, prev: [5, 2], entries: [2] })).last("AppendAccepted").matchIndex).toBe(6)
  })
  test("an append from before the base is checked where it matters: what the base covers is committed", () => {
    const { chain = 0 } = entries(1, [1, 1, 1, 2, 2]).at(-1) ?? {}
    const it = follower({ base: { index: 5, term: 2, chain }, log: [2], term: 2 })
    it.receive("b", { ...append({ term: 2, prev: [3, 1] }), entries: entries(4, [2, 2, 2, 2]) })
    expect([it.log, it.last("AppendAccepted").verifiedIndex]).toEqual([[2, 2], 7])
    it.receive("b", append({ term: 2, prev: [2, 0] }))
    expect([it.log, it.sent("AppendRejected")]).toEqual([[2, 2], []])
  })
  test("a snapshot names the configuration as of its last included entry", () => {
    const it = follower({ settings: { trailingLogBytes: 0 } })
    const change = { kind: "configuration", index: 2, term: 1, time: 0, chain: 0, configuration: voting("ab") } as const
    it.receive("b", { ...append({ commit: 1 }), entries: [...entries(1, [1]), change] })
    it.happens({ type: "SnapshotTaken", base: snapshotAt(1, 1) })
    expect(it.state.log.base).toMatchObject({ index: 1, configuration: voting("abc") })
  })
})

describe("§7 sending", () => {
  /** A leader of term 3 whose log starts after 5. */
  const lead = (): Server => leader({ base: { index: 5, term: 2 }, log: [2], term: 2 })
  const sending = (): Server =>
    lead()
      .receive("b", rejected(6, 0, 3, { term: 3 }))
      .happens({ type: "SnapshotOpened", to: b, snapshot: snapshotAt(6, 2) })
  const reply = (it: Server, status: "more" | "installed" | "failed", nextOffset = 0, id = "s6"): Server =>
    it.receive("b", installReply(id, status, nextOffset, { term: 3 }))

  test("a follower whose next entry is gone is sent a snapshot", () => {
    const it = lead().receive("b", rejected(6, 0, 3, { term: 3 }))
    expect(it.noted("progress.snapshot")).toBe(true)
    expect(it.did("OpenSnapshot")).toEqual([{ type: "OpenSnapshot", to: b }])
    it.happens({ type: "SnapshotOpened", to: b, snapshot: snapshotAt(6, 2) })
    expect(it.last("InstallSnapshot", "b")).toMatchObject({ snapshot: { index: 6, term: 2 }, offset: 0 })
  })
  test("never with a made-up term for the entry before: the boundary's own term is known", () => {
    const it = lead().receive("b", rejected(6, 2, 6, { term: 3 }))
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 5, prevLogTerm: 2 })
    expect(it.did("OpenSnapshot")).toEqual([])
  })
  test("chunks go one at a time, in order, each asked for by the follower", () => {
    const it = sending()
    expect(it.expire("heartbeat").sent("InstallSnapshot")).toEqual([])
    expect(reply(it, "more", 1).last("InstallSnapshot").offset).toBe(1)
    expect(reply(it, "more", 2).last("InstallSnapshot").offset).toBe(2)
  })
  test("a chunk that is not answered for some heartbeats goes out again, the same one", () => {
    const it = sending()
    reply(it, "more", 1)
    const again: number[] = []
    for (let i = 0; i < 30; i++)
      again.push(
        ...it
          .expire("heartbeat")
          .sent("InstallSnapshot", "b")
          .map(({ offset }) => offset),
      )
    expect(again).toEqual([1, 1, 1])
  })
  test("heartbeats go on meanwhile, with nothing that the follower could take amiss", () => {
    const it = sending().expire("heartbeat")
    expect(it.last("AppendEntries", "b")).toMatchObject({ prevLogIndex: 0, prevLogTerm: 0, entries: [] })
  })
  test("a follower that starts over is sent from where it asks", () => {
    const it = sending()
    reply(it, "more", 2)
    expect(reply(it, "more", 0).last("InstallSnapshot").offset).toBe(0)
  })
  test("once it says installed it is supplied with what follows, and the image is released", () => {
    const it = reply(sending(), "installed")
    expect(it.progress("b")).toMatchObject({ matchIndex: 6, mode: { type: "replicate" } })
    expect([it.last("AppendEntries", "b").prevLogIndex, it.did("CloseSnapshot")]).toEqual([
      6,
      [{ type: "CloseSnapshot", id: "s6" }],
    ])
  })
  test("an answer to another transfer changes nothing", () => {
    const it = sending()
    for (const status of ["more", "installed", "failed"] as const)
      expect(reply(it, status, 1, "s5").did("Send")).toEqual([])
    expect(it.progress("b")).toMatchObject({ matchIndex: 0, mode: { type: "snapshot", offset: 0 } })
  })
  test("a void transfer starts again with another image, but not at once", () => {
    const it = reply(sending(), "failed")
    expect([it.did("CloseSnapshot").length, it.did("OpenSnapshot").length]).toEqual([1, 0])
    let opened = 0
    for (let i = 0; i < 10; i++) opened += it.expire("heartbeat").did("OpenSnapshot").length
    expect(opened).toBe(1)
  })
  test("the same if no image can be opened", () => {
    const it = lead()
      .receive("b", rejected(6, 0, 3, { term: 3 }))
      .happens({ type: "SnapshotOpenFailed", to: b })
    expect(it.did("OpenSnapshot")).toEqual([])
    for (let i = 0; i < 9; i++) expect(it.expire("heartbeat").did("OpenSnapshot")).toEqual([])
    expect(it.expire("heartbeat").did("OpenSnapshot")).toHaveLength(1)
  })
  test("an image that nobody wants any more is released", () => {
    expect(
      lead()
        .happens({ type: "SnapshotOpened", to: b, snapshot: snapshotAt(6, 2) })
        .did("CloseSnapshot"),
    ).toHaveLength(1)
    const it = sending()
    expect(
      it.happens({ type: "SnapshotOpened", to: b, snapshot: snapshotAt(6, 2, "second") }).did("CloseSnapshot"),
    ).toEqual([{ type: "CloseSnapshot", id: "second" }])
    expect(it.receive("c", append({ term: 4, prev: [5, 2] })).did("CloseSnapshot")).toEqual([
      { type: "CloseSnapshot", id: "s6" },
    ])
  })
  test("an image is let go within fifty heartbeats of the last answer that asked for more, whatever else its receiver says", () => {
    const it = reply(sending(), "more", 1)
    let beats = 0
    let closed = 0
    while (closed === 0 && beats < 100) {
      beats++
      closed += it.expire("heartbeat").did("CloseSnapshot").length
      // Copies of old answers, and heartbeats that are answered: none asks for a chunk.
      closed += reply(it, "more", 1).did("CloseSnapshot").length
      closed += it.receive("b", rejected(6, 0, 3, { term: 3 })).did("CloseSnapshot").length
    }
    expect([beats, closed]).toEqual([50, 1])
    expect(it.progress("b").mode).toMatchObject({ type: "snapshot", snapshot: null })
  })
  test("an image that is older than the log's base is refused, another is opened", () => {
    const it = lead()
      .receive("b", rejected(6, 0, 3, { term: 3 }))
      .happens({ type: "SnapshotOpened", to: b, snapshot: snapshotAt(4, 2) })
    expect([it.did("CloseSnapshot").length, it.did("OpenSnapshot").length]).toEqual([1, 1])
  })
  test("a follower that turns out to hold enough is no longer sent a snapshot", () => {
    expect(
      sending()
        .receive("b", accepted(6, { term: 3 }))
        .progress("b").mode.type,
    ).toBe("replicate")
    expect(
      sending()
        .receive("b", accepted(6, { term: 3, matchIndex: 3 }))
        .progress("b").mode.type,
    ).toBe("snapshot")
  })
  test("a connection that comes back is sent the chunk again at once", () => {
    expect(sending().happens({ type: "PeerConnected", peer: b }).sent("InstallSnapshot", "b")).toHaveLength(1)
  })
  test("a reply of a later term deposes the leader, as every reply does", () => {
    expect(sending().receive("b", installReply("s6", "failed", 0, { term: 9 })).term).toBe(9)
  })
})

describe("§7 receiving", () => {
  test("each chunk is put aside before the next is asked for", () => {
    const it = follower().receive("b", install(snapshotAt(9, 1), 0, false))
    expect([it.did("StoreChunk"), it.sent("InstallSnapshotReply"), it.noted("snapshot.chunk")]).toMatchObject([
      [{ offset: 0, last: false }],
      [],
      true,
    ])
    expect(stored(it, "s9", 1).last("InstallSnapshotReply", "b")).toMatchObject({
      id: "s9",
      status: "more",
      nextOffset: 1,
    })
  })
  test("a chunk that arrives twice is stored once, and the one that is wanted is named", () => {
    const it = follower().receive("b", install(snapshotAt(9, 1), 0, false))
    expect(it.receive("b", install(snapshotAt(9, 1), 0, false)).did("StoreChunk")).toEqual([])
    stored(it, "s9", 1)
    it.receive("b", install(snapshotAt(9, 1), 0, false))
    expect([it.did("StoreChunk"), it.last("InstallSnapshotReply").nextOffset]).toEqual([[], 1])
  })
  test("a chunk that comes too early, or in the middle of a transfer that is not known, is not taken", () => {
    const it = follower().receive("b", install(snapshotAt(9, 1), 2, false))
    expect([it.did("StoreChunk"), it.last("InstallSnapshotReply").nextOffset]).toEqual([[], 0])
    stored(it.receive("b", install(snapshotAt(9, 1), 0, false)), "s9", 1)
    expect(it.receive("b", install(snapshotAt(9, 1), 2, true)).last("InstallSnapshotReply").nextOffset).toBe(1)
  })
  test("another snapshot begins from its own first chunk", () => {
    const it = stored(follower().receive("b", install(snapshotAt(9, 1), 0, false)), "s9", 1)
    expect(it.receive("b", install(snapshotAt(12, 1), 0, false)).did("StoreChunk")).toMatchObject([
      { snapshot: { id: "s12" }, offset: 0 },
    ])
    expect(stored(it, "s9", 1).sent("InstallSnapshotReply")).toEqual([])
  })
  test("after the last chunk the state machine is replaced, and only then does the log follow", () => {
    const it = received(follower({ log: [1] }), 9, 1)
    expect([it.did("RestoreSnapshot").length, it.sent("InstallSnapshotReply").length, it.log]).toEqual([1, 0, [1]])
    restored(it, 9, 1)
    expect(it.noted("snapshot.installed")).toBe(true)
    expect([it.state.log.base.index, it.log, it.commit, it.state.applied]).toEqual([9, [], 9, 9])
    expect(it.last("InstallSnapshotReply", "b")).toMatchObject({ id: "s9", status: "installed" })
  })
  test("if the log holds the snapshot's last entry, what follows it is kept, Figure 13", () => {
    const it = restored(received(follower({ log: [1, 1, 1] }), 2, 1), 2, 1)
    expect([it.state.log.base.index, it.log, it.noted("snapshot.tailKept")]).toEqual([2, [1], true])
    expect(it.did("Persist")).toMatchObject([{ truncateFrom: null, base: { index: 2 } }])
  })
  test("otherwise the entire log is discarded, Figure 13", () => {
    const it = restored(received(follower({ term: 2, log: [1, 1, 1] }), 2, 2), 2, 2)
    expect([it.state.log.base, it.log, it.noted("snapshot.logDropped")]).toMatchObject([
      { index: 2, term: 2 },
      [],
      true,
    ])
    expect(it.did("Persist")).toMatchObject([{ truncateFrom: 3, entries: [], base: { index: 2 } }])
  })
  test("a snapshot behind what is committed is not taken, and the leader learns what is held", () => {
    const it = follower({ log: [1, 1, 1], applied: 3 }).receive("b", install(snapshotAt(2, 1), 0, true))
    expect([it.did("StoreChunk"), it.last("AppendAccepted", "b").verifiedIndex]).toEqual([[], 3])
  })
  test("while entries are being executed the state machine is not replaced", () => {
    const it = follower({ log: [1, 1], slow: true }).receive("b", append({ prev: [2, 1], commit: 2 }))
    expect(received(it, 9, 1).did("RestoreSnapshot")).toEqual([])
    expect(it.applied().did("RestoreSnapshot")).toHaveLength(1)
  })
  test("while the state machine is replaced nothing is applied, no snapshot is taken and the server does not campaign", () => {
    const it = received(follower({ log: [1, 1], settings: { snapshotBytes: 1 } }), 9, 1)
    it.receive("b", append({ prev: [2, 1], commit: 2 }))
    expect([it.commit, it.did("Apply"), it.did("TakeSnapshot")]).toEqual([2, [], []])
    it.expire("election").expire("election")
    expect([it.role, it.noted("election.notVoter")]).toEqual(["follower", true])
  })
  test("after it applying goes on behind the snapshot", () => {
    const it = restored(received(follower({ log: [1, 1, 1] }), 2, 1), 2, 1)
    expect(
      it
        .receive("b", append({ prev: [3, 1], commit: 3 }))
        .did("Apply")
        .flatMap((apply) => apply.entries.map(({ index }) => index)),
    ).toEqual([3])
  })
  test("a snapshot that does not check out is void, and the leader is told", () => {
    const it = received(follower({ log: [1] }), 9, 1).happens({ type: "SnapshotRejected", id: "s9" })
    expect([it.last("InstallSnapshotReply").status, it.log, it.state.restoring, it.noted("snapshot.failed")]).toEqual([
      "failed",
      [1],
      null,
      true,
    ])
    expect(it.receive("b", install(snapshotAt(9, 1), 0, true)).did("StoreChunk")).toHaveLength(1)
  })
  test("a chunk of the leader is a sign of life: it restarts the election timer", () => {
    expect(
      follower()
        .receive("b", install(snapshotAt(9, 1), 0, false))
        .timer("election"),
    ).toEqual({ min: defaultSettings.electionMin, max: defaultSettings.electionMin })
  })
  test("a restored snapshot counts even if the leader changed meanwhile, and the new leader learns of it", () => {
    const it = received(follower(), 9, 1).receive("c", append({ term: 2, prev: [12, 2] }))
    restored(it, 9, 1)
    expect([it.state.log.base.index, it.commit]).toEqual([9, 9])
    expect(it.receive("c", append({ term: 2, prev: [9, 1], round: 1 })).last("AppendAccepted", "c").matchIndex).toBe(9)
  })
})

describe("§7 and the start", () => {
  test("a server starts with its commit index at what its state machine and its base hold", () => {
    expect(server({ base: { index: 5, term: 2 }, log: [2, 2] }).commit).toBe(5)
    const it = server({ base: { index: 5, term: 2 }, log: [2, 2], applied: 6 })
    expect([it.commit, it.state.applied, it.state.applying, it.state.machine]).toEqual([6, 6, 6, "ready"])
  })
  test("a state machine ahead of the log was restored just before a crash: the log follows it", () => {
    const it = server({ log: [1, 1], term: 2, applied: { index: 9, term: 2 } })
    expect([it.state.log.base.index, it.log, it.commit]).toEqual([9, [], 9])
    expect(it.happens({ type: "Started" }).did("Persist")).toMatchObject([
      { base: { index: 9 }, truncateFrom: 10, entries: [] },
    ])
  })
  test("the same if the log holds another entry there", () => {
    const it = server({ log: [1, 1, 1], term: 2, applied: { index: 2, term: 2 } })
    expect([it.state.log.base.index, it.log]).toEqual([2, []])
  })
  test("a state machine inside the log keeps the log", () => {
    expect(server({ log: [1, 1, 1], applied: 2 }).log).toEqual([1, 1, 1])
  })
  test("a state machine behind the log's base, or lost, must be rebuilt: it says so, and applies nothing", () => {
    for (const applied of [null, 3]) {
      const it = server({ base: { index: 5, term: 1 }, log: [1], applied })
      expect([it.state.machine, it.commit]).toEqual(["rebuild", 5])
      it.receive("b", append({ prev: [6, 1], commit: 6, round: 1 }))
      expect([it.commit, it.did("Apply"), it.last("AppendAccepted").condition]).toEqual([6, [], "rebuild"])
      const ref = it.read()
      expect(it.outcome(ref)).toMatchObject({ type: "ReadRefused", reason: "rebuilding" })
    }
  })
  test("such a server keeps its log, votes, and may lead: its log may be the one that is needed", () => {
    const it = server({ base: { index: 5, term: 1 }, log: [1], applied: null })
    expect(it.receive("b", requestVote(2, [5, 1])).last("RequestVoteReply").granted).toBe(false)
    const lead = leader({ base: { index: 5, term: 1 }, log: [1], applied: null })
    expect(lead.receive("b", accepted(7)).commit).toBe(7)
    expect([lead.did("Apply"), lead.receivers("TimeoutNow"), lead.noted("transfer.machineLost")]).toEqual([
      [],
      "b",
      true,
    ])
  })
  test("the leader sends it a snapshot though its log is whole, and the log goes on behind it", () => {
    const lead = leader({ log: [1, 1] })
      .receive("b", accepted(3))
      .receive("c", accepted(2, { condition: "rebuild" }))
    expect(lead.did("OpenSnapshot")).toEqual([{ type: "OpenSnapshot", to: member("c") }])
    const it = restored(received(server({ log: [1, 1, 1], applied: null }), 2, 1), 2, 1)
    expect([it.state.machine, it.log, it.state.applied]).toEqual(["ready", [1], 2])
  })
  test("a rebuild takes a snapshot behind the commit index, but none behind the log's base", () => {
    const it = server({ base: { index: 5, term: 1 }, log: [1, 1], applied: null }).receive(
      "b",
      append({ prev: [7, 1], commit: 7 }),
    )
    expect(it.receive("b", install(snapshotAt(4, 1), 0, true)).last("InstallSnapshotReply").status).toBe("failed")
    expect(
      restored(received(it, 6, 1), 6, 1)
        .did("Apply")
        .flatMap((apply) => apply.entries.map(({ index }) => index)),
    ).toEqual([7])
  })
  test("a machine that is damaged while it runs is not served, and a leader with one hands over", () => {
    const it = leader().receive("b", accepted(1)).receive("c", accepted(1)).happens({ type: "MachineDamaged" })
    expect([it.role, it.receivers("TimeoutNow").length, it.state.machine]).toEqual(["follower", 1, "rebuild"])
    expect(it.noted("machine.damaged")).toBe(true)
    const late = follower({ log: [1, 1], slow: true })
      .receive("b", append({ prev: [2, 1], commit: 2 }))
      .happens({ type: "MachineDamaged" })
    expect(received(late, 9, 1).did("RestoreSnapshot")).toHaveLength(1)
  })
  test("what was promised before the crash is remembered", () => {
    const base = { index: 0, term: 0, time: 5, chain: 0, configuration: voting("abc") }
    const state = initialState(defaultSettings, {
      self: member("a"),
      bootId: 1,
      hardState: { term: 3, vote: b },
      base,
      entries: [],
      position: base,
    })
    expect([state.durability.hardState, state.clock.time]).toEqual([{ term: 3, vote: b }, 5])
  })
})
