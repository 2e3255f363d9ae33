/** Scenarios X that change who the members are, and that read under leases. */
import { describe, expect } from "vitest"
import type { Rule } from "../core/index.ts"
import type { WorldHooks } from "../interpreters/simulation/index.ts"
import { Harness, scenario, ScenarioFailed, T, type Task } from "./scenario.kit.ts"

const votersOf = (it: Harness, name: string): readonly string[] => (it.state(name).configurations.at(-1)?.configuration.voters ?? []).map((voter) => voter.name)
const isJoint = (it: Harness, name: string): boolean => (it.state(name).configurations.at(-1)?.configuration.outgoing.length ?? 0) > 0

/** That leader has committed these voters, and no change is open. */
const isDone = (it: Harness, leader: string, voters: readonly string[], learners: readonly string[]): boolean => {
  const { configurations, commitIndex } = it.state(leader)
  const last = configurations.at(-1)
  const same = (names: readonly string[], members: readonly { readonly name: string }[] = []): boolean => names.length === members.length && members.every(({ name }) => names.includes(name))
  return last !== undefined && last.index <= commitIndex && !isJoint(it, leader) && same(voters, last.configuration.voters) && same(learners, last.configuration.learners)
}
/** Asks whoever leads for the change until it is made, within 10 s. */
const changing = function* (it: Harness, voters: readonly string[], learners: readonly string[] = []): Task {
  for (const end = it.now + 10_000; it.now < end; yield 20) {
    const leader = it.world.leader()?.name
    if (leader === undefined) continue
    if (isDone(it, leader, voters, learners)) return
    // Refused while an earlier one is open, this one perhaps.
    it.world.change(leader, voters, learners)
  }
  throw new ScenarioFailed(`voters ${voters.join(", ")} were not made within 10 s`)
}
const change = (it: Harness, voters: readonly string[], learners: readonly string[] = []): void => it.finish(changing(it, voters, learners))
/** Commands all the while. */
const loading = function* (it: Harness, count: number, servers: number): Task {
  for (let i = 0; i < count; i++) {
    yield* it.agreeing(it.fresh(), servers)
    yield 20
  }
}
/** It has executed all that anybody has. */
const isCurrent = (it: Harness, name: string): boolean => it.state(name).applied >= it.history.last
const add = (it: Harness, ...names: readonly string[]): void => {
  for (const name of names) it.world.act({ type: "add", name })
}

