import { createServer, connect, type Socket } from "node:net"
import { describe, expect, test } from "vitest"
import {
  origin,
  type Effect,
  type Entry,
  type InstallSnapshot,
  type ProposalOutcome,
  type ReadOutcome,
  type SnapshotRef,
} from "../core/index.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { makeTimers } from "../interpreters/driver/timers.ts"
import { until } from "./cluster.ts"
import { heartbeat, peer, real, rig, scripted, turn, turns, types } from "./driver.fake.ts"

const payload = (text: string) => payloadOf(Buffer.from(text))
const base = { index: 5, term: 1, time: 0, chain: 0, configuration: { voters: [], outgoing: [], learners: [] } }
const snapshot: SnapshotRef = { ...base, id: "s" }
const chunk: InstallSnapshot = {
  type: "InstallSnapshot",
  term: 1,
  snapshot,
  offset: 0,
  length: 3,
  last: true,
  round: 1,
}

describe("a turn", () => {
  test("takes all that is queued in one batch, with the clock first, and flushes once", async () => {
    const world = rig(scripted({ MessageReceived: () => [{ type: "Send", to: peer, message: heartbeat(1) }] }))
    world.driver.start()
    world.transport.received(peer, heartbeat(1), null)
    world.storage.persisted(1)
    world.transport.received(peer, heartbeat(1), null)
    await turn()
    expect(world.batches.map(types)).toEqual([
      ["ClockAdvanced", "Started", "MessageReceived", "Persisted", "MessageReceived"],
    ])
    expect(world.calls).toEqual(["send AppendEntries", "send AppendEntries", "flush"])
    world.transport.connected(peer)
    await turn()
    expect(types(world.batches[1] ?? []), "the same millisecond is not told twice").toEqual(["PeerConnected"])
    await turns(3)
    expect(world.batches.length, "an idle loop stands still").toBe(2)
  })

  test("merges proposals of clients, and tells each its own place", async () => {
    const effects = (ref: number): Effect[] => [
      { type: "Respond", ref, outcome: { type: "ProposalAppended", first: 10, term: 3 } },
    ]
    const world = rig(scripted({ Proposed: (event) => (event.type === "Proposed" ? effects(event.ref) : []) }))
    const told: ProposalOutcome[] = []
    world.driver.start()
    world.driver.propose([payload("a"), payload("b")], (outcome) => told.push(outcome))
    world.driver.propose([payload("c")], (outcome) => told.push(outcome))
    world.transport.connected(peer)
    world.driver.propose([payload("d")], (outcome) => told.push(outcome))
    await turn()
    const proposed = world.events().filter((event) => event.type === "Proposed")
    expect(proposed.map(({ payloads }) => payloads.map(({ bytes }) => Buffer.from(bytes).toString()).join(""))).toEqual(
      ["abc", "d"],
    )
    expect(told.map((outcome) => (outcome.type === "ProposalAppended" ? outcome.first : 0))).toEqual([10, 12, 10])
  })

  test("lets listeners propose just before it, in the same batch", async () => {
    const world = rig(scripted({}))
    let asked = false
    world.driver.beforeTurn(() => {
      if (!asked) world.driver.propose([payload("x")], () => {})
      asked = true
    })
    world.driver.start()
    await turn()
    expect(types(world.batches[0] ?? [])).toEqual(["ClockAdvanced", "Started", "Proposed"])
  })

  test("answers reads, and calls nobody twice", async () => {
    const world = rig(
      scripted({
        ReadRequested: (event) =>
          event.type === "ReadRequested"
            ? Array.from({ length: 2 }, () => ({
                type: "Respond" as const,
                ref: event.ref,
                outcome: { type: "ReadReady" as const, index: 4 },
              }))
            : [],
      }),
    )
    const told: ReadOutcome[] = []
    world.driver.start()
    world.driver.read((outcome) => told.push(outcome))
    await turn()
    expect(told).toEqual([{ type: "ReadReady", index: 4 }])
  })

  test("hands the state machine one Apply at a time", async () => {
    const entry = (index: number): Entry => ({ kind: "noop", index, term: 1, time: 0, chain: 0 })
    const world = rig(
      scripted({
        Started: () => [
          { type: "Apply", entries: [entry(1)] },
          { type: "Apply", entries: [entry(2), entry(3)] },
        ],
      }),
    )
    const applied: number[] = []
    world.driver.onApplied((index) => applied.push(index))
    world.driver.start()
    await turn()
    expect(world.calls).toEqual(["apply 1", "flush"])
    world.machine.applied(1)
    expect(world.calls.at(-1)).toBe("apply 2,3")
    world.machine.applied(3)
    await turn()
    expect(applied).toEqual([1, 3])
    expect(types(world.events()).slice(-2)).toEqual(["Applied", "Applied"])
  })
})

