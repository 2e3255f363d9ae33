/** Scenarios X that the papers draw: Figures 7 and 8 of the Raft paper, and elections that go wrong. */
import { describe, expect } from "vitest"
import { Log, type Entry } from "../core/index.ts"
import type { Cluster } from "../interpreters/simulation/index.ts"
import { chained } from "./chained.ts"
import { scenario, T, valuesOf, watched, type ScenarioOptions } from "./scenario.kit.ts"

/** What stands at an index of a term in the figures. */
const valueOf = (index: number, term: number): number => term * 100 + index
const entriesOf = (terms: readonly number[]): readonly Entry[] =>
  chained(
    terms.map((term, i) => ({
      kind: "command",
      index: i + 1,
      term,
      time: 0,
      payload: { bytes: new Uint8Array(16), checksum: valueOf(i + 1, term) },
    })),
  )

/** A cluster whose servers, all down, hold logs of these terms; `term` is the last one that they have seen. */
const drawn = (logs: readonly (readonly number[])[], term: number, options: ScenarioOptions = {}): Cluster => {
  const c = watched({ ...options, servers: logs.length, handmade: true })
  for (const [i, name] of c.names.entries()) {
    c.crashKeeping("none", name)
    const { disk } = c.world.node(name)
    disk.hardState = { term, vote: null }
    disk.log = Log.of(disk.log.base, entriesOf(logs[i] ?? []))
  }
  return c
}
const termsOf = (c: Cluster, name: string): readonly number[] =>
  c
    .state(name)
    .log.toArray()
    .map(({ term }) => term)

/** Its election timer expires until it leads, or it does not. */
const campaign = (c: Cluster, name: string, tries = 5): boolean => {
  for (let i = 0; i < tries && !c.leads(name); i++) {
    c.world.act({ type: "fire", node: name, timer: "election" })
    c.runUntil(() => c.leads(name), 20)
  }
  return c.leads(name)
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
    const c = drawn([leader, ...Object.values(followers)], 7)
    c.restart(...c.names)
    const [top = ""] = c.names
    // Elected for term 8 by a, b, e and f; c and d have logs that are more up-to-date, and refuse.
    expect(campaign(c, top, 1)).toBe(true)
    expect(c.state(top).currentTerm).toBe(8)
    const last = c.fresh()
    c.one(last, 7)
    // Missing entries were filled in and extra ones are gone: one no-op and one command of term 8 follow.
    for (const name of c.names) expect(termsOf(c, name), name).toEqual([...leader, 8, 8])
    expect(valuesOf(c)).toEqual([...leader.map((term, i) => valueOf(i + 1, term)), last.checksum])
    // A round trip for each conflicting term: one for a and for b, two for e and for f.
    expect(c.meter.count({ kind: "AppendRejected" }).sent).toBe(6)
  })

  /** Figure 8 at (c): S1 leads term 4, and its entry of term 2 stands on a majority. Answers the cluster just then. */
  const figure8 = (): Cluster => {
    let waits = false
    const c = drawn([[1, 2], [1, 2], [1], [1], [1, 3]], 3, {
      // One entry goes out at a time: the old one arrives before the new one.
      settings: { maxBatchBytes: 1 },
      observe: ({ node, effects }) => {
        waits ||=
          node === "n1" && effects.some((effect) => effect.type === "Note" && effect.rule === "commit.earlierTerm")
      },
    })
    c.restart("n1", "n2", "n3", "n4")
    expect(campaign(c, "n1", 1)).toBe(true)
    c.world.cut("n1", "n2")
    expect(
      c.runUntil(() => waits, T),
      "an entry of an earlier term stands on a majority",
    ).toBe(true)
    return c
  }

  scenario("X14", {}, () => {
    // (d): S1 goes before an entry of its own term stands on a majority; S5 is elected and overwrites the old one.
    const lost = figure8()
    expect(lost.state("n1").commitIndex).toBe(0)
    lost.crashKeeping("all", "n1")
    lost.restart("n2", "n3", "n4", "n5")
    expect(termsOf(lost, "n3").slice(0, 2)).toEqual([1, 2])
    expect(campaign(lost, "n5")).toBe(true)
    lost.run(T)
    lost.restart("n1")
    lost.one(lost.fresh(), 5)
    for (const name of lost.names) expect(termsOf(lost, name).slice(0, 2), name).toEqual([1, 3])

    // (e): S1 goes after it; then S5 cannot win, and both entries stay.
    const kept = figure8()
    expect(kept.runUntil(() => kept.state("n1").commitIndex === 3, T)).toBe(true)
    kept.crashKeeping("all", "n1")
    kept.restart("n2", "n3", "n4", "n5")
    expect(campaign(kept, "n5")).toBe(false)
    kept.leader()
    kept.restart("n1")
    kept.one(kept.fresh(), 5)
    for (const name of kept.names) expect(termsOf(kept, name).slice(0, 3), name).toEqual([1, 2, 4])
  })
})

