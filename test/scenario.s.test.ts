/** Scenarios S: snapshots. */
import { describe, expect } from "vitest"
import type { Cluster } from "../interpreters/simulation/index.ts"
import { everyTen, offers, scenario, scenarioOverSeeds, type ScenarioOptions, type Story } from "./scenario.kit.ts"

/** A service that takes a snapshot every ten commands keeps less than this on disk beside c. */
const MOST_STORED = 2000
const trimmed = (c: Cluster): void => {
  for (const name of c.names) expect(c.stateBytes(name), `bytes of log on ${name}`).toBeLessThan(MOST_STORED)
}

/** 30 rounds in which a follower, or now and then the leader, misses what makes the others take snapshots. */
const snapshots =
  (trouble: "none" | "cut" | "crash"): Story =>
  (c) => {
    c.one(c.fresh(), 3)
    let leader = c.leader()
    for (let i = 0; i < 30; i++) {
      const beside = c.other(leader)
      const [sender, victim] = i % 3 === 1 ? [beside, leader] : [leader, beside]
      if (trouble === "cut") c.cut(victim)
      if (trouble === "crash") c.crash(victim)
      if (trouble !== "none") c.one(c.fresh(), 2)
      offers(c, sender, c.random.between(5, 14))
      c.one(c.fresh(), trouble === "none" ? 3 : 2)
      trimmed(c)
      if (trouble === "none") continue
      if (trouble === "cut") c.join(victim)
      else c.restart(victim)
      c.one(c.fresh(), 3)
      leader = c.leader()
    }
    const bases = c.names.map((name) => c.state(name).log.base.index)
    expect(Math.min(...bases), "everybody took snapshots").toBeGreaterThan(100)
  }

const allCrash: Story = (c) => {
  c.one(c.fresh(), 3)
  for (let round = 0; round < 5; round++) {
    for (let k = c.random.between(5, 14); k > 0; k--) c.one(c.fresh(), 3)
    const before = c.one(c.fresh(), 3)
    c.restart(...c.names)
    expect(c.one(c.fresh(), 3)).toBeGreaterThanOrEqual(before + 1)
  }
}

describe("snapshots", () => {
  const unreliable: ScenarioOptions = { settings: everyTen, network: "unreliable" }
  scenario("S1", { settings: everyTen }, snapshots("none"))
  scenario("S2", { settings: everyTen }, snapshots("cut"))
  scenario("S3", unreliable, snapshots("cut"))
  scenario("S4", { settings: everyTen }, snapshots("crash"))
  scenario("S5", unreliable, snapshots("crash"))

  scenario("S6", unreliable, allCrash)

  scenario("S7", { settings: everyTen }, (c) => {
    for (let i = 0; i < 12; i++) c.one(c.fresh(), 3)
    // The first write of a new life must not lose what the snapshot covers.
    for (let i = 0; i < 2; i++) {
      c.restart(...c.names)
      c.one(c.fresh(), 3)
    }
    expect(c.agreement.length).toBe(14)
  })

  scenarioOverSeeds("S3", unreliable, snapshots("cut"), 10)
  scenarioOverSeeds("S5", unreliable, snapshots("crash"), 10)
  scenarioOverSeeds("S6", unreliable, allCrash, 10)
})