describe("a node that must stop", () => {
  const halted = { reason: "committedConflict", index: 3, term: 1, leader: peer, theirs: 2 } as const
  test("stops by name, and does nothing that comes with it or after it", async () => {
    const world = rig(
      scripted({
        Started: () => [
          { type: "Halt", halted },
          { type: "Apply", entries: [] },
        ],
        MessageReceived: () => [{ type: "CancelTimer", timer: "election" }],
      }),
    )
    world.driver.start()
    await turn()
    const said = world.calls.length
    expect(world.fatal.map(({ name, message }) => [name, message.startsWith("committedConflict: entry 3 ")])).toEqual([
      ["NodeHalted", true],
    ])
    world.transport.received(peer, heartbeat(1), null)
    await turns(2)
    expect([world.calls.length, world.fatal.length, world.calls.includes("apply ")]).toEqual([said, 1, false])
  })
  test("by the real reducer: a leader that contradicts what is committed", async () => {
    const world = rig(real())
    world.driver.start()
    await turn()
    world.transport.received(peer, heartbeat(1), null)
    world.transport.received({ name: "n3", incarnation: "i3" }, heartbeat(1), null)
    await turns(2)
    expect(world.fatal).toMatchObject([{ name: "NodeHalted", reason: "twoLeaders" }])
    expect(world.calls.filter((call) => call.startsWith("send") || call.startsWith("persist"))).toEqual([])
  })
  test("what correct peers never bring about is told once, and counted", async () => {
    const world = rig(real())
    world.driver.start()
    await turn()
    for (let i = 0; i < 3; i++) world.transport.received(peer, heartbeat(2 ** 48), null)
    await turns(2)
    expect(world.reports).toHaveLength(1)
    expect(world.reports[0]).toMatch(/^term.outOfDomain: a message that no correct server can have sent/)
    expect([world.driver.counters["term.outOfDomain"], world.fatal]).toEqual([3, []])
  })
  test("times that no timer of this process can count are refused", () => {
    const { state } = real()
    expect(() =>
      rig({ state: { ...state, settings: { ...state.settings, electionMax: 2 ** 31 } }, run: () => [] }),
    ).toThrow(/setting electionMax is 2147483648/)
  })
})

describe("a timer", () => {
  test("of silence is believed only once the sockets were polled again after the batch", async () => {
    const world = rig(scripted({}))
    world.driver.start()
    await turn()
    world.expire("election")
    await turn()
    expect(types(world.events())).not.toContain("TimerExpired election")
    await turns(2)
    expect(types(world.events())).toContain("TimerExpired election")
  })

  test("that the waiting message sets anew never expires", async () => {
    const world = rig(scripted({ MessageReceived: () => [{ type: "SetTimer", timer: "election", min: 1, max: 2 }] }))
    world.driver.start()
    await turn()
    world.expire("election")
    await turn()
    world.transport.received(peer, heartbeat(1), null)
    await turns(4)
    expect(types(world.events())).not.toContain("TimerExpired election")
  })

  test("of a duty comes first in the next batch", async () => {
    const world = rig(scripted({}))
    world.driver.start()
    await turn()
    world.transport.connected(peer)
    world.expire("heartbeat")
    world.time++
    await turn()
    expect(types(world.batches.at(-1) ?? [])).toEqual(["ClockAdvanced", "TimerExpired heartbeat", "PeerConnected"])
  })

  test("of a lease comes before the reads that arrived while it ran out, counted from the sending of its round", async () => {
    const grant: Effect = { type: "SetTimer", timer: "lease", min: 450, max: 450, since: 1 }
    const state = { ...real().state, settings: { ...real().state.settings, leaseReads: true } }
    const world = rig({
      state,
      run: (events) =>
        events.flatMap((event): Effect[] =>
          event.type === "Started"
            ? [{ type: "Send", to: peer, message: heartbeat(1) }]
            : event.type === "MessageReceived"
              ? [grant]
              : [],
        ),
    })
    world.monotonic = 1000
    world.driver.start()
    await turn()
    world.monotonic = 1400
    world.transport.received(peer, heartbeat(1), null)
    await turn()
    world.monotonic = 1449
    world.driver.read(() => {})
    await turn()
    expect(types(world.events())).not.toContain("TimerExpired lease")
    world.driver.read(() => {})
    world.monotonic = 1450
    await turn()
    expect(types(world.batches.at(-1) ?? [])).toEqual(["TimerExpired lease", "ReadRequested"])
  })

  test("does not campaign after a stall while the leader's heartbeat waits in the socket", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const leader = new Promise<Socket>((resolve) => server.once("connection", resolve))
    const socket = connect(typeof address === "object" && address !== null ? address.port : 0, "127.0.0.1")
    const out = await leader
    const world = rig(real(), {}, makeTimers({ random: () => 0 }))
    world.driver.start()
    let heard = 0
    socket.on("data", () => {
      heard += 1
      world.transport.received(peer, heartbeat(1), null)
    })
    const hang = (millis: number): void => {
      const until = performance.now() + millis
      while (performance.now() < until);
    }
    for (let i = 0; i < 3; i++) {
      const before = heard
      out.write("beat")
      await until("the heartbeat is heard", () => heard > before)
      // Written before the stall, read after it: the election timer (500 ms) has expired meanwhile.
      out.write("beat")
      hang(700)
      await turns(6)
      expect(world.driver.state().role.type).toBe("follower")
      expect(types(world.events())).not.toContain("TimerExpired election")
    }
    await until("but a silent leader is given up", () => (world.driver.counters["election.preCampaign"] ?? 0) > 0)
    await world.driver.stop()
    socket.destroy()
    out.destroy()
    server.close()
  })
})

