/** Scenarios B: agreement on a log. */
import { describe, expect } from "vitest"
import type { Cluster } from "../interpreters/simulation/index.ts"
import { offers, said, scenario, T, weigh } from "./scenario.kit.ts"

/** The command of this number is nowhere. */
const uncommitted = (c: Cluster, index: number): void =>
  expect(c.committed(index).count, `servers that executed command ${index}`).toBe(0)

describe("agreement", () => {
  scenario("B1", { servers: 3 }, (c) => {
    for (let index = 1; index <= 3; index++) {
      uncommitted(c, index)
      expect(c.one(index * 100, 3, false)).toBe(index)
    }
  })

  scenario("B2", { servers: 3, weigh }, (c) => {
    c.one(99, 3, false)
    const before = c.bytes()
    for (let i = 0; i < 10; i++) c.one(c.fresh(5000), 3, false)
    expect(c.bytes() - before).toBeLessThanOrEqual(3 * 50_000 + 50_000)
  })

  scenario("B3", { servers: 3 }, (c) => {
    c.one(101, 3, false)
    const follower = c.other(c.leader())
    c.cut(follower)
    c.one(102, 2, false)
    c.run(T)
    c.one(103, 2, false)

    const still = c.leader()
    c.cut(...c.others(still))
    expect(c.offer(still, 104)?.index).toBe(4)
    c.run(2 * T)
    uncommitted(c, 4)
  })

  scenario("B4", { servers: 3 }, (c) => {
    c.one(101, 3, false)
    c.cut(c.leader())
    c.one(102, 2, false)
    c.run(T)
    c.one(103, 2, false)
    c.cut(c.leader())
    for (const name of c.names) c.offer(name, 104)
    c.run(2 * T)
    uncommitted(c, 4)
  })

  scenario("B5", { servers: 3 }, (c) => {
    c.one(101, 3, false)
    const follower = c.other(c.leader())
    c.cut(follower)
    c.one(102, 2, false)
    c.one(103, 2, false)
    c.run(T)
    c.one(104, 2, false)
    c.one(105, 2, false)
    c.join(follower)
    c.one(106, 3)
    c.run(T)
    c.one(107, 3)
  })

  scenario("B6", { servers: 5 }, (c) => {
    c.one(10, 5, false)
    const leader = c.leader()
    const three = c.others(leader).slice(0, 3)
    c.cut(...three)
    expect(c.offer(leader, 20)?.index).toBe(2)
    c.run(2 * T)
    uncommitted(c, 2)
    c.join(...three)
    // Whoever leads now kept the uncommitted command or replaces c.
    expect([2, 3]).toContain(c.offer(c.leader(), 30)?.index)
    c.one(1000, 5)
  })

  scenario("B7", { servers: 3 }, (c) => {
    const tryOnce = (): boolean => {
      const leader = c.leader()
      const first = c.offer(leader, 1)
      if (first === null) return false
      const offered = [100, 101, 102, 103, 104].map((value) => c.offer(leader, value))
      const executed = offered.map((taken) =>
        taken === null || taken.term !== first.term ? null : said(c.wait(taken.index, 3, taken.term)),
      )
      if (executed.includes(null)) return false
      expect(executed).toEqual([100, 101, 102, 103, 104])
      return true
    }
    let tries = 1
    while (!tryOnce()) {
      expect(++tries, "the term changed too often").toBeLessThanOrEqual(5)
      c.run(3000)
    }
  })

  scenario("B8", { servers: 3 }, (c) => {
    c.one(101, 3)
    const first = c.leader()
    c.cut(first)
    for (const value of [102, 103, 104]) c.offer(first, value)
    c.one(103, 2)
    const second = c.leader()
    c.cut(second)
    c.join(first)
    c.one(104, 2)
    c.join(second)
    c.one(105, 3)
  })

  scenario("B9", { servers: 5 }, (c) => {
    const agree = (count: number): void => {
      for (let i = 0; i < 50; i++) c.one(c.fresh(), count)
    }
    c.one(c.fresh(), 5)
    const first = c.leader()
    const [beside = "", ...three] = c.others(first)
    c.cut(...three)
    offers(c, first, 50)
    c.run(T / 2)

    c.cut(first, beside)
    c.join(...three)
    agree(3)
    const second = c.leader()
    const other = three.find((name) => name !== second) ?? ""
    c.cut(other)
    offers(c, second, 50)
    c.run(T / 2)

    c.cut(...c.names)
    c.join(first, beside, other)
    agree(3)
    c.heal()
    c.one(c.fresh(), 5)
  })

  scenario("B10", { servers: 3 }, (c) => {
    c.leader()
    expect(c.rpcs()).toBeGreaterThanOrEqual(1)
    expect(c.rpcs()).toBeLessThanOrEqual(30)

    /** How many requests twelve commands take in one term, or null if it ends before. */
    const tryOnce = (): number | null => {
      const leader = c.leader()
      const before = c.rpcs()
      const offered = Array.from({ length: 12 }, () => c.offer(leader, c.fresh()))
      const term = offered[0]?.term
      for (const taken of offered)
        if (taken === null || taken.term !== term || c.wait(taken.index, 3, term) === null) return null
      return c.rpcs() - before
    }
    let requests = tryOnce()
    for (let tries = 1; requests === null; tries++) {
      expect(tries, "the term changed too often").toBeLessThan(5)
      c.run(3000)
      requests = tryOnce()
    }
    expect(requests).toBeLessThanOrEqual((12 + 2) * 3)
    const before = c.rpcs()
    c.run(T)
    expect(c.rpcs() - before).toBeLessThanOrEqual(3 * 20)
  })
})
