/** Checks at start that the log and the state machine belong together. */
import { readdir } from "node:fs/promises"
import * as Effect from "effect/Effect"
import type { Entry, LogBase } from "../../core/index.ts"
import type { StateMachine, Stored } from "../contract.ts"
import type { Logger } from "../log.ts"
import { positionOf } from "../driver/index.ts"
import { LostTail, StateUnusable, StateWithoutLog } from "./errors.ts"

/** The log is new, so there must be no state machine yet: an existing one cannot belong to it. */
export const requireNoState = (log: string, state: string): Effect.Effect<void, StateWithoutLog | StateUnusable> =>
  Effect.tryPromise({
    try: () =>
      readdir(state).catch((error: NodeJS.ErrnoException): string[] => {
        if (error.code === "ENOENT") return []
        throw error
      }),
    catch: (cause) => new StateUnusable({ directory: state, cause }),
  }).pipe(
    Effect.flatMap((found) => (found.length > 0 ? Effect.fail(new StateWithoutLog({ state, log })) : Effect.void)),
  )

/**
 * Is the state machine's position explained by the log, or by a snapshot that was restored just before a crash? If not,
 * the end of the log is lost.
 */
export const requireWholeLog = (
  machine: Pick<StateMachine, "position"> & { readonly beginsAt: () => number },
  { base, entries }: Stored,
  directory: string,
): Effect.Effect<void, LostTail> => {
  const position = machine.position()
  if (position === null || position.index <= base.index || position.index === machine.beginsAt()) return Effect.void
  const entry: Entry | undefined = entries[position.index - base.index - 1]
  if (entry?.term === position.term && entry.chain === position.chain) return Effect.void
  return Effect.fail(
    new LostTail({
      log: directory,
      executed: position.index,
      term: position.term,
      last: entries.at(-1)?.index ?? base.index,
      found: entry?.term ?? null,
    }),
  )
}

/**
 * The position of the state machine, for the core; null: it must be rebuilt from a peer. `damage`: why it is lost, if
 * that is known.
 */
export const recoveredPosition = (
  position: LogBase | null,
  damage: string | null,
  { hardState, base, entries }: Stored,
  log: Logger,
): LogBase | null => {
  const last = entries.at(-1)?.index ?? base.index
  if (position === null) {
    log(
      "warn",
      `${damage ?? "the data are lost"} The log through entry ${last} is kept; the data will be rebuilt from a peer.`,
    )
    return null
  }
  if (position.index < base.index) {
    log(
      "warn",
      `the data reach entry ${position.index}, the log begins after entry ${base.index}: what is between is missing, so the data will be rebuilt from a peer.`,
    )
    return null
  }
  if (position.index > last)
    log(
      "info",
      `the data reach entry ${position.index}, the log ends with ${last}: a snapshot was restored just before the last stop, and the log goes on from it`,
    )
  log("info", `recovered: term ${hardState.term}, log ${base.index + 1}–${last}, executed through ${position.index}`)
  return positionOf(position, base)
}
