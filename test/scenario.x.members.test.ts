/** Scenarios X that change who the members are, and that read under leases. */
import { describe, expect } from "vitest"
import type { Rule } from "../core/index.ts"
import type { Cluster, StoryWork, WorldHooks } from "../interpreters/simulation/index.ts"
import { everyTen, scenario, T, watched } from "./scenario.kit.ts"

const votersOf = (c: Cluster, name: string): readonly string[] =>
  (c.state(name).configurations.at(-1)?.configuration.voters ?? []).map((voter) => voter.name)
const isJoint = (c: Cluster, name: string): boolean =>
  (c.state(name).configurations.at(-1)?.configuration.outgoing.length ?? 0) > 0

/** Commands all the while. */
const loading = function* (c: Cluster, count: number, servers: number): StoryWork<void> {
  for (let i = 0; i < count; i++) {
    yield* c.agree(c.fresh(), servers)
    yield 20
  }
}
/** It has executed all that anybody has. */
const isCurrent = (c: Cluster, name: string): boolean => c.state(name).applied >= c.agreement.last

describe("members", () => {
  scenario("X18", { settings: everyTen }, (c) => {
    for (let i = 0; i < 30; i++) c.one(c.fresh(), 3)
    const old = c.names
    c.add("n4", "n5")
    // As learners they get the log, or a snapshot first, and decide nothing …
    c.together([c.reconfigure(old, ["n4", "n5"]), loading(c, 30, 3)])
    expect(c.runUntil(() => isCurrent(c, "n4") && isCurrent(c, "n5"), 5 * T)).toBe(true)
    const leader = c.leader()
    c.cut(...c.others(leader, "n4", "n5"))
    const command = c.offer(leader, c.fresh())?.index ?? 0
    c.run(2 * T)
    expect(c.committed(command).count).toBe(0)
    c.heal()
    c.one(c.fresh(), 5)
    // … and as voters they carry the cluster.
    c.together([c.reconfigure([...old, "n4", "n5"]), loading(c, 10, 3)])
    c.crash("n1")
    c.crash("n2")
    c.one(c.fresh(), 3)
    c.restart("n1", "n2")
    c.one(c.fresh(), 5)
  })

  scenario("X19", { servers: 5 }, (c) => {
    c.one(c.fresh(), 5)
    const leader = c.leader()
    const [a = "", b = "", ...rest] = c.others(leader)
    // One that is there when it is removed, and one that never hears of c.
    c.cut(b)
    c.together([c.reconfigure([leader, ...rest]), loading(c, 10, 3)])
    const term = c.state(leader).currentTerm
    c.join(b)
    c.run(20 * T)
    expect([c.leader(), c.state(leader).currentTerm]).toEqual([leader, term])
    // Two of three are enough now.
    c.crash(rest[0] ?? "")
    c.crash(a)
    c.crash(b)
    c.one(c.fresh(), 2)
    c.crash(leader)
    c.run(2 * T)
    c.nobodyLeads()
  })

  scenario("X20", { servers: 3 }, (c) => {
    c.one(c.fresh(), 3)
    const leader = c.leader()
    const others = c.others(leader)
    c.together([c.reconfigure(others), loading(c, 20, 2)])
    // It commits its own removal, with a majority that it is not part of, and steps down (§6).
    c.run(T)
    expect(c.leads(leader)).toBe(false)
    const next = c.leader()
    expect(others).toContain(next)
    const term = c.state(next).currentTerm
    c.run(20 * T)
    expect([c.leader(), c.state(next).currentTerm]).toEqual([next, term])
    c.crash(leader)
    c.one(c.fresh(), 2)
    // A single voter is a cluster too.
    c.change([next])
    for (const name of c.others(next)) if (c.isUp(name)) c.crash(name)
    c.one(c.fresh(), 1)
    c.restart(next)
    c.one(c.fresh(), 1)
  })

  scenario("X21", { settings: everyTen }, (c) => {
    for (let i = 0; i < 30; i++) c.one(c.fresh(), 3)
    // A damaged record keeps n3 from starting; without its disk it starts, and knows that it knows nothing.
    c.crash("n3")
    c.world.act({ type: "corruptDisk", node: "n3" })
    c.restart("n3")
    expect(c.isUp("n3")).toBe(false)
    c.one(c.fresh(), 2)
    c.world.act({ type: "wipe", node: "n3" })
    c.restart("n3")
    c.crash("n1")
    c.run(5 * T)
    // It may have voted in an earlier life: it does not help to elect anybody, nor is it supplied.
    c.nobodyLeads()
    expect(c.state("n3").log.lastIndex).toBe(0)
    c.restart("n1")
    c.one(c.fresh(), 2)
    // Out with the old incarnation, in with the new one as a learner, then as a voter.
    c.change(["n1", "n2"], ["n3"])
    expect(c.runUntil(() => isCurrent(c, "n3"), 5 * T)).toBe(true)
    c.change(["n1", "n2", "n3"])
    c.one(c.fresh(), 3)
    c.crash("n1")
    c.one(c.fresh(), 2)
  })

  scenario("X22", { servers: 5 }, (c) => {
    c.one(c.fresh(), 5)
    const old = c.leader()
    const [beside = "", ...three] = c.others(old)
    // In the minority a change to that minority stays open for ever: the joint configuration needs both majorities (§6).
    c.partition([old, beside])
    c.world.change(old, [old, beside], [])
    expect(isJoint(c, old)).toBe(true)
    expect(c.runUntil(() => three.some((name) => c.leads(name)), 5 * T)).toBe(true)
    c.run(3 * T)
    expect(c.state(old).commitIndex).toBeLessThan(c.state(old).configurations.at(-1)?.index ?? 0)
    expect([c.leads(old), c.leads(beside)]).toEqual([false, false])
    // Meanwhile the others go on, and change to themselves.
    c.change(three)
    c.one(c.fresh(), 3)
    c.heal()
    c.run(3 * T)
    const next = c.leader()
    expect(three).toContain(next)
    expect(votersOf(c, next)).toEqual(three)
    c.one(c.fresh(), 3)
    c.change(c.names)
    c.one(c.fresh(), 5)
  })

  scenario("X23", {}, () => {
    // A leader crashes in every millisecond of a change from three servers to itself and two new ones.
    const outcomes = new Set<string>()
    for (let moment = 0; moment <= 12; moment++) {
      const c = watched({ servers: 5, seed: moment + 1 })
      c.change(["n1", "n2", "n3"], ["n4", "n5"])
      c.one(c.fresh(), 5)
      const leader = c.leader()
      const [a = "", b = ""] = c.others(leader, "n4", "n5")
      c.world.change(leader, [leader, "n4", "n5"], [a, b])
      c.run(moment)
      c.crash(leader)
      c.run(3 * T)
      // Whoever leads now leaves the joint configuration by itself, or never knew of c.
      const next = c.leader()
      expect(isJoint(c, next)).toBe(false)
      outcomes.add(votersOf(c, next).join())
      c.one(c.fresh(), 4)
      c.restart(leader)
      c.one(c.fresh(), 5)
    }
    expect(outcomes.size).toBeGreaterThan(1)
  })
})

