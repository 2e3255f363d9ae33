/** Scenarios E: elections. */
import { describe, expect } from "vitest"
import { scenario, T } from "./scenario.kit.ts"

describe("elections", () => {
  scenario("E1", { servers: 3 }, (c) => {
    const first = c.leader()
    c.run(50)
    const term = c.term()
    expect(term).toBeGreaterThanOrEqual(1)
    c.run(2 * T)
    // On a network without faults nobody has a reason to leave the term.
    expect(c.term()).toBe(term)
    expect(c.leader()).toBe(first)
  })

  scenario("E2", { servers: 3 }, (c) => {
    const first = c.leader()
    c.cut(first)
    const second = c.leader()
    expect(second).not.toBe(first)
    c.join(first)
    const third = c.leader()

    const next = c.other(third)
    c.cut(third, next)
    c.run(2 * T)
    c.nobodyLeads()
    c.join(next)
    c.leader()
    c.join(third)
    c.leader()
  })

  scenario("E3", { servers: 7 }, (c) => {
    c.leader()
    for (let i = 0; i < 9; i++) {
      const victims = [c.any(), c.any(), c.any()]
      c.cut(...victims)
      c.leader()
      c.join(...victims)
    }
    c.leader()
  })
})