describe("elections", () => {
  scenario("X15", { servers: 4 }, (c) => {
    // Two ask at the same moment, and each is heard by one other only: two votes of four.
    c.world.cut("n1", "n4")
    c.world.cut("n2", "n3")
    for (const name of ["n1", "n2"]) c.world.act({ type: "fire", node: name, timer: "election" })
    c.run(50)
    expect(
      c.names.map((name) => [c.state(name).role.type, c.state(name).currentTerm, c.state(name).votedFor?.name]),
    ).toEqual([
      ["candidate", 1, "n1"],
      ["candidate", 1, "n2"],
      ["follower", 1, "n1"],
      ["follower", 1, "n2"],
    ])
    c.heal()
    // Random timeouts settle it (§5.2).
    expect(c.runUntil(() => c.world.leader() !== undefined, 3 * T)).toBe(true)
    c.leader()
    expect(c.term()).toBeGreaterThanOrEqual(2)
    c.one(c.fresh(), 4)
  })

  scenario("X16", { servers: 5 }, (c) => {
    c.one(c.fresh(), 5)
    const leader = c.leader()
    const term = c.term()
    const outside = c.other(leader)
    // Alone it asks for pre-votes and gets none; back again, it has no higher term to depose anybody with (thesis §9.6).
    c.cut(outside)
    c.run(20 * T)
    expect(c.state(outside).currentTerm).toBe(term)
    c.join(outside)
    for (let i = 0; i < 5; i++) {
      c.one(c.fresh(), 5)
      c.run(T)
    }
    expect([c.leader(), c.term()]).toEqual([leader, term])
    // The same if it campaigns again and again while the leader is heard (thesis §4.2.3).
    for (let i = 0; i < 50; i++) {
      c.world.act({ type: "fire", node: outside, timer: "election" })
      c.run(20)
    }
    expect([c.leader(), c.term()]).toEqual([leader, term])
    c.one(c.fresh(), 5)
  })

  scenario("X17", { servers: 3 }, (c) => {
    // One link between two is broken, as at Cloudflare in 2020: who cannot hear the leader does not depose c.
    c.one(c.fresh(), 3)
    const leader = c.leader()
    const term = c.term()
    const [deaf = "", between = ""] = c.others(leader)
    c.world.cut(leader, deaf)
    for (let i = 0; i < 20; i++) {
      c.one(c.fresh(), 2)
      c.run(T)
    }
    expect([c.leads(leader), c.state(between).currentTerm]).toEqual([true, term])
    c.heal()
    c.one(c.fresh(), 3)

    // Only one server is left that a majority can talk to: the leader gives up, and that one is elected.
    const star = watched({ servers: 5 })
    star.one(star.fresh(), 5)
    const before = star.leader()
    const [hub = "", ...rest] = star.others(before)
    const rays = [before, ...rest]
    for (const a of rays) for (const b of rays) if (a !== b) star.world.cutOneWay(a, b)
    expect(star.runUntil(() => star.leads(hub), 10 * T)).toBe(true)
    star.one(star.fresh(), 5)
    const settled = star.state(hub).currentTerm
    star.run(10 * T)
    expect([star.leads(hub), star.state(hub).currentTerm]).toEqual([true, settled])
  })
})
