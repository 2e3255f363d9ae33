/** Scenarios B: agreement on a log. */
import { describe, expect } from "vitest"
import { scenario, T, type Harness } from "./scenario.kit.ts"

/** The command of this number is nowhere. */
const uncommitted = (it: Harness, command: number): void => expect(it.executed(command).count, `servers that executed command ${command}`).toBe(0)

describe("agreement", () => {
  scenario("B1", { servers: 3 }, (it) => {
    for (let command = 1; command <= 3; command++) {
      uncommitted(it, command)
      expect(it.one(3, command * 100, false)).toBe(command)
    }
  })

  scenario("B2", { servers: 3, commandBytes: 5000 }, (it) => {
    it.one(3, 99, false)
    const before = it.traffic.bytes
    for (let i = 0; i < 10; i++) it.one(3, it.fresh(), false)
    expect(it.traffic.bytes - before).toBeLessThanOrEqual(3 * 50_000 + 50_000)
  })

  scenario("B3", { servers: 3 }, (it) => {
    it.one(3, 101, false)
    const [follower = ""] = it.after(it.leader())
    it.disconnect(follower)
    it.one(2, 102, false)
    it.run(T)
    it.one(2, 103, false)

    const still = it.leader()
    it.disconnect(...it.others(still))
    expect(it.offer(still, 104)?.command).toBe(4)
    it.run(2 * T)
    uncommitted(it, 4)
  })

  scenario("B4", { servers: 3 }, (it) => {
    it.one(3, 101, false)
    it.disconnect(it.leader())
    it.one(2, 102, false)
    it.run(T)
    it.one(2, 103, false)
    it.disconnect(it.leader())
    for (const name of it.servers) it.offer(name, 104)
    it.run(2 * T)
    uncommitted(it, 4)
  })

  scenario("B5", { servers: 3 }, (it) => {
    it.one(3, 101, false)
    const [follower = ""] = it.after(it.leader())
    it.disconnect(follower)
    it.one(2, 102, false)
    it.one(2, 103, false)
    it.run(T)
    it.one(2, 104, false)
    it.one(2, 105, false)
    it.connect(follower)
    it.one(3, 106)
    it.run(T)
    it.one(3, 107)
  })

  scenario("B6", { servers: 5 }, (it) => {
    it.one(5, 10, false)
    const leader = it.leader()
    const cut = it.after(leader).slice(0, 3)
    it.disconnect(...cut)
    expect(it.offer(leader, 20)?.command).toBe(2)
    it.run(2 * T)
    uncommitted(it, 2)
    it.connect(...cut)
    // Whoever leads now kept the uncommitted command or replaces it.
    expect([2, 3]).toContain(it.offer(it.leader(), 30)?.command)
    it.one(5, 1000)
  })

  scenario("B7", { servers: 3 }, (it) => {
    const tryOnce = (): boolean => {
      const leader = it.leader()
      const first = it.offer(leader, 1)
      if (first === null) return false
      const offered = [100, 101, 102, 103, 104].map((value) => it.offer(leader, value))
      const executed = offered.map((taken) => (taken === null || taken.term !== first.term ? null : it.wait(taken.command, 3, taken.term)))
      if (executed.includes(null)) return false
      expect(executed).toEqual([100, 101, 102, 103, 104])
      return true
    }
    let tries = 1
    while (!tryOnce()) {
      expect(++tries, "the term changed too often").toBeLessThanOrEqual(5)
      it.run(3000)
    }
  })

  scenario("B8", { servers: 3 }, (it) => {
    it.one(3, 101)
    const first = it.leader()
    it.disconnect(first)
    for (const value of [102, 103, 104]) it.offer(first, value)
    it.one(2, 103)
    const second = it.leader()
    it.disconnect(second)
    it.connect(first)
    it.one(2, 104)
    it.connect(second)
    it.one(3, 105)
  })

  scenario("B9", { servers: 5 }, (it) => {
    const agree = (count: number): void => {
      for (let i = 0; i < 50; i++) it.one(count)
    }
    it.one(5)
    const first = it.leader()
    const [beside = "", ...three] = it.after(first)
    it.disconnect(...three)
    it.offers(first, 50)
    it.run(T / 2)

    it.disconnect(first, beside)
    it.connect(...three)
    agree(3)
    const second = it.leader()
    const other = three.find((name) => name !== second) ?? ""
    it.disconnect(other)
    it.offers(second, 50)
    it.run(T / 2)

    it.disconnect(...it.servers)
    it.connect(first, beside, other)
    agree(3)
    it.connectAll()
    it.one(5)
  })

  scenario("B10", { servers: 3 }, (it) => {
    it.leader()
    expect(it.traffic.requests).toBeGreaterThanOrEqual(1)
    expect(it.traffic.requests).toBeLessThanOrEqual(30)

    /** How many requests twelve commands take in one term, or null if it ends before. */
    const tryOnce = (): number | null => {
      const leader = it.leader()
      const before = it.traffic.requests
      const offered = Array.from({ length: 12 }, () => it.offer(leader))
      const term = offered[0]?.term
      for (const taken of offered) if (taken === null || taken.term !== term || it.wait(taken.command, 3, term) === null) return null
      return it.traffic.requests - before
    }
    let requests = tryOnce()
    for (let tries = 1; requests === null; tries++) {
      expect(tries, "the term changed too often").toBeLessThan(5)
      it.run(3000)
      requests = tryOnce()
    }
    expect(requests).toBeLessThanOrEqual((12 + 2) * 3)
    const before = it.traffic.requests
    it.run(T)
    expect(it.traffic.requests - before).toBeLessThanOrEqual(3 * 20)
  })
})
