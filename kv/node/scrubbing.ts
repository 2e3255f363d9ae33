/** Reads all tables of the state machine regularly, so that a flipped bit is found before the data are needed. */
import type { KvMachine } from "../machine/index.ts"
import type { Logger } from "../../interpreters/log.ts"

const DAY = 86_400_000
/** Nodes that were started together must not scrub at the same time. */
const JITTER = 0.25

/** The machine handles damage itself; here it is only logged. Returns the function that stops this. */
export const keepScrubbed = (
  machine: Pick<KvMachine, "scrub">,
  log: Logger,
  every = DAY,
  random: () => number = Math.random,
): (() => void) => {
  let timer: NodeJS.Timeout | null = null
  let stopped = false
  const scrub = async (): Promise<void> => {
    const from = performance.now()
    try {
      const result = await machine.scrub()
      if (stopped) return
      const took = `${((performance.now() - from) / 1000).toFixed(1)} s`
      if (result === null) log("info", "scrub: there were no data to read, or they were replaced in the meantime")
      else if (result.found === null)
        log("info", `scrub: ${(result.bytes / 1e6).toFixed(1)} MB of data read in ${took}, every checksum is right`)
      else
        log(
          "error",
          `scrub: the data of this node are damaged: ${result.found}. Nothing from there is served any more. Check the disk.`,
        )
    } catch (error) {
      log("warn", `scrub: the data could not be read: ${error instanceof Error ? error.message : String(error)}`)
    }
    next()
  }
  const next = (): void => {
    if (!stopped) timer = setTimeout(() => void scrub(), every * (1 + JITTER * (2 * random() - 1))).unref()
  }
  next()
  return () => {
    stopped = true
    if (timer !== null) clearTimeout(timer)
  }
}
