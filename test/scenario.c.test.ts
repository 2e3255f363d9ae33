/** Scenarios C: crashes, restarts and churn. */
import { describe, expect } from "vitest"
import type { Cluster, StoryWork } from "../interpreters/simulation/index.ts"
import { many } from "./long.ts"
import { said, scenario, scenarioOverSeeds, T, type ScenarioOptions, type Story } from "./scenario.kit.ts"

/** Offers one command to everybody; who took it as leader last, in the order of servers. */
const offerToAll = (c: Cluster, counts: (name: string) => boolean): string | undefined => {
  let leader: string | undefined
  for (const name of c.names) if (c.offer(name, c.fresh()) !== null && counts(name)) leader = name
  return leader
}
/** Mostly a moment, now and then half an election. */
const waitAWhile = (c: Cluster): void => c.run(c.random.chance(100) ? c.random.below(T / 2) : c.random.below(13))

/** Paper Figure 8, by chance: leaders come and go before what they appended is committed. */
const figure8: Story = (c) => {
  c.one(c.fresh(), 1)
  for (let i = 0; i < 1000; i++) {
    const leader = offerToAll(c, () => true)
    waitAWhile(c)
    if (leader !== undefined) c.crash(leader)
    const maybe = c.any()
    if (c.live.length < 3 && !c.isUp(maybe)) c.restart(maybe)
  }
  c.restart(...c.others(...c.live))
  c.one(c.fresh(), 5)
}

const figure8Unreliable: Story = (c) => {
  c.one(c.fresh(), 1)
  for (let i = 0; i < 1000; i++) {
    if (i === 200) c.network("unreliableLongReordering")
    const leader = offerToAll(c, (name) => c.isConnected(name))
    waitAWhile(c)
    if (leader !== undefined && c.random.chance(500)) c.cut(leader)
    const maybe = c.any()
    if (c.present.length < 3) c.join(maybe)
  }
  // The network goes on to lose and to reorder.
  c.heal()
  c.one(c.fresh(), 5)
}

const unreliableAgree: Story = (c) => {
  for (let i = 1; i < 50; i++) c.together(Array.from({ length: 5 }, () => c.agree(c.fresh(), 1)))
  c.network("reliable")
  c.one(c.fresh(), 5)
}

/** Three clients offer to everybody and remember what they saw committed, while servers come and go. */
const churn: Story = (c) => {
  const rest = { at: Number.POSITIVE_INFINITY }
  const client = function* (me: number): StoryWork<readonly number[]> {
    const seen: number[] = []
    while (c.now < rest.at) {
      const command = c.fresh()
      let index: number | undefined
      for (const name of c.names) index = c.offer(name, command)?.index ?? index
      if (index === undefined) {
        yield 79 + me * 17
        continue
      }
      for (const pause of [10, 20, 50, 100, 200]) {
        const { count, command: there } = c.committed(index)
        if (count > 0) {
          if (there?.payload.checksum === command.checksum) seen.push(command.checksum)
          break
        }
        yield pause
      }
    }
    return seen
  }
  const trouble = function* (): StoryWork<readonly number[]> {
    for (let i = 0; i < 20; i++) {
      if (c.random.chance(200)) c.cut(c.any())
      if (c.random.chance(500)) {
        const name = c.any()
        if (c.isUp(name)) c.join(name)
        else c.restart(name)
      }
      if (c.random.chance(200)) c.crash(c.any())
      yield 700
    }
    yield T
    c.network("reliable")
    c.restart(...c.others(...c.live))
    c.heal()
    rest.at = c.now
    return []
  }
  const seen = c.together([client(0), client(1), client(2), trouble()]).flat()
  expect(seen.length).toBeGreaterThan(8)
  c.run(T)
  const last = c.one(c.fresh(), 5)
  const executed = new Set(Array.from({ length: last }, (_, i) => c.wait(i + 1, 5)?.payload.checksum))
  expect(seen.filter((value) => !executed.has(value))).toEqual([])
}

describe("crashes and restarts", () => {
  scenario("C1", { servers: 3 }, (c) => {
    c.one(11, 3)
    c.restart(...c.names)
    c.one(12, 3)
    c.restart(c.leader())
    c.one(13, 3)

    const leader = c.leader()
    c.crash(leader)
    c.one(14, 2)
    c.restart(leader)
    // Not by a later command: it comes to what is committed by itself.
    expect(said(c.wait(4, 3))).toBe(14)

    const follower = c.other(c.leader())
    c.crash(follower)
    c.one(15, 2)
    c.restart(follower)
    c.one(16, 3)
  })

  scenario("C2", { servers: 5 }, (c) => {
    for (let round = 0; round < 5; round++) {
      c.one(c.fresh(), 5)
      const leader = c.leader()
      const [a = "", b = "", third = "", fourth = ""] = c.others(leader)
      c.crash(a, b)
      c.one(c.fresh(), 3)
      c.crash(leader, third, fourth)
      c.restart(a, b)
      c.run(T)
      c.restart(third)
      c.one(c.fresh(), 3)
      c.restart(fourth, leader)
    }
    c.one(c.fresh(), 5)
  })

  scenario("C3", { servers: 3 }, (c) => {
    c.one(101, 3)
    const leader = c.leader()
    const [beside = "", outside = ""] = c.others(leader)
    c.cut(outside)
    c.one(102, 2)
    c.crash(leader, beside)
    c.join(outside)
    c.restart(leader)
    c.one(103, 2)
    c.restart(beside)
    c.one(104, 3)
  })

  scenario("C4", { servers: 5 }, figure8)
  scenarioOverSeeds("C4", { servers: 5 }, figure8, 0)

  const unreliable: ScenarioOptions = { servers: 5, network: "unreliable" }
  scenario("C5", unreliable, unreliableAgree)
  scenarioOverSeeds("C5", unreliable, unreliableAgree, 0)
  scenario("C6", unreliable, figure8Unreliable)
  scenarioOverSeeds("C6", unreliable, figure8Unreliable, 10)

  scenario("C7", { servers: 5 }, churn)
  scenarioOverSeeds("C7", { servers: 5 }, churn, 0, many(50, 15))
  scenario("C8", unreliable, churn)
  scenarioOverSeeds("C8", unreliable, churn, 0)
})
