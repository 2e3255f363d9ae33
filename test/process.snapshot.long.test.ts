import { expect, test } from "vitest"
import { smallSnapshots, withCluster, type Cluster } from "./cluster.ts"
import { soakTest } from "./long.ts"
import { describe, rejoin, type RejoinOptions } from "./rejoin.ts"

const rejoins = async (
  cluster: Cluster,
  options: RejoinOptions,
  logLimit: number,
  memoryLimit: number,
): Promise<void> => {
  const result = await rejoin(cluster, options)
  console.log(describe(result))
  expect(result.wrong).toEqual([])
  expect(result.equal).toBe(true)
  expect(result.bySnapshot).toBe(true)
  for (const id of cluster.ids) {
    expect(result.logBytes[id]).toBeLessThan(logLimit)
    expect(result.peakRss[id]).toBeLessThan(memoryLimit)
  }
}
const MB = 1 << 20

test("a follower that missed more than the log keeps rejoins by snapshot; the log stays trimmed and memory bounded", () =>
  withCluster({ env: smallSnapshots(MB, MB / 4, MB / 2) }, (cluster) =>
    rejoins(cluster, { writes: 15_000, bytes: 100 }, 12 * MB, 500 * MB),
  ))

soakTest("the same with a million small writes and default settings", () =>
  withCluster({}, (cluster) => rejoins(cluster, { writes: 1_000_000, bytes: 100 }, 200 * MB, 900 * MB)),
)

// A snapshot of 1 GB, with its figures, takes longer than CI should: npx tsx test/catchup.ts --writes 10000 --bytes 100000
