/** `stepraft serve`: one node, until it is told to stop or stops itself. */
import * as Effect from "effect/Effect"
import { type ConfigSources, decodeConfig } from "../node/config.ts"
import { runNode } from "../node/index.ts"
import { exitCodes, Failure, failure } from "./runtime.ts"

/** Under `cluster`, the end of standard input is the end of the supervisor, however that died: no node outlives it. */
const stopWithParent = (): void => {
  if (process.env["STEPRAFT_STOP_WITH_STDIN"] !== "1") return
  const stop = (): void => void process.kill(process.pid, "SIGTERM")
  process.stdin.once("end", stop).once("error", stop).resume()
  process.stdin.unref()
}

export const serve = (flags: ConfigSources["flags"], file: string | null): Effect.Effect<never, Failure> =>
  Effect.gen(function* () {
    stopWithParent()
    const config = yield* decodeConfig({ flags, ...(file === null ? {} : { file }) }).pipe(Effect.mapError((error) => failure(error.message, exitCodes.usage)))
    return yield* runNode(config)
  }).pipe(Effect.mapError((error) => (error instanceof Failure ? error : failure(error.message))))
