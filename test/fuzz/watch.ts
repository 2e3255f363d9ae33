/** Runs one parser's loop in a thread, and sees to what the thread cannot: an input on which it never ends, or runs out of memory. */
import { Worker } from "node:worker_threads"
import type { Bundle } from "./bundle.ts"
import { LONGEST } from "./mutate.ts"
import { HEAD, worked, type Found, type Order, type Report, type Tally } from "./loop.ts"

export interface Outcome {
  readonly tally: Tally
  readonly found: Found | null
}
/** Seconds of work in which an input must have come to an end: a thousand times what any takes. */
const PATIENCE = 20
const HEAP_MB = 512

const NOTHING: Tally = { executions: 0, seconds: 0, covered: 0, corpus: 0, kept: [] }

export const watch = (
  parser: string,
  { file, blocks, words }: Bundle,
  order: Pick<Order, "corpus" | "seconds" | "seed" | "replay">,
  progress: (tally: Tally) => void,
): Promise<Outcome> =>
  new Promise((resolve) => {
    const shared = new SharedArrayBuffer(HEAD + 16 * LONGEST)
    const counters = new Int32Array(shared, 0, 2)
    const worker = new Worker(file, {
      workerData: { ...order, parser, bundle: file, blocks, words, shared } satisfies Order,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    })
    let tally = NOTHING
    let [last, since] = [0, worked()]
    const end = (found: Found | null): void => {
      clearInterval(timer)
      void worker.terminate()
      resolve({ tally, found })
    }
    const present = (error: string): Found => ({
      input: Uint8Array.from(new Uint8Array(shared, HEAD, Math.min(counters[1] ?? 0, shared.byteLength - HEAD))),
      error,
      stack: "",
    })
    const timer = setInterval(() => {
      const now = Atomics.load(counters, 0)
      if (now !== last || now === 0) [last, since] = [now, worked()]
      if (worked() - since >= PATIENCE) end(present(`Broken: it does not come to an end within ${PATIENCE} s`))
    }, 1000)
    worker.on("message", (report: Report) => {
      ;({ tally } = report)
      if (report.type === "tally") progress(tally)
      else end(report.type === "found" ? report.found : null)
    })
    // Nothing is left that could wake it. After a report, this comes too late to count.
    worker.on("exit", () => end(present("Broken: it waits for what never comes")))
    worker.on("error", (error) => end({ ...present(`${error.name}: ${error.message}`), stack: error.stack ?? "" }))
  })
