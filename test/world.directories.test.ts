/** Directories that go back in time, exist twice or end early, in virtual time: known to whoever met the later start, silent, and replaced. */
import { describe, expect, test } from "vitest"
import { World, type Action } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../spec/invariants/index.ts"
import { generateScript } from "../spec/scripts/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { passing } from "./worlds.ts"

const act = (world: World, ...actions: readonly Action[]): void => actions.forEach((action) => world.act(action))
/** A world with a leader, a follower that is the victim, and the other one; every step is watched. */
const made = (
  seed = 5,
): {
  readonly world: World
  readonly leader: string
  readonly victim: string
  readonly other: string
  readonly refused: string[]
  readonly promised: () => boolean
} => {
  const check = makeInvariantChecker()
  const refused: string[] = []
  const world = new World({
    seed,
    connections: true,
    observe: check,
    started: check.started,
    refused: (node, by) => refused.push(`${node} by ${by}`),
  })
  world.run(3000)
  const leader = world.leader()?.name ?? ""
  const [victim = "", other = ""] = world.names.filter((name) => name !== leader)
  return { world, leader, victim, other, refused, promised: check.promised }
}
const write = (world: World, id: number): void => {
  act(world, { type: "propose", node: "leader", id })
  world.run(500)
}

describe("a directory that was put back", () => {
  test("is refused by whoever met a later start, starts no more, and its place is taken by an empty one; nothing that was acknowledged is lost", () => {
    const { world, leader, victim, refused } = made()
    act(
      world,
      { type: "copyDirectory", node: victim },
      { type: "crash", node: victim },
      { type: "start", node: victim },
    )
    write(world, 1)
    act(world, { type: "swapDirectory", node: victim }, { type: "start", node: victim })
    expect(refused).toHaveLength(1)
    expect(world.state(victim)).toBeUndefined()
    act(world, { type: "start", node: victim })
    write(world, 2)
    expect(world.state(victim), "it stays so").toBeUndefined()
    act(
      world,
      { type: "wipe", node: victim },
      { type: "start", node: victim },
      { type: "addLearners", node: leader, names: [victim] },
    )
    world.run(3000)
    act(world, { type: "change", node: leader, voters: world.names, learners: [] })
    world.run(3000)
    expect(world.state(victim)?.applied).toBe(world.state(leader)?.applied)
  })
  test("is known by the one who met the later start, also if that one has started again since", () => {
    const { world, leader, victim, other, refused } = made()
    act(
      world,
      { type: "copyDirectory", node: victim },
      { type: "crash", node: victim },
      { type: "start", node: victim },
    )
    write(world, 1)
    act(
      world,
      { type: "crash", node: leader },
      { type: "crash", node: other },
      { type: "start", node: other },
      { type: "swapDirectory", node: victim },
      { type: "start", node: victim },
    )
    expect(refused).toEqual([`${victim} by ${other}`])
    expect(world.state(victim)).toBeUndefined()
  })
  test("goes on where nobody in reach has met the later start, and nothing is promised; whoever comes back refuses it", () => {
    const { world, leader, victim, other, refused, promised } = made()
    act(world, { type: "copyDirectory", node: victim })
    act(world, { type: "crash", node: other }, { type: "crash", node: victim }, { type: "start", node: victim })
    world.run(3000)
    write(world, 1)
    act(
      world,
      { type: "crash", node: "leader" },
      { type: "crash", node: victim },
      { type: "crash", node: leader },
      { type: "swapDirectory", node: victim },
      { type: "start", node: other },
      { type: "start", node: victim },
    )
    expect(refused).toEqual([])
    expect(world.state(victim)).toBeDefined()
    expect(promised()).toBe(false)
    act(world, { type: "start", node: leader })
    expect(refused).toEqual([`${victim} by ${leader}`])
  })
  test("twice: of two directories that take turns, the one that was not met is refused, whenever it comes", () => {
    const { world, victim, refused } = made()
    act(
      world,
      { type: "crash", node: victim },
      { type: "copyDirectory", node: victim },
      { type: "start", node: victim },
    )
    world.run(500)
    for (let turn = 1; turn <= 3; turn++) {
      act(world, { type: "swapDirectory", node: victim }, { type: "start", node: victim })
      expect(world.state(victim)).toBeUndefined()
      expect(refused).toHaveLength(1)
      act(world, { type: "swapDirectory", node: victim }, { type: "start", node: victim })
      expect(world.state(victim), "the first one goes on").toBeDefined()
      write(world, turn)
    }
  })
  test("of a node that ran, is known by its leader: it holds less than it acknowledged", () => {
    const { world, victim, leader, refused } = made()
    act(world, { type: "copyDirectory", node: victim })
    write(world, 1)
    act(world, { type: "swapDirectory", node: victim }, { type: "start", node: victim })
    expect(refused).toEqual([`${victim} by ${leader}`])
  })
  test("that lost nothing goes on", () => {
    const { world, victim, refused, promised } = made()
    write(world, 1)
    act(
      world,
      { type: "crash", node: victim, keep: "all" },
      { type: "copyDirectory", node: victim },
      { type: "swapDirectory", node: victim },
      { type: "start", node: victim },
    )
    write(world, 2)
    expect(refused).toEqual([])
    expect(promised()).toBe(true)
    expect(world.state(victim)?.applied).toBe(world.leader()?.runner?.state.applied)
  })
})

describe("a log that was cut", () => {
  test("is refused by the leader if the state machine does not know of more, and does not start if it does", () => {
    const { world, victim, leader, refused } = made()
    write(world, 1)
    act(
      world,
      { type: "crash", node: victim, keep: "none" },
      { type: "cutLog", node: victim, entries: 1 },
      { type: "start", node: victim },
    )
    expect(refused).toEqual([`${victim} by ${leader}`])
    const again = made()
    write(again.world, 1)
    again.world.act({ type: "crash", node: again.victim, keep: "all" })
    again.world.act({ type: "cutLog", node: again.victim, entries: 1 })
    again.world.act({ type: "start", node: again.victim })
    expect(again.world.node(again.victim).disk.corrupt).toBe(true)
    expect(again.refused).toEqual([])
  })
})

describe("random worlds", () => {
  test("with directories that are put back, copied and cut: every promise at every step, and progress once they are replaced", () => {
    const cases = full ? many(20_000, 300) : 6
    let promised = 0
    let known = 0
    for (let seed = 1; seed <= cases; seed++) {
      const verdict = passing(
        generateScript(seed, "directories", { nodes: seed % 3 === 0 ? 5 : 3, steps: full ? 60 : 25 }),
        { refinement: seed % 4 === 0, refused: () => known++ },
      )
      if (verdict.promised) promised++
    }
    expect(promised).toBeGreaterThan(cases >> 1)
    expect(known).toBeGreaterThan(full ? cases >> 2 : 0)
  })
})
