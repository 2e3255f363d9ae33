/** The rows of `npm run recovery` in virtual time: what an election decides takes no longer than one; all else no longer than a heartbeat or two. */
import { expect, test } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { rowIds, rows, type RowId } from "./recovery/rows.ts"
import { steadily } from "./recovery/load.ts"
import { simulate, simulatedRows } from "./recovery/simulated.ts"
import { percentile, tableOf } from "./recovery/table.ts"
import { full } from "./cluster.ts"

const { heartbeat, electionMax, diskStallTimeout } = defaultSettings
/** A vote, its writes and the first commit. */
const ROUNDS = 60
const election = electionMax + ROUNDS
const limits: Partial<Record<RowId, number>> = {
  "leader-cut-leader": election,
  "leader-cut": election,
  partition: election,
  "leader-mute": election,
  "leader-paused": election,
  "all-restart": election,
  // It learns from the silence of the others that it leads nobody; only then do they miss it.
  "leader-deaf": electionMax + election,
  "stalled-disk-leader": diskStallTimeout + election,
  // The last one to be cut off, or all, may have forgotten who leads; the first heartbeat finds them.
  "majority-healed": election,
}

test("no limit is above the five seconds that are promised", () => {
  expect(Math.max(...Object.values(limits))).toBeLessThan(5000)
})

test("every row but the addresses of real sockets is simulated", () => {
  expect(rowIds.filter((id) => !simulatedRows.has(id))).toEqual(["moved"])
})

test("each fault is over in virtual time as the table says", () => {
  for (let seed = 1; seed <= (full ? 20 : 1); seed++) {
    const times = simulate({ seed, ...(full ? {} : { servers: 3, think: 25 }) })
    expect(new Set(Object.keys(times))).toEqual(simulatedRows)
    const late = rowIds
      .filter((id) => (times[id] ?? 0) > (limits[id] ?? 2 * heartbeat))
      .map((id) => `${rows[id].title}: ${times[id]} ms`)
    expect(late, `seed ${seed}`).toEqual([])
  }
})

test("a trial while the machine stood still is made again; what fails on a machine that runs has failed", async () => {
  const trials = async (...each: readonly { readonly still: number; readonly fails?: true }[]): Promise<string> => {
    let at = -1
    const watchdog = { stoodStill: () => each[at]?.still ?? 0, stop: () => undefined }
    const trial = (): Promise<string> => {
      at++
      return each[at]?.fails === true ? Promise.reject(new Error(`failed in ${at}`)) : Promise.resolve(`from ${at}`)
    }
    return steadily(watchdog, trial, () => undefined).catch((error: unknown) => String(error))
  }
  expect(await trials({ still: 40 })).toBe("from 0")
  expect(await trials({ still: 900 }, { still: 900, fails: true }, { still: 0 })).toBe("from 2")
  expect(await trials({ still: 900 }, { still: 40, fails: true })).toBe("Error: failed in 1")
  expect(await trials(...Array.from({ length: 9 }, () => ({ still: 900 })))).toMatch(
    /^Error: the machine stood still in each of/,
  )
})

test("the table: percentiles of what was measured; nothing is said of what was not", () => {
  expect([50, 90, 100].map((percent) => percentile([4, 1, 3, 2, 5], percent))).toEqual([3, 5, 5])
  const table = tableOf([
    { title: "here", trials: [{ "leader-cut": 700 }, { "leader-cut": 1500.4 }] },
    { title: "there", trials: [] },
  ])
  expect(table).toContain("| the leader is cut off: next write | write | 700 / 1,500 / 1,500 | – | 1,170 / 1,760 |")
  expect(table).not.toContain("stalls")
})
