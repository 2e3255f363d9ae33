import { describe, expect, test } from "vitest"
import { World } from "../interpreters/simulation/index.ts"
import { expectProgress, hopeless, makeInvariantChecker, makeRuleCoverage, Stuck, unfinished, type InvariantChecker, type LiveWorld, type NodeState } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { eventfulWorld } from "./invariants.help.ts"
import { payload, tightSettings } from "./worlds.ts"

const live = (world: World, check?: InvariantChecker): LiveWorld => ({
  run: (ms) => world.run(ms),
  states: () => world.names.flatMap((node): readonly NodeState[] => {
    const state = world.state(node)
    return state === undefined ? [] : [{ node, state }]
  }),
  ...(check === undefined ? {} : { openRefs: check.openRefs }),
})

/** Ten election timeouts. */
const BOUND = 10_000

/** null: a change that was under way made it hopeless, by leaving only voters without a state machine. */
const within = (world: LiveWorld): number | null => {
  try {
    return expectProgress(world, BOUND)
  } catch (error) {
    if (hopeless(world.states()) === null) throw error
    return null
  }
}

describe("progress", () => {
  test("comes within 10 s once faults have stopped, wherever it can; and every rule is used on the way", () => {
    const coverage = makeRuleCoverage()
    let hoped = 0
    let longest = 0
    for (let seed = 1; seed <= (full ? many(3000, 500) : 40); seed++) {
      const check = makeInvariantChecker()
      const world = eventfulWorld({ seed, started: check.started, observe: (step) => {
        check(step)
        coverage(step)
      } })
      const it = live(world, check)
      if (hopeless(it.states()) !== null) continue
      const took = within(it)
      if (took === null) continue
      hoped += 1
      longest = Math.max(longest, took)
    }
    expect(hoped).toBeGreaterThan(full ? many(2000, 330) : 25)
    expect(longest).toBeGreaterThan(0)
    // That one must never be used; the others need a cluster that is pushed harder than in a short run.
    const never = coverage.missing().filter((rule) => rule !== "append.secondLeader")
    expect(never.length, never.join()).toBeLessThan(full ? many(4, 8) : 12)
  }, 3_600_000)

  const rest = (): World => {
    const world = new World({ seed: 4, nodes: 3, settings: tightSettings })
    world.run(3000)
    return world
  }
  const reasonsOf = (world: World, bound: number): readonly string[] => {
    try {
      expectProgress(live(world), bound)
      return []
    } catch (error) {
      if (error instanceof Stuck) return error.reasons
      throw error
    }
  }

  test("is there at once in a cluster at rest", () => {
    expect(expectProgress(live(rest()), 1000)).toBe(0)
  })
  test("that does not come is told in words: too few are up", () => {
    const world = rest()
    world.crash("n1")
    world.crash("n2")
    expect(reasonsOf(world, 1000).join()).toMatch(/of the voters n1 \(i1\), n2 \(i2\), n3 \(i3\) only n3 \(i3\) are up/)
  })
  test("that does not come is told in words: nobody can lead", () => {
    const world = rest()
    for (const name of world.names) world.isolate(name)
    world.run(3000)
    expect(reasonsOf(world, 5000).join()).toMatch(/nobody leads: n1 is \w+ of term \d+/)
  })
  test("that does not come is told in words: one is cut off, with clients that wait", () => {
    const world = rest()
    const behind = world.names.find((name) => name !== world.leader()?.name) ?? "n1"
    world.isolate(behind)
    for (let id = 1; id < 30; id++) {
      world.propose(world.leader()?.name ?? "n1", [payload(id, 100)])
      world.run(20)
    }
    expect(reasonsOf(world, 2000).join()).toMatch(new RegExp(`${behind} .*does not follow|${behind} has executed \\d+ of \\d+`))
    const all = live(world)
    expect(unfinished({ ...all, openRefs: (node) => (node === behind ? [7, 8] : []) }).join()).toContain(`2 clients of ${behind} wait: refs 7, 8`)
    world.heal()
    expect(expectProgress(live(world), 5000)).toBeGreaterThan(0)
  })
})
