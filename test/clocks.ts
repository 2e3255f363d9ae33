/**
 * Nodes with wrong wall clocks: a file of the node's name in `folder` decides what its clock shows, from its start and
 * while it runs.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"
import { temporaryFolder, until, type Cluster, type ClusterOptions } from "./cluster.ts"

export const HOUR = 3_600_000
export const DAY = 24 * HOUR

const preload = `
import { readFileSync } from "node:fs"
const id = process.argv[process.argv.indexOf("--id") + 1]
const right = Date.now
let shift = 0
const look = () => {
  try { shift = Number(readFileSync(process.env.STEPRAFT_TEST_CLOCKS + "/" + id, "utf8")) || 0 } catch { shift = 0 }
}
look()
setInterval(look, 20).unref()
Date.now = () => right() + shift
`

export interface Clocks {
  readonly options: ClusterOptions
  readonly shift: (id: string, millis: number) => void
}
export const shiftedClocks = (): Clocks => {
  const folder = temporaryFolder("stepraft-clocks-")
  return {
    options: {
      env: {
        STEPRAFT_TEST_CLOCKS: folder,
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}`,
      },
    },
    shift: (id, millis) => writeFileSync(join(folder, id), String(millis)),
  }
}

const numberOf = (reply: unknown): number => {
  if (typeof reply !== "number") throw new Error(`a number was expected, not ${String(reply)}`)
  return reply
}

/** Time advances as it should: nothing expires early, and nothing much late. */
export const expectSteady = async (cluster: Cluster, id: string): Promise<void> => {
  const client = await cluster.connect(id)
  try {
    const before = performance.now()
    await client.call("SET", "hour", "v", "PX", HOUR)
    const set = performance.now()
    await client.call("SET", "short", "v", "EX", 2)
    await client.call("SET", "at", "v")
    await client.call("EXPIREAT", "at", Math.floor(Date.now() / 1000) + 100)
    const left = numberOf(await client.call("PTTL", "at"))
    expect(left).toBeGreaterThan(90_000)
    expect(left).toBeLessThan(110_000)
    await until("the key of two seconds is gone", async () => (await client.call("EXISTS", "short")) === 0)
    // A tenth and a tick, besides the time that a busy machine takes to answer.
    expect(performance.now() - set).toBeGreaterThan(1800)
    expect(performance.now() - set).toBeLessThan(20_000)
    const hour = numberOf(await client.call("PTTL", "hour"))
    const passed = performance.now() - before
    expect(HOUR - hour).toBeGreaterThan(1500)
    expect(HOUR - hour).toBeLessThan(1.1 * passed + 1000)
  } finally {
    client.close()
  }
}
export const expectNamed = (cluster: Cluster, id: string, ...words: readonly string[]): Promise<unknown> =>
  until(`the clock of ${id} is named`, async () => {
    const health = (await cluster.status(id))?.health ?? ""
    return words.every((word) => health.includes(word) && cluster.process(id).output().includes(word))
  })
export const expectHealthy = (cluster: Cluster, id: string): Promise<unknown> =>
  until(`${id} is well`, async () => (await cluster.status(id))?.health === "ok")
