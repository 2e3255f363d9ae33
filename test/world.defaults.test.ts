/** What the default settings promise by themselves, in random worlds: nobody asks for PreVote or CheckQuorum here. */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { cluster, makeRandom, type NetworkProfile } from "../interpreters/simulation/index.ts"
import { full } from "./cluster.ts"

const seeds = Array.from({ length: full ? 500 : 30 }, (_, i) => i + 1)
const { electionMin, electionMax } = defaultSettings

const worldOf = (seed: number) => {
  const random = makeRandom(seed)
  const network: NetworkProfile = {
    lossPermille: 0,
    duplicatePermille: random.pick([0, 200]) ?? 0,
    delayMin: 1,
    delayMax: random.pick([1, 5, 40]) ?? 1,
    longDelayPermille: 0,
    longDelayMax: 0,
  }
  const c = cluster(random.pick([3, 5]) ?? 3, { seed, network, connections: random.chance(500) })
  const leader = c.leader()
  c.one(seed, c.names.length)
  return { c, random, leader }
}

test("servers that were away, however long, depose nobody when they return (thesis §9.6, §4.2.3)", () => {
  for (const seed of seeds) {
    const { c, random, leader } = worldOf(seed)
    const term = c.term()
    const away = c.others(leader).slice(0, random.between(1, (c.names.length - 1) >> 1))
    c.cut(...away)
    const writes = random.between(0, 3)
    for (let i = 0; i < writes; i++) c.one(`${seed}.${i}`, c.names.length - away.length)
    c.run(random.between(0, 8 * electionMax))
    c.join(...away)
    c.run(3 * electionMax)
    expect([seed, c.leaderNow(), c.term()]).toEqual([seed, leader, term])
  }
})

test("a leader that a majority cannot answer says so soon (thesis §6.2)", () => {
  for (const seed of seeds) {
    const { c, random, leader } = worldOf(seed)
    const together = c.others(leader).slice(0, random.between(0, ((c.names.length + 1) >> 1) - 2))
    c.partition([leader, ...together])
    // A check may have begun just before, when all had answered.
    c.run(2 * electionMin + 100)
    expect([seed, c.leads(leader)]).toEqual([seed, false])
  }
})

test("every setting says why it is what it is", () => {
  const source = readFileSync(new URL("../core/settings.ts", import.meta.url), "utf8")
  const told = Array.from(source.matchAll(/^ \* \| ([a-zA-Z, ]+) \| .+ \| .{20,} \|$/gmu), ([, names = ""]) =>
    names.split(", "),
  )
  expect(
    told
      .flat()
      .filter((name) => name !== "setting")
      .toSorted(),
  ).toEqual(Object.keys(defaultSettings).toSorted())
})
