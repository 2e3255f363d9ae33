/** Scenarios X that the papers draw: Figures 7 and 8 of the Raft paper, and elections that go wrong. */
import { describe, expect } from "vitest"
import { Log, type CommandEntry } from "../core/index.ts"
import { Harness, scenario, T, type HarnessOptions } from "./scenario.kit.ts"

/** What stands at an index of a term in the figures. */
const valueOf = (index: number, term: number): number => term * 100 + index
const entriesOf = (terms: readonly number[]): readonly CommandEntry[] =>
  terms.map((term, i) => ({ kind: "command", index: i + 1, term, time: 0, payload: { bytes: new Uint8Array(16), checksum: valueOf(i + 1, term) } }))

/** A cluster whose servers, all down, hold logs of these terms; `term` is the last one that they have seen. */
const drawn = (logs: readonly (readonly number[])[], term: number, options: HarnessOptions = {}): Harness => {
  const it = new Harness({ ...options, servers: logs.length })
  for (const [i, name] of it.servers.entries()) {
    it.crash(name, "none")
    const { disk } = it.world.node(name)
    disk.hardState = { term, vote: null }
    disk.log = Log.of(disk.log.base, entriesOf(logs[i] ?? []))
  }
  return it
}
const termsOf = (it: Harness, name: string): readonly number[] => it.state(name).log.toArray().map(({ term }) => term)

/** Its election timer expires until it leads, or it does not. */
const campaign = (it: Harness, name: string, tries = 5): boolean => {
  for (let i = 0; i < tries && !it.leads(name); i++) {
    it.world.act({ type: "fire", node: name, timer: "election" })
    it.world.runUntil(() => it.leads(name), 20)
  }
  return it.leads(name)
}

describe("the Raft paper", () => {
  scenario("X13", {}, () => {
    const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
    const followers = {
      a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
      b: [1, 1, 1, 4],
      c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
      d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
      e: [1, 1, 1, 4, 4, 4, 4],
      f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    }
    const it = drawn([leader, ...Object.values(followers)], 7)
    it.restart(...it.servers)
    const [top = ""] = it.servers
    // Elected for term 8 by a, b, e and f; c and d have logs that are more up-to-date, and refuse.
    expect(campaign(it, top, 1)).toBe(true)
    expect(it.state(top).currentTerm).toBe(8)
    it.one(7, 1000)
    // Missing entries were filled in and extra ones are gone: one no-op and one command of term 8 follow.
    for (const name of it.servers) expect(termsOf(it, name), name).toEqual([...leader, 8, 8])
    expect(it.history.values).toEqual([...leader.map((term, i) => valueOf(i + 1, term)), 1000])
    // A round trip for each conflicting term: one for a and for b, two for e and for f.
    expect(it.traffic.sent.get("AppendRejected")).toBe(6)
  })

  /** Figure 8 at (c): S1 leads term 4, and its entry of term 2 stands on a majority. Answers the cluster just then. */
  const figure8 = (): Harness => {
    let waits = false
    const it = drawn([[1, 2], [1, 2], [1], [1], [1, 3]], 3, {
      // One entry goes out at a time: the old one arrives before the new one.
      settings: { maxBatchBytes: 1 },
      hooks: {
        observe: ({ node, effects }) => {
          waits ||= node === "n1" && effects.some((effect) => effect.type === "Note" && effect.rule === "commit.earlierTerm")
        },
      },
    })
    it.restart("n1", "n2", "n3", "n4")
    expect(campaign(it, "n1", 1)).toBe(true)
    it.world.cut("n1", "n2")
    expect(it.world.runUntil(() => waits, T), "an entry of an earlier term stands on a majority").toBe(true)
    return it
  }

  scenario("X14", {}, () => {
    // (d): S1 goes before an entry of its own term stands on a majority; S5 is elected and overwrites the old one.
    const lost = figure8()
    expect(lost.state("n1").commitIndex).toBe(0)
    lost.crash("n1", "all")
    lost.restart("n2", "n3", "n4", "n5")
    expect(termsOf(lost, "n3").slice(0, 2)).toEqual([1, 2])
    expect(campaign(lost, "n5")).toBe(true)
    lost.run(T)
    lost.restart("n1")
    lost.one(5)
    for (const name of lost.servers) expect(termsOf(lost, name).slice(0, 2), name).toEqual([1, 3])

    // (e): S1 goes after it; then S5 cannot win, and both entries stay.
    const kept = figure8()
    expect(kept.world.runUntil(() => kept.state("n1").commitIndex === 3, T)).toBe(true)
    kept.crash("n1", "all")
    kept.restart("n2", "n3", "n4", "n5")
    expect(campaign(kept, "n5")).toBe(false)
    kept.leader()
    kept.restart("n1")
    kept.one(5)
    for (const name of kept.servers) expect(termsOf(kept, name).slice(0, 3), name).toEqual([1, 2, 4])
  })
})