/** Which rules were used. */
const noting = (rules: Set<Rule>): WorldHooks => ({
  observe: ({ effects }) => {
    for (const effect of effects) if (effect.type === "Note") rules.add(effect.rule)
  },
})
/** Reads everywhere, all the time; that none is stale is checked at every step. */
const reading = function* (c: Cluster, rounds: number): StoryWork<void> {
  for (let i = 0; i < rounds; i++) {
    for (const name of c.live) c.world.read(name)
    yield 7
  }
}

describe("leases", () => {
  const drifting = new Set<Rule>()
  scenario(
    "X24",
    { servers: 3, settings: { leaseReads: true, maxClockDriftPermille: 100 }, ...noting(drifting) },
    (c) => {
      // As far apart as they may be: whoever leads is slow, so that its lease is long, or fast.
      for (const drift of [-50, 50, 0, -50, 50]) {
        c.one(c.fresh(), 3)
        const leader = c.leader()
        c.world.act({ type: "skew", node: leader, offset: 0, driftPermille: drift })
        for (const name of c.others(leader)) c.world.act({ type: "skew", node: name, offset: 0, driftPermille: -drift })
        c.run(T)
        const cut = function* (): StoryWork<void> {
          yield 100
          c.cut(leader)
          yield 10
          yield* c.agree(c.fresh(), 2)
          yield T
        }
        const messages = c.world.messages
        c.do(reading(c, 3))
        expect(c.world.messages - messages, "reads under a lease need no round").toBeLessThan(20)
        c.together([cut(), reading(c, 400)])
        c.join(leader)
      }
      // A lease runs from when a round was sent, however late its answers come.
      for (let i = 0; i < 5; i++) {
        c.one(c.fresh(), 3)
        const leader = c.leader()
        const late = function* (): StoryWork<void> {
          for (const name of c.others(leader)) c.world.act({ type: "clog", from: name, to: leader, ms: 450 })
          yield 110
          for (const name of c.others(leader)) c.world.cutOneWay(leader, name)
          yield 341
          c.cut(leader)
          yield* c.agree(c.fresh(), 2)
          yield T
        }
        c.together([late(), reading(c, 300)])
        c.join(leader)
      }
      expect(drifting).toContain("read.leased")
      expect(drifting).toContain("lease.over")
    },
  )

  const pausing = new Set<Rule>()
  scenario("X25", { servers: 3, settings: { leaseReads: true }, ...noting(pausing) }, (c) => {
    for (let pause = 300; pause <= 3000; pause += 300) {
      c.one(c.fresh(), 3)
      const leader = c.leader()
      c.do(reading(c, 5))
      // It sleeps while reads come in; whatever happened meanwhile, when it wakes up its lease is over first.
      c.world.pause(leader)
      const asleep = function* (): StoryWork<void> {
        const deposed = c.agree(c.fresh(), 2)
        for (const end = c.now + pause; c.now < end;) {
          const turn = deposed.next()
          if (turn.done === true) break
          yield turn.value
        }
        c.world.resume(leader)
        yield 50
      }
      c.together([asleep(), reading(c, pause / 7)])
    }
    c.one(c.fresh(), 3)
    expect(pausing).toContain("read.leased")
    expect(pausing).toContain("lease.over")
  })
})
