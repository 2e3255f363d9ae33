/** A worker thread of `stepraft simulate`. */
import { serveSeeds } from "../../spec/cli/threads.ts"
import { kvLoad } from "../simulation/index.ts"

serveSeeds(kvLoad)