describe("members", () => {
  scenario("X18", { snapshots: true }, (it) => {
    for (let i = 0; i < 30; i++) it.one(3)
    const old = it.servers
    add(it, "n4", "n5")
    // As learners they get the log, or a snapshot first, and decide nothing …
    it.together([changing(it, old, ["n4", "n5"]), loading(it, 30, 3)])
    expect(it.world.runUntil(() => isCurrent(it, "n4") && isCurrent(it, "n5"), 5 * T)).toBe(true)
    const leader = it.leader()
    it.disconnect(...it.others(leader, "n4", "n5"))
    const command = it.offer(leader)?.command ?? 0
    it.run(2 * T)
    expect(it.executed(command).count).toBe(0)
    it.connectAll()
    it.one(5)
    // … and as voters they are as good as any.
    it.together([changing(it, [...old, "n4", "n5"]), loading(it, 10, 3)])
    it.crash("n1")
    it.crash("n2")
    it.one(3)
    it.restart("n1", "n2")
    it.one(5)
  })

  scenario("X19", { servers: 5 }, (it) => {
    it.one(5)
    const leader = it.leader()
    const [a = "", b = "", ...rest] = it.after(leader)
    // One that is there when it is removed, and one that never hears of it.
    it.disconnect(b)
    it.together([changing(it, [leader, ...rest]), loading(it, 10, 3)])
    const term = it.state(leader).currentTerm
    it.connect(b)
    it.run(20 * T)
    expect([it.leader(), it.state(leader).currentTerm]).toEqual([leader, term])
    // Two of three are enough now.
    it.crash(rest[0] ?? "")
    it.crash(a)
    it.crash(b)
    it.one(2)
    it.crash(leader)
    it.run(2 * T)
    it.noLeader()
  })

  scenario("X20", { servers: 3 }, (it) => {
    it.one(3)
    const leader = it.leader()
    const others = it.others(leader)
    it.together([changing(it, others), loading(it, 20, 2)])
    // It commits its own removal, with a majority that it is not part of, and steps down (§6).
    it.run(T)
    expect(it.leads(leader)).toBe(false)
    const next = it.leader()
    expect(others).toContain(next)
    const term = it.state(next).currentTerm
    it.run(20 * T)
    expect([it.leader(), it.state(next).currentTerm]).toEqual([next, term])
    it.crash(leader)
    it.one(2)
    // A single voter is a cluster too.
    change(it, [next])
    for (const name of it.others(next)) if (it.isUp(name)) it.crash(name)
    it.one(1)
    it.restart(next)
    it.one(1)
  })

  scenario("X21", { snapshots: true }, (it) => {
    for (let i = 0; i < 30; i++) it.one(3)
    // A damaged record keeps n3 from starting; without its disk it starts, and knows that it knows nothing.
    it.crash("n3")
    it.world.act({ type: "flipBit", node: "n3" })
    it.restart("n3")
    expect(it.isUp("n3")).toBe(false)
    it.one(2)
    it.world.act({ type: "wipe", node: "n3" })
    it.restart("n3")
    it.crash("n1")
    it.run(5 * T)
    // It may have voted in an earlier life: it does not help to elect anybody, nor is it supplied.
    it.noLeader()
    expect(it.state("n3").log.lastIndex).toBe(0)
    it.restart("n1")
    it.one(2)
    // Out with the old incarnation, in with the new one as a learner, then as a voter.
    change(it, ["n1", "n2"], ["n3"])
    expect(it.world.runUntil(() => isCurrent(it, "n3"), 5 * T)).toBe(true)
    change(it, ["n1", "n2", "n3"])
    it.one(3)
    it.crash("n1")
    it.one(2)
  })

  scenario("X22", { servers: 5 }, (it) => {
    it.one(5)
    const old = it.leader()
    const [beside = "", ...three] = it.after(old)
    // In the minority a change to that minority stays open for ever: the joint configuration needs both majorities (§6).
    it.world.partition([old, beside])
    it.world.change(old, [old, beside], [])
    expect(isJoint(it, old)).toBe(true)
    expect(it.world.runUntil(() => three.some((name) => it.leads(name)), 5 * T)).toBe(true)
    it.run(3 * T)
    expect(it.state(old).commitIndex).toBeLessThan(it.state(old).configurations.at(-1)?.index ?? 0)
    expect([it.leads(old), it.leads(beside)]).toEqual([false, false])
    // Meanwhile the others go on, and change to themselves.
    change(it, three)
    it.one(3)
    it.connectAll()
    it.run(3 * T)
    const next = it.leader()
    expect(three).toContain(next)
    expect(votersOf(it, next)).toEqual(three)
    it.one(3)
    change(it, it.servers)
    it.one(5)
  })

  scenario("X23", {}, () => {
    // A leader crashes in every millisecond of a change from three servers to itself and two new ones.
    const outcomes = new Set<string>()
    for (let moment = 0; moment <= 12; moment++) {
      const it = new Harness({ servers: 5, seed: moment + 1 })
      change(it, ["n1", "n2", "n3"], ["n4", "n5"])
      it.one(5)
      const leader = it.leader()
      const [a = "", b = ""] = it.others(leader, "n4", "n5")
      it.world.change(leader, [leader, "n4", "n5"], [a, b])
      it.run(moment)
      it.crash(leader)
      it.run(3 * T)
      // Whoever leads now leaves the joint configuration by itself, or never knew of it.
      const next = it.leader()
      expect(isJoint(it, next)).toBe(false)
      outcomes.add(votersOf(it, next).join())
      it.one(4)
      it.restart(leader)
      it.one(5)
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
const reading = function* (it: Harness, rounds: number, refused: string[] = []): Task {
  for (let i = 0; i < rounds; i++) {
    const answers = it.live.map((name) => ({ name, answer: it.read(name) }))
    yield 7
    for (const { name, answer } of answers) if (answer()?.type === "ReadRefused") refused.push(name)
  }
}

describe("leases", () => {
  const drifting = new Set<Rule>()
  scenario("X24", { servers: 3, settings: { leaseReads: true, maxClockDriftPermille: 100 }, hooks: noting(drifting) }, (it) => {
    // As far apart as they may be: whoever leads is slow, so that its lease is long, or fast.
    for (const drift of [-50, 50, 0, -50, 50]) {
      it.one(3)
      const leader = it.leader()
      it.world.act({ type: "skew", node: leader, offset: 0, driftPermille: drift })
      for (const name of it.others(leader)) it.world.act({ type: "skew", node: name, offset: 0, driftPermille: -drift })
      it.run(T)
      const cut = function* (): Task {
        yield 100
        it.disconnect(leader)
        yield 10
        yield* it.agreeing(it.fresh(), 2)
        yield T
      }
      const messages = it.world.messages
      it.finish(reading(it, 3))
      expect(it.world.messages - messages, "reads under a lease need no round").toBeLessThan(20)
      it.together([cut(), reading(it, 400)])
      it.connect(leader)
    }
    // A lease runs from when a round was sent, however late its answers come.
    for (let i = 0; i < 5; i++) {
      it.one(3)
      const leader = it.leader()
      const late = function* (): Task {
        for (const name of it.others(leader)) it.world.act({ type: "clog", from: name, to: leader, ms: 450 })
        yield 110
        for (const name of it.others(leader)) it.world.cutOneWay(leader, name)
        yield 341
        it.disconnect(leader)
        yield* it.agreeing(it.fresh(), 2)
        yield T
      }
      it.together([late(), reading(it, 300)])
      it.connect(leader)
    }
    expect(drifting).toContain("read.leased")
    expect(drifting).toContain("lease.over")
  })

  const pausing = new Set<Rule>()
  scenario("X25", { servers: 3, settings: { leaseReads: true }, hooks: noting(pausing) }, (it) => {
    for (let pause = 300; pause <= 3000; pause += 300) {
      it.one(3)
      const leader = it.leader()
      it.finish(reading(it, 5))
      // It sleeps while reads come in; whatever happened meanwhile, when it wakes up its lease is over first.
      it.world.pause(leader)
      const asleep = function* (): Task {
        const deposed = it.agreeing(it.fresh(), 2)
        for (const end = it.now + pause; it.now < end; ) {
          const turn = deposed.next()
          if (turn.done === true) break
          yield turn.value
        }
        it.world.resume(leader)
        yield 50
      }
      it.together([asleep(), reading(it, pause / 7)])
    }
    it.one(3)
    expect(pausing).toContain("read.leased")
    expect(pausing).toContain("lease.over")
  })
})
