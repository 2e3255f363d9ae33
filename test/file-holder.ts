/** A process that opens the data directory in its argument, prints the result, and stays. */
import * as Effect from "effect/Effect"
import { openFileStorage } from "../interpreters/file/index.ts"

const directory = process.argv[2] ?? ""
const hold = openFileStorage({ directory, name: "n1" }).pipe(
  Effect.andThen(Effect.sync(() => console.log("held"))),
  Effect.andThen(Effect.never),
  Effect.scoped,
)
Effect.runPromise(hold).catch((error: unknown) => console.log(error instanceof Error ? error.name : error))
setInterval(() => undefined, 1000)
