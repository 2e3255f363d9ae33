/** Members of real processes, under load: leadership handed over, every node restarted, every disk lost and replaced by one command, every node moved. */
import { expect } from "vitest"
import { longTest } from "./long.ts"
import { measureProcesses } from "./recovery/processes.ts"
import type { RowId } from "./recovery/rows.ts"

const rows: readonly RowId[] = ["hand-over", "rolling-restart", "member-replaced", "moved"]

longTest(
  "every node restarted, replaced and moved under load, one by one: no request of a client that tries again fails, nothing is lost or doubled, all is linearizable",
  async () => {
    const { trials, judged, failures } = await measureProcesses({
      trials: 1,
      only: (id) => rows.includes(id),
      say: console.log,
    })
    expect(failures).toEqual([])
    expect(judged).toMatchObject([{ failed: 0, wrong: [] }])
    expect(judged[0]?.requests).toBeGreaterThan(100)
    // The longest time without an acknowledged write of anybody, for each: as printed.
    expect(trials.flatMap(Object.keys)).toEqual(rows)
  },
)
