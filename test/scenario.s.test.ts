/** Scenarios S: snapshots. */
import { describe, expect } from "vitest"
import { scenario, scenarioOverSeeds, type Harness, type HarnessOptions, type Story } from "./scenario.kit.ts"

/** A service that takes a snapshot every ten commands keeps less than this on disk beside it. */
const MOST_STORED = 2000
const trimmed = (it: Harness): void => {
  for (const name of it.servers) expect(it.stored(name), `bytes of log on ${name}`).toBeLessThan(MOST_STORED)
}

/** 30 rounds in which a follower, or now and then the leader, misses what makes the others take snapshots. */
const snapshots = (trouble: "none" | "cut" | "crash"): Story => (it) => {
  it.one(3)
  let leader = it.leader()
  for (let i = 0; i < 30; i++) {
    const [beside = ""] = it.after(leader)
    const [sender, victim] = i % 3 === 1 ? [beside, leader] : [leader, beside]
    if (trouble === "cut") it.disconnect(victim)
    if (trouble === "crash") it.crash(victim)
    if (trouble !== "none") it.one(2)
    it.offers(sender, it.random.between(5, 14))
    it.one(trouble === "none" ? 3 : 2)
    trimmed(it)
    if (trouble === "none") continue
    if (trouble === "cut") it.connect(victim)
    else it.restart(victim)
    it.one(3)
    leader = it.leader()
  }
  const bases = it.servers.map((name) => it.state(name).log.base.index)
  expect(Math.min(...bases), "everybody took snapshots").toBeGreaterThan(100)
}

const allCrash: Story = (it) => {
  it.one(3)
  for (let round = 0; round < 5; round++) {
    for (let k = it.random.between(5, 14); k > 0; k--) it.one(3)
    const before = it.one(3)
    it.restart(...it.servers)
    expect(it.one(3)).toBeGreaterThanOrEqual(before + 1)
  }
}

describe("snapshots", () => {
  const unreliable: HarnessOptions = { snapshots: true, network: "unreliable" }
  scenario("S1", { snapshots: true }, snapshots("none"))
  scenario("S2", { snapshots: true }, snapshots("cut"))
  scenario("S3", unreliable, snapshots("cut"))
  scenario("S4", { snapshots: true }, snapshots("crash"))
  scenario("S5", unreliable, snapshots("crash"))

  scenario("S6", unreliable, allCrash)

  scenario("S7", { snapshots: true }, (it) => {
    for (let i = 0; i < 12; i++) it.one(3)
    // The first write of a new life must not lose what the snapshot covers.
    for (let i = 0; i < 2; i++) {
      it.restart(...it.servers)
      it.one(3)
    }
    expect(it.history.values).toHaveLength(14)
  })

  scenarioOverSeeds("S3", unreliable, snapshots("cut"), 10)
  scenarioOverSeeds("S5", unreliable, snapshots("crash"), 10)
  scenarioOverSeeds("S6", unreliable, allCrash, 10)
})
