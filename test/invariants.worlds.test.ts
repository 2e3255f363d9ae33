import { describe, expect, test } from "vitest"
import { World } from "../interpreters/simulation/index.ts"
import { invariants, makeInvariantChecker, sweep, type SweptState } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { payload, scripted } from "./worlds.ts"

describe("invariants in random worlds", () => {
  test("hold at every step, and the sweep over everything agrees", () => {
    let steps = 0
    for (let seed = 1; seed <= (full ? many(3000, 500) : 15); seed++) {
      const check = makeInvariantChecker()
      const world = scripted(seed, {
        started: (node, recovered) => check.started(node, recovered),
        observe: (step) => {
          check(step)
          if (++steps % 64 === 0) check.sweep()
        },
      })
      world.run(2000)
      check.sweep()
    }
    expect(steps).toBeGreaterThan(5000)
  }, 3_600_000)

  test("what a checker remembers stays small, however long the world goes on", () => {
    const check = makeInvariantChecker()
    const world = new World({
      seed: 3,
      nodes: 3,
      settings: { snapshotBytes: 20_000, trailingLogBytes: 2000 },
      observe: check,
      started: check.started,
    })
    world.run(3000)
    const sizes: number[] = []
    for (let id = 0; id < 8000; id += 4) {
      for (let k = 0; k < 4; k++) world.propose(world.leader()?.member.name ?? "n1", [payload(id + k)])
      world.run(5)
      if (id % 400 === 0) sizes.push(check.size())
    }
    expect(world.leader()?.runner?.state.commitIndex).toBeGreaterThan(6000)
    expect(Math.max(...sizes)).toBeLessThan(5000)
  })

  test("each has a name and a sentence with its source or reason", () => {
    for (const sentence of Object.values(invariants)) expect(sentence.length).toBeGreaterThan(40)
  })
})

/** Whole states of every server, from the moment of their last step. */
const statesOf = (world: World): SweptState[] =>
  world.names.flatMap((node) => {
    const state = world.state(node)
    return state === undefined ? [] : [{ node, state }]
  })

test("a sweep over a healthy world finds nothing", () => {
  const world = scripted(5, { nodes: 3, profile: "calm" })
  world.run(3000)
  expect(() => sweep(statesOf(world))).not.toThrow()
})
