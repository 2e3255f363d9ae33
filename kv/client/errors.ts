/** What a command can end in besides its reply. Each says what is known about the effect of the command, and the way out. */
import * as Data from "effect/Data"

/** The command may or may not have taken effect, or may do so yet while its session lives. A read alone does not settle it: a write through the same client comes first, then the read. */
export class Unknown extends Data.TaggedError("Unknown")<{ readonly command: string; readonly message: string }> {}

/** The session ended while the outcome was open: the command took effect at most once, before that, and never will now. */
export class SessionExpired extends Data.TaggedError("SessionExpired")<{
  readonly command: string
  readonly message: string
}> {}

/** No leader in time. The command was not executed. */
export class NoLeader extends Data.TaggedError("NoLeader")<{ readonly command: string; readonly message: string }> {}

/** No endpoint took the command in time. It was not executed. */
export class TimedOut extends Data.TaggedError("TimedOut")<{ readonly command: string; readonly message: string }> {}

/** The server's own answer was an error (`code` is its first word: ERR, WRONGTYPE, TOOLARGE, …). */
export class ServerError extends Data.TaggedError("ServerError")<{
  readonly command: string
  readonly code: string
  readonly message: string
}> {}

/** The client was closed; `executed` is "no" if the command was never sent. */
export class Closed extends Data.TaggedError("Closed")<{
  readonly command: string
  readonly executed: "no" | "unknown"
  readonly message: string
}> {}

/** The reply is not of the kind that the command has: not a stepraft or Redis server, or a newer one. */
export class UnexpectedReply extends Data.TaggedError("UnexpectedReply")<{
  readonly command: string
  readonly message: string
}> {}

export type ClientError = Unknown | SessionExpired | NoLeader | TimedOut | ServerError | Closed | UnexpectedReply
export const isClientError = (thrown: unknown): thrown is ClientError =>
  [Unknown, SessionExpired, NoLeader, TimedOut, ServerError, Closed, UnexpectedReply].some(
    (kind) => thrown instanceof kind,
  )
