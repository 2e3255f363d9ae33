/** Writes a node's trace: one line of JSON for each batch that changed something, appended to a file. */
import { createWriteStream } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeTracing, type DriverOptions } from "../../interpreters/driver/index.ts"
import type { Logger } from "../../interpreters/log.ts"

/** Limit on the bytes that wait for a slow disk; lines beyond it are left out and counted. */
const WAITING_BYTES = 4 << 20

/** If the trace cannot be written it ends, and the node continues. */
export const openTrace = (
  path: string,
  node: string,
  log: Logger,
): Effect.Effect<NonNullable<DriverOptions["trace"]>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const stream = createWriteStream(path, { flags: "a", mode: 0o600 })
        stream.on("error", (error) =>
          log("warn", `the trace in ${path} ends here: ${error.message}. The node continues without it`),
        )
        return stream
      }),
      (stream) =>
        Effect.callback<void>((resume) => {
          if (stream.destroyed) resume(Effect.void)
          else stream.end(() => resume(Effect.void))
        }),
    ),
    (stream) => {
      let dropped = 0
      return makeTracing((line) => {
        if (stream.destroyed) return
        if (stream.writableLength > WAITING_BYTES) {
          dropped++
          return
        }
        const time = new Date().toISOString()
        const ms = Math.round(performance.now() * 1000) / 1000
        stream.write(`${JSON.stringify({ time, ms, node, ...line, ...(dropped === 0 ? {} : { dropped }) })}\n`)
        dropped = 0
      })
    },
  )