describe("snapshots", () => {
  test("are sent with their bytes, received with their bytes, and every failure is an event", async () => {
    const image = {
      snapshot,
      read: (offset: number) => Promise.resolve({ bytes: Buffer.from("abc").subarray(offset), last: true }),
      close: () => Promise.resolve(),
    }
    const stored: string[] = []
    const world = rig(
      scripted({
        Started: () => [{ type: "OpenSnapshot", to: peer }, { type: "TakeSnapshot" }],
        SnapshotOpened: () => [{ type: "Send", to: peer, message: { ...chunk, offset: 1, length: 0, last: false } }],
        MessageReceived: () => [{ type: "StoreChunk", snapshot, offset: 0, last: true }],
        ChunkStored: () => [{ type: "RestoreSnapshot", snapshot }],
      }),
      {
        openSnapshot: () => Promise.resolve(image),
        storeChunk: (_, offset, bytes) => {
          stored.push(`${offset} ${Buffer.from(bytes).toString()}`)
          return Promise.resolve(3)
        },
      },
    )
    world.driver.start()
    await turns(5)
    expect(
      world.sent.map(({ message, chunk }) => [
        message.type === "InstallSnapshot" && [message.length, message.last],
        Buffer.from(chunk ?? []).toString(),
      ]),
    ).toEqual([[[2, true], "bc"]])
    world.transport.received(peer, chunk, Buffer.from("xyz"))
    await turns(5)
    expect(stored).toEqual(["0 xyz"])
    expect(types(world.events())).toEqual(
      expect.arrayContaining(["SnapshotTakeFailed", "SnapshotOpened", "ChunkStored", "SnapshotRejected"]),
    )
    const opened = world.events().find((event) => event.type === "SnapshotOpened")
    expect(opened?.snapshot.configuration.voters.length, "the founding configuration is the core's to know").toBe(3)
  })
})

