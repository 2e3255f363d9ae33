/** Runs seeds on all cores: each thread takes one, reports its result, and takes the next. */
import { parentPort, Worker } from "node:worker_threads"
import { runSeed, type SeedJob, type SeedResult, type ServiceLoad } from "./seed.ts"

/** The service that clients use in a world; the program that ships one gives it to `simulate`. */
export interface Simulated {
  readonly load: ServiceLoad
  /** The program of a thread: it calls `serveSeeds` with that load. */
  readonly thread: URL
}

export const serveSeeds = (load: ServiceLoad): void => {
  if (parentPort === null) throw new Error("this is a thread of stepraft simulate and does not run alone")
  const port = parentPort
  port.on("message", (job: SeedJob) => port.postMessage(runSeed(job, load)))
}

/** Emitted JavaScript; or, where this runs from sources under a loader, with that loader. */
const startWorker = (thread: URL): Worker =>
  thread.href.endsWith(".ts")
    ? new Worker(
        `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(thread.href)}) })`,
        { eval: true },
      )
    : new Worker(thread)

/** Hands out jobs until there are none, or until it is told to stop. */
export const runThreads = (
  thread: URL,
  workers: number,
  nextJob: () => SeedJob | null,
  done: (result: SeedResult) => void,
  signal: AbortSignal,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const threads = new Set<Worker>()
    const end = (worker: Worker): void => {
      threads.delete(worker)
      worker.terminate().then(() => threads.size === 0 && resolve(), reject)
    }
    const fail = (error: unknown): void => {
      reject(error instanceof Error ? error : new Error(String(error)))
      for (const worker of threads) end(worker)
    }
    const feed = (worker: Worker): void => {
      const job = signal.aborted ? null : nextJob()
      if (job === null) end(worker)
      else worker.postMessage(job, [])
    }
    for (let i = 0; i < workers; i++) {
      const worker = startWorker(thread)
      threads.add(worker)
      worker.on("message", (result: SeedResult) => {
        // Nothing else would catch the error here.
        try {
          done(result)
          feed(worker)
        } catch (error) {
          fail(error)
        }
      })
      worker.once("error", fail)
      feed(worker)
    }
    signal.addEventListener("abort", () => [...threads].forEach(end), { once: true })
  })

/** Without threads: for a single seed, where starting a thread would take longer than the seed. */
export const runHere = async (
  load: Simulated["load"],
  nextJob: () => SeedJob | null,
  done: (result: SeedResult) => void,
  signal: AbortSignal,
): Promise<void> => {
  for (let job = nextJob(); job !== null && !signal.aborted; job = nextJob()) {
    done(runSeed(job, load))
    // Lets a pending signal be handled.
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
}
