/** Processor time of other processes of this machine, where the system reports it as Linux does. */
import { readFileSync } from "node:fs"

/** The unit of /proc/PID/stat is 1/100 s on every Linux that Node runs on. */
const microsPerTick = 10_000

/** Microseconds of all of them together; null if that is not known. */
export const cpuOf = (pids: readonly number[]): number | null => {
  if (pids.length === 0) return null
  let sum = 0
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
      // The name in parentheses may contain anything, even spaces; so the fields are counted from its end.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      sum += (Number(fields[11]) + Number(fields[12])) * microsPerTick
    } catch {
      return null
    }
  }
  return Number.isFinite(sum) ? sum : null
}
