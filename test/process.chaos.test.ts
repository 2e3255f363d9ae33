import { expect } from "vitest"
import { makePlan, type Fault, type Step, type Targets } from "./chaos/plan.ts"
import { reportOf } from "./chaos/report.ts"
import { runChaos } from "./chaos/run.ts"
import { temporaryFolder } from "./cluster.ts"
import { longTest, shortTest, soakTest } from "./long.ts"

const ids = (nodes: number): readonly string[] => Array.from({ length: nodes }, (_, i) => `n${i + 1}`)

const survives = async (plan: readonly Step[], seed: number, nodes: number, command: string): Promise<void> => {
  const report = await runChaos({ seed, nodes, clients: 8, plan, out: temporaryFolder("stepraft-chaos-") })
  console.log(reportOf(report, command))
  expect(report.violations).toEqual([])
  expect(report.counts.ok).toBeGreaterThan(20)
}
const unseen = (nodes: number, minutes: number, members = false): Promise<void> => {
  const seed = Date.now() % 1_000_000
  return survives(
    makePlan({ seed, ids: ids(nodes), ms: minutes * 60_000, members }),
    seed,
    nodes,
    `npm run chaos -- --seed ${seed} --nodes ${nodes} --minutes ${minutes}${members ? " --members" : ""}`,
  )
}

const leader: Targets = { count: 1, order: ids(3), leader: "first" }
const all: Targets = { count: 3, order: ids(3), leader: "anywhere" }
const short: readonly (readonly [at: number, ms: number, fault: Fault])[] = [
  [500, 1200, { type: "kill", targets: leader }],
  [2000, 1500, { type: "partition", targets: leader, end: "burst" }],
  [2500, 1000, { type: "delay", targets: all, delay: 10, jitter: 60 }],
  [3700, 1200, { type: "pause", targets: leader }],
  [5100, 1200, { type: "mute", targets: leader, end: "reset" }],
  [6000, 300, { type: "kill", targets: all }],
]
shortTest(
  "the leader is killed, cut off, paused, not heard, then all are killed: everything that clients were told fits together, and all nodes hold the same",
  () =>
    survives(
      short.map(([at, ms, fault], i) => ({ number: i + 1, at, ms, fault })),
      1,
      3,
      "npx vitest run --config test/vitest.config.ts test/process.chaos.test.ts",
    ),
)

const one = (id: string): Targets => ({
  count: 1,
  order: [id, ...ids(3).filter((other) => other !== id)],
  leader: "anywhere",
})
const withMembers: readonly (readonly [at: number, ms: number, fault: Fault])[] = [
  [500, 500, { type: "wipe", targets: leader }],
  [900, 1200, { type: "kill", targets: one("n2") }],
  [2500, 800, { type: "partition", targets: leader, end: "reset" }],
  [3000, 500, { type: "rejoin", targets: one("n3") }],
  [3600, 700, { type: "kill", targets: leader }],
  [5500, 500, { type: "damage", targets: one("n1") }],
  [6000, 1000, { type: "unlink", targets: one("n1"), end: "burst" }],
  [7000, 500, { type: "transfer", targets: one("n2") }],
  [7200, 500, { type: "kill", targets: all }],
  [8500, 500, { type: "wipe", targets: one("n2") }],
]
longTest(
  "disks are wiped, a log is damaged, a member leaves and joins again, leadership is moved, while nodes are killed and links cut: the same is true",
  () =>
    survives(
      withMembers.map(([at, ms, fault], i) => ({ number: i + 1, at, ms, fault })),
      2,
      3,
      "STEPRAFT_ALL=1 npx vitest run --config test/vitest.config.ts test/process.chaos.test.ts",
    ),
)
soakTest("three nodes, members replaced meanwhile, by a plan that nobody has seen", () => unseen(3, 2, true))

soakTest("three nodes for two minutes, by a plan that nobody has seen", () => unseen(3, 2))
soakTest("five nodes, by a plan that nobody has seen", () => unseen(5, 1.5))

longTest(
  "it would be noticed: reads that a node serves by itself, taken for linearizable ones, are refuted",
  async () => {
    // The first plain client, who tells the lie, begins at n2.
    const cut: Step = {
      number: 1,
      at: 200,
      ms: 4000,
      fault: { type: "partition", end: "burst", targets: { count: 1, order: ["n2", "n1", "n3"], leader: "anywhere" } },
    }
    const report = await runChaos({
      seed: 1,
      nodes: 3,
      clients: 6,
      keys: 3,
      pause: 2,
      plan: [cut],
      lie: "local-reads",
      out: temporaryFolder("stepraft-chaos-"),
    })
    expect(report.violations.join("\n")).toMatch(/^not linearizable: [\s\S]*read → /)
  },
)