describe("an image", () => {
  const opened = (read: () => Promise<{ bytes: Uint8Array; last: boolean }>) => {
    let closed = 0
    const image = {
      snapshot,
      read,
      close: () => {
        closed += 1
        return Promise.resolve()
      },
    }
    return { image, closed: () => closed }
  }
  test("is released once it is closed, after the read that is under way", async () => {
    let finish = (): void => undefined
    const { image, closed } = opened(
      () => new Promise((resolve) => (finish = () => resolve({ bytes: Buffer.from("abc"), last: true }))),
    )
    const world = rig(
      scripted({
        Started: () => [{ type: "OpenSnapshot", to: peer }],
        SnapshotOpened: () => [{ type: "Send", to: peer, message: chunk }],
        PeerDisconnected: () => [{ type: "CloseSnapshot", id: snapshot.id }],
      }),
      { openSnapshot: () => Promise.resolve(image) },
    )
    world.driver.start()
    await turns(5)
    world.transport.disconnected(peer)
    await turns(5)
    expect(types(world.events())).toEqual(expect.arrayContaining(["SnapshotOpened", "PeerDisconnected"]))
    expect(closed(), "it is being read").toBe(0)
    finish()
    await turns(3)
    expect(closed()).toBe(1)
    expect(world.sent, "nobody asked for it any more").toEqual([])
  })
  test("is released when the node stops", async () => {
    const { image, closed } = opened(() => Promise.reject(new Error("not asked")))
    const world = rig(scripted({ Started: () => [{ type: "OpenSnapshot", to: peer }] }), {
      openSnapshot: () => Promise.resolve(image),
    })
    world.driver.start()
    await turns(5)
    await world.driver.stop()
    await turns(2)
    expect(closed()).toBe(1)
  })
  test("whose chunk cannot be put aside is refused by an event", async () => {
    const world = rig(scripted({ MessageReceived: () => [{ type: "StoreChunk", snapshot, offset: 0, last: true }] }), {
      storeChunk: () => Promise.reject(new Error("no room")),
    })
    world.driver.start()
    world.transport.received(peer, chunk, Buffer.from("xyz"))
    await turns(5)
    expect(world.events()).toContainEqual({ type: "SnapshotRejected", id: snapshot.id })
  })
})

describe("a state machine that is found to be damaged while it executes", () => {
  test("executes nothing more of what was handed over; restored, it is given what follows, and so on after that", async () => {
    const entries = (...indexes: number[]): readonly Entry[] =>
      indexes.map((index) => ({ kind: "noop", index, term: 1, time: 1, chain: 0 }))
    const snapshot: SnapshotRef = { ...origin, index: 5, term: 1, id: "s5" }
    const world = rig(
      scripted({
        Started: () => [
          { type: "Apply", entries: entries(1, 2) },
          { type: "Apply", entries: entries(3) },
        ],
        MachineDamaged: () => [{ type: "RestoreSnapshot", snapshot }],
        SnapshotRestored: () => [
          { type: "Apply", entries: entries(6) },
          { type: "Apply", entries: entries(7) },
        ],
      }),
      { restore: () => Promise.resolve() },
    )
    world.driver.start()
    await turns(2)
    world.machine.damaged(new Error("a record fails its checksum"))
    await turns(5)
    const applies = (): readonly string[] => world.calls.filter((call) => call.startsWith("apply"))
    expect(applies()).toEqual(["apply 1,2", "apply 6"])
    world.machine.applied(6)
    await turns(2)
    expect(applies()).toEqual(["apply 1,2", "apply 6", "apply 7"])
    expect(types(world.events())).toEqual(expect.arrayContaining(["MachineDamaged", "SnapshotRestored", "Applied"]))
    expect(world.fatal).toEqual([])
  })
})

describe("what the storage has not reported", () => {
  test("is claimed by nobody, however long the disk takes", async () => {
    const world = rig(real())
    world.driver.start()
    const candidate = { ...peer }
    world.transport.received(
      candidate,
      { type: "RequestVote", term: 5, lastLogIndex: 0, lastLogTerm: 0, transfer: false },
      null,
    )
    await turns(20)
    const [vote] = world.persisted
    expect(vote?.hardState, "the vote was handed over").toEqual({ term: 5, vote: candidate })
    expect(world.sent, "and is told to nobody").toEqual([])
    expect(types(world.events())).not.toContain("Persisted")
    expect(world.driver.state().durability.hardState.term).toBe(0)
    world.storage.persisted(vote?.seq ?? 0)
    await turns(2)
    expect(world.sent.map(({ message }) => message)).toMatchObject([
      { type: "RequestVoteReply", term: 5, granted: true },
    ])
  })
})

describe("failure", () => {
  test("of the storage is told once, and nothing happens afterwards", async () => {
    const world = rig(scripted({}))
    world.driver.start()
    await turn()
    world.storage.failed(new Error("fsync"))
    world.storage.failed(new Error("again"))
    world.transport.received(peer, heartbeat(1), null)
    world.driver.propose([payload("a")], () => {})
    await turns(3)
    expect(world.fatal.map(({ message }) => message)).toEqual(["fsync"])
    expect(world.batches.length).toBe(1)
  })

  test("of the reducer stops the node instead of the process", async () => {
    const world = rig({
      ...scripted({}),
      run: () => {
        throw new Error("invariant")
      },
    })
    world.driver.start()
    await turns(2)
    expect(world.fatal.map(({ message }) => message)).toEqual(["invariant"])
  })
})
