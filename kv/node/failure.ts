/** The failure of a node, as an Effect for those who wait for it. */
import * as Effect from "effect/Effect"
import type { NodeError } from "./errors.ts"

/** A failure happens at most once, before or after somebody starts to wait for it. */
export const makeFailure = (): {
  readonly fail: (error: NodeError) => void
  readonly effect: Effect.Effect<never, NodeError>
} => {
  let failed: NodeError | null = null
  const waiting = new Set<(error: NodeError) => void>()
  return {
    fail: (error) => {
      if (failed !== null) return
      failed = error
      for (const tell of waiting) tell(error)
    },
    effect: Effect.callback<never, NodeError>((resume) => {
      const tell = (error: NodeError): void => resume(Effect.fail(error))
      if (failed !== null) tell(failed)
      else waiting.add(tell)
      return Effect.sync(() => waiting.delete(tell))
    }),
  }
}
