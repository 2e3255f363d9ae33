/** A thread of `stepraft simulate`: takes seeds, tells what came of them. */
import { parentPort } from "node:worker_threads"
import { runSeed, type SeedJob } from "./simulate-seed.ts"

if (parentPort === null) throw new Error("this is a thread of stepraft simulate and does not run alone")
const port = parentPort
port.on("message", (job: SeedJob) => port.postMessage(runSeed(job)))
