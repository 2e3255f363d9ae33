/** The defects of the system that the mission describes, as far as they are the algorithm's: each must stay away. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { defaultSettings, hasQuorum, quorumValue, voteResult, type Configuration, type Member } from "../core/index.ts"
import { lossyNetwork, World } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../spec/index.ts"
import {
  accepted,
  append,
  follower,
  install,
  installReply,
  leader,
  member,
  payload,
  rejected,
  server,
  snapshotAt,
  voteReply,
  voting,
  type Server,
} from "./server.ts"
import { settled, tightSettings, payload as command } from "./worlds.ts"

const names = Array.from("abcdefghi")

describe("defect-D1: a majority is more than half, for every size", () => {
  test.each([2, 4, 6])("a cluster of %i does not commit with exactly half of its servers", (size) => {
    const it = leader({ voters: names.slice(0, size).join("") })
    const others = names.slice(1, size)
    for (const name of others.slice(0, size / 2 - 1)) it.receive(name, accepted(1))
    expect(it.commit).toBe(0)
    expect(it.receive(others[size / 2 - 1] ?? "", accepted(1)).commit).toBe(1)
  })
  test.each([2, 4, 6])("a cluster of %i does not elect with exactly half of its servers", (size) => {
    const it = server({ voters: names.slice(0, size).join(""), settings: { preVote: false } }).expire("election")
    const others = names.slice(1, size)
    for (const name of others.slice(0, size / 2 - 1)) it.receive(name, voteReply(2, true))
    expect(it.role).toBe("candidate")
    expect(it.receive(others[size / 2 - 1] ?? "", voteReply(2, true)).role).toBe("leader")
  })
  test.each([2, 4, 6])("a leader among %i steps down if only half is heard", (size) => {
    const it = leader({ voters: names.slice(0, size).join("") })
    for (const name of names.slice(1, size / 2)) it.receive(name, accepted(1))
    expect(it.expire("quorum").role).toBe("follower")
  })

  const half = fc.subarray(names).map((chosen): readonly Member[] => chosen.map((name) => member(name)))
  const configuration: fc.Arbitrary<Configuration> = fc.record({
    voters: half,
    outgoing: half,
    learners: fc.constant([]),
  })
  const values = fc.dictionary(fc.constantFrom(...names), fc.nat(6), { noNullPrototype: true })
  /** By definition: the highest value that more than half of every half has reached. */
  const byDefinition = ({ voters, outgoing }: Configuration, valueOf: (one: Member) => number): number => {
    const reached = (value: number): boolean =>
      [voters, ...(outgoing.length === 0 ? [] : [outgoing])].every(
        (side) => side.filter((one) => valueOf(one) >= value).length * 2 > side.length,
      )
    return [6, 5, 4, 3, 2, 1].find(reached) ?? 0
  }
  test("quorumValue is the highest value that more than half of every half has reached", () => {
    fc.assert(
      fc.property(configuration, values, (who, value) => {
        const valueOf = ({ name }: Member): number => value[name] ?? 0
        expect(quorumValue(who, valueOf)).toBe(byDefinition(who, valueOf))
      }),
    )
  })
  test("two quorums of one configuration meet, and a vote is won, lost or open accordingly", () => {
    fc.assert(
      fc.property(
        configuration,
        fc.dictionary(fc.constantFrom(...names), fc.boolean(), { noNullPrototype: true }),
        (who, votes) => {
          const yes = hasQuorum(who, ({ name }) => votes[name] === true)
          const no = hasQuorum(who, ({ name }) => votes[name] === false)
          expect(yes && no).toBe(false)
          const possible = hasQuorum(who, ({ name }) => votes[name] !== false)
          expect(voteResult(who, votes)).toBe(yes ? "won" : possible ? "pending" : "lost")
        },
      ),
    )
  })
  test("without voters nothing is ever decided", () => {
    expect([quorumValue(voting(""), () => 9), voteResult(voting(""), {})]).toEqual([0, "lost"])
  })
})

/** A leader, and n3 cut off until the leader's log no longer holds what it needs. */
const behind = (seed: number, lossy: boolean): World => {
  const check = makeInvariantChecker()
  const world = new World({
    seed,
    nodes: 3,
    settings: tightSettings,
    started: check.started,
    observe: check,
    ...(lossy ? { network: lossyNetwork, disk: { min: 1, max: 20 } } : {}),
  })
  expect(world.runUntil(() => world.leader() !== undefined, 30_000)).toBe(true)
  world.isolate(world.names.find((name) => name !== world.leader()?.member.name) ?? "")
  for (let i = 0; i < 120; i++) {
    world.propose(world.leader()?.member.name ?? "n1", [command(i + 1, 100)])
    world.run(30)
  }
  return world
}

