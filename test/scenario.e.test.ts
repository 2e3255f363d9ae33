/** Scenarios E: elections. */
import { describe, expect } from "vitest"
import { scenario, T } from "./scenario.kit.ts"

describe("elections", () => {
  scenario("E1", { servers: 3 }, (it) => {
    const first = it.leader()
    it.run(50)
    const term = it.term()
    expect(term).toBeGreaterThanOrEqual(1)
    it.run(2 * T)
    // On a network without faults nobody has a reason to leave the term.
    expect(it.term()).toBe(term)
    expect(it.leader()).toBe(first)
  })

  scenario("E2", { servers: 3 }, (it) => {
    const first = it.leader()
    it.disconnect(first)
    const second = it.leader()
    expect(second).not.toBe(first)
    it.connect(first)
    const third = it.leader()

    const [next = ""] = it.after(third)
    it.disconnect(third, next)
    it.run(2 * T)
    it.noLeader()
    it.connect(next)
    it.leader()
    it.connect(third)
    it.leader()
  })

  scenario("E3", { servers: 7 }, (it) => {
    it.leader()
    for (let i = 0; i < 9; i++) {
      const victims = [it.pick(), it.pick(), it.pick()]
      it.disconnect(...victims)
      it.leader()
      it.connect(...victims)
    }
    it.leader()
  })
})
