/**
 * The ways a command can end without a reply. Each says what is known about the effect of the command, and what to do
 * next.
 */
import * as Data from "effect/Data"

/**
 * The command may or may not have taken effect, or may still do so as long as its session lives. A read alone does not
 * show which: first write something through the same client, then read.
 */
export class Unknown extends Data.TaggedError("Unknown")<{ readonly command: string; readonly message: string }> {}

/**
 * The session ended while the outcome was unknown: the command took effect before that or not at all, and never will
 * now.
 */
export class SessionExpired extends Data.TaggedError("SessionExpired")<{
  readonly command: string
  readonly message: string
}> {}

/** There was no leader in time. The command was not executed. */
export class NoLeader extends Data.TaggedError("NoLeader")<{ readonly command: string; readonly message: string }> {}

/** No endpoint accepted the command in time. It was not executed. */
export class TimedOut extends Data.TaggedError("TimedOut")<{ readonly command: string; readonly message: string }> {}

/**
 * With none of the endpoints TLS could be agreed: they speak none and the client does or the other way round, or their
 * certificates do not count here. The message says why and what mends it. The command was not executed.
 */
export class TlsFailed extends Data.TaggedError("TlsFailed")<{ readonly command: string; readonly message: string }> {}

/** The server answered with an error (`code` is its first word: ERR, WRONGTYPE, TOOLARGE, …). */
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

/** The reply is not of the command's kind: the server is neither a stepraft nor a Redis server, or it is newer. */
export class UnexpectedReply extends Data.TaggedError("UnexpectedReply")<{
  readonly command: string
  readonly message: string
}> {}

export type ClientError =
  | Unknown
  | SessionExpired
  | NoLeader
  | TimedOut
  | TlsFailed
  | ServerError
  | Closed
  | UnexpectedReply
export const isClientError = (thrown: unknown): thrown is ClientError =>
  [Unknown, SessionExpired, NoLeader, TimedOut, TlsFailed, ServerError, Closed, UnexpectedReply].some(
    (kind) => thrown instanceof kind,
  )