describe("defect-D3: a follower behind the leader's log is repaired, with few messages", () => {
  test("it gets a snapshot and the rest, and the leader does not flood it", () => {
    const world = behind(11, false)
    const base = world.leader()?.runner?.state.log.base.index ?? 0
    expect(base).toBeGreaterThan(50)
    world.heal()
    const before = world.messages
    expect(world.runUntil(() => settled(world), 5000)).toBe(true)
    expect(world.messages - before).toBeLessThan(200)
  })
  test("a follower that has compacted past the leader's next index accepts and is known to match", () => {
    const lead = leader({ log: [1, 1, 1], voters: "ab" }).receive("b", rejected(3, 0, 1))
    const other = server({ name: "b", voters: "ab", base: { index: 3, term: 1 } })
    other.receive("a", lead.last("AppendEntries", "b"))
    expect(lead.receive("b", other.last("AppendAccepted", "a")).progress("b")).toMatchObject({
      matchIndex: 4,
      mode: { type: "replicate" },
    })
  })
  test("a follower that does not answer costs one message for each heartbeat", () => {
    const it = leader({ log: [1, 1, 1] })
    let sent = 0
    for (let i = 0; i < 50; i++)
      sent += it
        .expire("heartbeat")
        .did("Send")
        .filter(({ to }) => to.name === "b").length
    expect(sent).toBe(50)
  })
  test("a log is not trimmed past a snapshot that is being sent, until it has grown to several times its size; then a newer one is sent", () => {
    const settings = { snapshotBytes: 200, trailingLogBytes: 0 }
    const lead = leader({ base: { index: 5, term: 1 }, log: [1], settings })
    lead
      .receive("c", accepted(7))
      .receive("b", rejected(6, 0, 3))
      .happens({ type: "SnapshotOpened", to: member("b"), snapshot: snapshotAt(7, 2) })
    const grow = (from: number, to: number): void => {
      for (let i = from; i <= to; i++) {
        lead.propose()
        lead.receive("c", accepted(i))
      }
      lead.happens({ type: "SnapshotTaken", base: snapshotAt(to, 2) })
    }
    grow(8, 11)
    expect(lead.state.log.base.index).toBe(7)
    grow(12, 40)
    expect(lead.state.log.base.index).toBe(40)
    expect(lead.did("CloseSnapshot")).toHaveLength(1)
    let opened = 0
    for (let i = 0; i < 12; i++) opened += lead.expire("heartbeat").did("OpenSnapshot").length
    expect(opened).toBe(1)
  })
})

describe("defect-D5: a snapshot counts as replicated when it is installed, and matchIndex never falls", () => {
  const sending = (): Server =>
    leader({ base: { index: 5, term: 1 }, log: [1] })
      .receive("b", rejected(6, 0, 3))
      .happens({ type: "SnapshotOpened", to: member("b"), snapshot: snapshotAt(6, 1) })
  test("neither sending it nor storing its chunks moves matchIndex", () => {
    const it = sending()
    expect(it.progress("b").matchIndex).toBe(0)
    expect(it.receive("b", installReply("s6", "more", 3)).progress("b").matchIndex).toBe(0)
    expect(it.receive("b", installReply("s6", "installed")).progress("b").matchIndex).toBe(6)
  })
  test("an answer from before the install does not move it back", () => {
    const it = sending().receive("b", installReply("s6", "installed"))
    for (const late of [
      accepted(2),
      rejected(6, 0, 3),
      installReply("s6", "failed"),
      installReply("s6", "more", 1),
      accepted(0, { condition: "rebuild" }),
    ])
      expect(it.receive("b", late).progress("b").matchIndex).toBe(6)
  })
  test("an older image finishing late does not move it back either", () => {
    const it = leader({ base: { index: 5, term: 1 }, log: [1] })
      .receive("b", accepted(7, { condition: "rebuild" }))
      .receive("c", accepted(7))
      .receive("b", accepted(7, { condition: "rebuild" }))
    it.happens({ type: "SnapshotOpened", to: member("b"), snapshot: snapshotAt(6, 1) })
    expect(it.receive("b", installReply("s6", "installed")).progress("b").matchIndex).toBe(7)
  })
})

