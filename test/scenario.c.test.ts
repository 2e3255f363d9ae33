/** Scenarios C: crashes, restarts and churn. */
import { describe, expect } from "vitest"
import { scenario, scenarioOverSeeds, T, type Harness, type HarnessOptions, type Story, type Task } from "./scenario.kit.ts"

/** Offers one command to everybody; who took it as leader last, in the order of servers. */
const offerToAll = (it: Harness, counts: (name: string) => boolean): string | undefined => {
  let leader: string | undefined
  for (const name of it.servers) if (it.offer(name) !== null && counts(name)) leader = name
  return leader
}
/** Mostly a moment, now and then half an election. */
const waitAWhile = (it: Harness): void => it.run(it.random.chance(100) ? it.random.below(T / 2) : it.random.below(13))

/** Paper Figure 8, by chance: leaders come and go before what they appended is committed. */
const figure8: Story = (it) => {
  it.one(1)
  for (let i = 0; i < 1000; i++) {
    const leader = offerToAll(it, () => true)
    waitAWhile(it)
    if (leader !== undefined) it.crash(leader)
    const maybe = it.pick()
    if (it.live.length < 3 && !it.isUp(maybe)) it.restart(maybe)
  }
  it.restart(...it.others(...it.live))
  it.one(5)
}

const figure8Unreliable: Story = (it) => {
  it.one(1)
  for (let i = 0; i < 1000; i++) {
    if (i === 200) it.world.network = "unreliableLongReordering"
    const leader = offerToAll(it, (name) => it.isConnected(name))
    waitAWhile(it)
    if (leader !== undefined && it.random.chance(500)) it.disconnect(leader)
    const maybe = it.pick()
    if (it.servers.filter((name) => it.isConnected(name)).length < 3) it.connect(maybe)
  }
  // The network goes on to lose and to reorder.
  it.connectAll()
  it.one(5)
}

const unreliableAgree: Story = (it) => {
  for (let i = 1; i < 50; i++) it.together(Array.from({ length: 5 }, () => it.agreeing(it.fresh(), 1)))
  it.world.network = "reliable"
  it.one(5)
}

/** Three clients offer to everybody and remember what they saw committed, while servers come and go. */
const churn: Story = (it) => {
  const rest = { at: Number.POSITIVE_INFINITY }
  const client = function* (me: number): Task<readonly number[]> {
    const seen: number[] = []
    while (it.now < rest.at) {
      const value = it.fresh()
      let command: number | undefined
      for (const name of it.servers) command = it.offer(name, value)?.command ?? command
      if (command === undefined) {
        yield 79 + me * 17
        continue
      }
      for (const pause of [10, 20, 50, 100, 200]) {
        const { count, value: there } = it.executed(command)
        if (count > 0) {
          if (there === value) seen.push(value)
          break
        }
        yield pause
      }
    }
    return seen
  }
  const trouble = function* (): Task<readonly number[]> {
    for (let i = 0; i < 20; i++) {
      if (it.random.chance(200)) it.disconnect(it.pick())
      if (it.random.chance(500)) {
        const name = it.pick()
        if (it.isUp(name)) it.connect(name)
        else it.restart(name)
      }
      if (it.random.chance(200)) it.crash(it.pick())
      yield 700
    }
    yield T
    it.world.network = "reliable"
    it.restart(...it.others(...it.live))
    it.connectAll()
    rest.at = it.now
    return []
  }
  const seen = it.together([client(0), client(1), client(2), trouble()]).flat()
  expect(seen.length).toBeGreaterThan(20)
  it.run(T)
  const last = it.one(5)
  const executed = new Set(Array.from({ length: last }, (_, i) => it.wait(i + 1, 5)))
  expect(seen.filter((value) => !executed.has(value))).toEqual([])
}

describe("crashes and restarts", () => {
  scenario("C1", { servers: 3 }, (it) => {
    it.one(3, 11)
    it.restart(...it.servers)
    it.one(3, 12)
    it.restart(it.leader())
    it.one(3, 13)

    const leader = it.leader()
    it.crash(leader)
    it.one(2, 14)
    it.restart(leader)
    // Not by a later command: it comes to what is committed by itself.
    expect(it.wait(4, 3)).toBe(14)

    const [follower = ""] = it.after(it.leader())
    it.crash(follower)
    it.one(2, 15)
    it.restart(follower)
    it.one(3, 16)
  })

  scenario("C2", { servers: 5 }, (it) => {
    for (let round = 0; round < 5; round++) {
      it.one(5)
      const leader = it.leader()
      const [a = "", b = "", c = "", d = ""] = it.after(leader)
      for (const name of [a, b]) it.crash(name)
      it.one(3)
      for (const name of [leader, c, d]) it.crash(name)
      it.restart(a, b)
      it.run(T)
      it.restart(c)
      it.one(3)
      it.restart(d, leader)
    }
    it.one(5)
  })

  scenario("C3", { servers: 3 }, (it) => {
    it.one(3, 101)
    const leader = it.leader()
    const [beside = "", cut = ""] = it.after(leader)
    it.disconnect(cut)
    it.one(2, 102)
    it.crash(leader)
    it.crash(beside)
    it.connect(cut)
    it.restart(leader)
    it.one(2, 103)
    it.restart(beside)
    it.one(3, 104)
  })

  scenario("C4", { servers: 5 }, figure8)
  scenarioOverSeeds("C4", { servers: 5 }, figure8, 0)

  const unreliable: HarnessOptions = { servers: 5, network: "unreliable" }
  scenario("C5", unreliable, unreliableAgree)
  scenarioOverSeeds("C5", unreliable, unreliableAgree, 0)
  scenario("C6", unreliable, figure8Unreliable)
  scenarioOverSeeds("C6", unreliable, figure8Unreliable, 10)

  scenario("C7", { servers: 5 }, churn)
  scenarioOverSeeds("C7", { servers: 5 }, churn, 0, 50)
  scenario("C8", unreliable, churn)
  scenarioOverSeeds("C8", unreliable, churn, 0)
})
