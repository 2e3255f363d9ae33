import { describe, expect, test } from "vitest"
import { call, FakeWorld } from "./service.fake.ts"

describe("the clock of a cluster without writes", () => {
  test.each([73, 20, 250])("advances when a deadline passes, not at the next regular look: after %i ms", (ttl) => {
    const world = new FakeWorld()
    world.heal(100, 0)
    world.advance(30)
    world.service.write([call("PSETEX", "k", String(ttl), "v")], false, [], () => {})
    world.turn()
    world.meet("append")
    world.commitSome(1)
    world.applySome(1)
    const set = world.time
    while (world.proposals.length === 0 && world.time < set + 1000) world.advance(1)
    expect(world.time - set).toBe(ttl)
    world.end()
  })

  test("advances for a key that was set later and expires sooner, too", () => {
    const world = new FakeWorld()
    world.heal(100, 0)
    const set = (key: string, ttl: number): void => {
      world.service.write([call("PSETEX", key, String(ttl), "v")], false, [], () => {})
      world.turn()
      world.meet("append")
      world.commitSome(1)
      world.applySome(1)
    }
    // Right after a regular look: the next one is further away than both deadlines.
    set("late", 45)
    world.advance(2)
    set("soon", 10)
    const began = world.time
    while (world.proposals.length === 0 && world.time < began + 1000) world.advance(1)
    expect(world.time - began).toBe(10)
    world.end()
  })
})