describe("defect-D6: a snapshot keeps what follows it only if the log holds its last entry, of the same term", () => {
  const installed = (it: Server, index: number, term: number): Server => {
    const snapshot = snapshotAt(index, term)
    it.receive("b", install(snapshot, 0, true, { term: it.term })).happens({
      type: "ChunkStored",
      id: snapshot.id,
      nextOffset: 1,
      last: true,
    })
    return it.happens({ type: "SnapshotRestored", snapshot })
  }
  test("the same index and another term: the suffix goes", () => {
    expect(installed(follower({ term: 3, log: [1, 1, 1, 1] }), 2, 2).log).toEqual([])
  })
  test("the same index and term: the suffix stays", () => {
    expect(installed(follower({ term: 3, log: [1, 2, 2, 2] }), 2, 2).log).toEqual([2, 2])
  })
  test("a log that ends before it goes too", () => {
    expect(installed(follower({ term: 3, log: [1, 1] }), 5, 2).log).toEqual([])
  })
})

describe("defect-D7: appends are bounded and snapshots go in chunks, so that a follower far behind catches up", () => {
  test("the shipped settings bound every append", () => {
    const bytes = new Uint8Array(200_000)
    const it = leader().receive("b", accepted(1)).receive("c", accepted(1))
    it.happens(
      { type: "PeerDisconnected", peer: member("b") },
      { type: "Proposed", ref: 1, payloads: Array.from({ length: 30 }, () => ({ bytes, checksum: 1 })) },
    )
    it.receive("b", accepted(1))
    const sizes = it.sent("AppendEntries", "b").map(({ entries }) => entries.length)
    expect(Math.max(...sizes)).toBe(5)
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(30)
    expect(defaultSettings.maxBatchBytes).toBeLessThanOrEqual(1024 * 1024)
  })
  test("over a network that loses, duplicates and reorders, a follower far behind catches up", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const world = behind(seed, true)
      world.network = lossyNetwork
      world.heal()
      expect(world.runUntil(() => settled(world), 60_000)).toBe(true)
    }
  })
})

describe("defect-D8: what waits is told by index and term, and is told in any case", () => {
  test("a proposal is appended at an index in a term, so that another entry at that index is not taken for it", () => {
    const it = leader()
    const ref = it.propose()
    expect(it.outcome(ref)).toEqual({ type: "ProposalAppended", first: 2, term: 2 })
    it.receive("b", append({ term: 3, prev: [0, 0], entries: [3, 3] }))
    expect(it.state.log.termAt(2)).toBe(3)
  })
  test("in a world of faults every read and every proposal at a live server has an outcome at last", () => {
    for (let seed = 1; seed <= 6; seed++) {
      const world = new World({
        seed,
        nodes: 3,
        settings: tightSettings,
        network: lossyNetwork,
        disk: { min: 1, max: 20 },
      })
      const refs: number[] = []
      for (let i = 0; i < 40; i++) {
        world.run(200)
        const name = world.random.pick(world.names) ?? "n1"
        refs.push(world.propose(name, [payload(i)]), world.read(name))
        if (i % 8 === 3) world.isolate(world.leader()?.member.name ?? "n1")
        if (i % 8 === 7) world.heal()
      }
      world.heal()
      expect(world.runUntil(() => refs.every((ref) => world.outcomes.has(ref)), 20_000)).toBe(true)
    }
  })
})

describe("defect-D9: the shipped settings take snapshots", () => {
  test("a server with the shipped settings makes its state machine durable and trims its log", () => {
    const bytes = new Uint8Array(1024 * 1024)
    const it = server({ voters: "a" }).expire("election")
    let taken = 0
    for (let i = 0; i < 80 && taken === 0; i++) {
      it.propose({ bytes, checksum: i })
      taken = it.did("TakeSnapshot").length
    }
    expect(taken).toBe(1)
    it.happens({ type: "SnapshotTaken", base: snapshotAt(it.commit, it.term) })
    expect(it.state.log.bytes).toBeLessThanOrEqual(defaultSettings.trailingLogBytes)
    expect(it.state.log.bytes).toBeGreaterThan(defaultSettings.trailingLogBytes / 2)
  })
})
