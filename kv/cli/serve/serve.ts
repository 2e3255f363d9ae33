/** `stepraft serve`: runs one node until it is told to stop or stops itself. */
import * as Effect from "effect/Effect"
import { type ConfigSources, decodeConfig } from "../../node/config.ts"
import {
  isLasting,
  type NodeConfig,
  type NodeError,
  runNode,
  type ServeOptions,
  spareFewCores,
} from "../../node/index.ts"
import { exitCodes, type Failure, failure, mayTake } from "../../../interpreters/cli/process.ts"

/**
 * Under `cluster`, the end of standard input means that the supervisor has ended, for whatever reason: no node outlives
 * it.
 */
const stopWithParent = (): void => {
  if (process.env["STEPRAFT_STOP_WITH_STDIN"] !== "1") return
  const stop = (): void => void process.kill(process.pid, "SIGTERM")
  process.stdin.once("end", stop).once("error", stop).resume()
  // In Deno stdin has no `unref`; there it keeps the process alive, but the process ends by its signal or its failure
  // anyway.
  const { unref } = process.stdin as { readonly unref?: () => unknown }
  unref?.call(process.stdin)
}

/** Shorter than the time that a supervisor waits before it kills the process. */
export const stopMs = 8_000

/** The node's log has already said why. */
const ended = (error: NodeError): Failure => failure("", isLasting(error) ? exitCodes.lasting : exitCodes.failed)

export const serveAs = (config: NodeConfig, options: ServeOptions = {}): Effect.Effect<never, Failure> =>
  Effect.suspend(() => {
    stopWithParent()
    // Logs, data and the keys of sessions in them are readable by this user only, LevelDB's files too.
    process.umask(0o077)
    spareFewCores()
    return runNode(config, { ...options, started: () => mayTake(stopMs) })
  }).pipe(Effect.mapError(ended))

export const serve = (flags: ConfigSources["flags"], file: string | null): Effect.Effect<never, Failure> =>
  decodeConfig({ flags, ...(file === null ? {} : { file }) }).pipe(
    Effect.mapError((error) => failure(error.message, exitCodes.usage)),
    Effect.flatMap((config) => serveAs(config)),
  )
