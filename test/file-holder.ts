/** A process that opens the data directory given as its argument, says how that went, and stays. */
import { openStorage } from "./file-log.ts"

const directory = process.argv[2] ?? ""
openStorage({ directory }).then(
  () => console.log("held"),
  (error: unknown) => console.log(error instanceof Error ? error.name : error),
)
setInterval(() => undefined, 1000)