describe("elections", () => {
  scenario("X15", { servers: 4 }, (it) => {
    // Two ask at the same moment, and each is heard by one other only: two votes of four.
    it.world.cut("n1", "n4")
    it.world.cut("n2", "n3")
    for (const name of ["n1", "n2"]) it.world.act({ type: "fire", node: name, timer: "election" })
    it.run(50)
    expect(it.servers.map((name) => [it.state(name).role.type, it.state(name).currentTerm, it.state(name).votedFor?.name])).toEqual([
      ["candidate", 1, "n1"],
      ["candidate", 1, "n2"],
      ["follower", 1, "n1"],
      ["follower", 1, "n2"],
    ])
    it.connectAll()
    // Random timeouts settle it (§5.2).
    expect(it.world.runUntil(() => it.world.leader() !== undefined, 3 * T)).toBe(true)
    it.leader()
    expect(it.term()).toBeGreaterThanOrEqual(2)
    it.one(4)
  })

  scenario("X16", { servers: 5 }, (it) => {
    it.one(5)
    const leader = it.leader()
    const term = it.term()
    const [outside = ""] = it.after(leader)
    // Alone it asks for pre-votes and gets none; back again, it has no higher term to depose anybody with (thesis §9.6).
    it.disconnect(outside)
    it.run(20 * T)
    expect(it.state(outside).currentTerm).toBe(term)
    it.connect(outside)
    for (let i = 0; i < 5; i++) {
      it.one(5)
      it.run(T)
    }
    expect([it.leader(), it.term()]).toEqual([leader, term])
    // The same if it campaigns again and again while the leader is heard (thesis §4.2.3).
    for (let i = 0; i < 50; i++) {
      it.world.act({ type: "fire", node: outside, timer: "election" })
      it.run(20)
    }
    expect([it.leader(), it.term()]).toEqual([leader, term])
    it.one(5)
  })

  scenario("X17", { servers: 3 }, (it) => {
    // One link between two is broken, as at Cloudflare in 2020: who cannot hear the leader does not depose it.
    it.one(3)
    const leader = it.leader()
    const term = it.term()
    const [deaf = "", between = ""] = it.after(leader)
    it.world.cut(leader, deaf)
    for (let i = 0; i < 20; i++) {
      it.one(2)
      it.run(T)
    }
    expect([it.leads(leader), it.state(between).currentTerm]).toEqual([true, term])
    it.connectAll()
    it.one(3)

    // Only one server is left that a majority can talk to: the leader gives up, and that one is elected.
    const star = new Harness({ servers: 5 })
    star.one(5)
    const before = star.leader()
    const [hub = "", ...rest] = star.after(before)
    const rays = [before, ...rest]
    for (const a of rays) for (const b of rays) if (a !== b) star.world.cutOneWay(a, b)
    expect(star.world.runUntil(() => star.leads(hub), 10 * T)).toBe(true)
    star.one(5)
    const settled = star.state(hub).currentTerm
    star.run(10 * T)
    expect([star.leads(hub), star.state(hub).currentTerm]).toEqual([true, settled])
  })
})
