/** One command of a caller, from its submission to its end, and what each reply to it means. */
import type { Reply } from "../types.ts"
import type { ClientError } from "./errors.ts"
import { type Argument, encodeRequest } from "./resp.ts"

/**
 * What the caller wants. A read may be repeated; a write is numbered, so that a repeated write has no second effect.
 */
export type ClientTask =
  | { readonly type: "read"; readonly args: readonly Argument[] }
  | { readonly type: "write"; readonly args: readonly Argument[] }
  /** All or nothing, with one number for all calls; not executed if a watched key no longer has its version. */
  | {
      readonly type: "transaction"
      readonly calls: readonly (readonly Argument[])[]
      readonly watches: readonly (readonly [key: string | Uint8Array, version: number])[]
    }

/** A reply that is not an error, or the named error. */
export type ReplyOrError = Exclude<Reply, { type: "error" }> | ClientError
export const isReply = (outcome: ReplyOrError): outcome is Exclude<Reply, { type: "error" }> => "type" in outcome

export interface ClientOperation {
  readonly task: ClientTask
  readonly deadline: number
  /** Called once. Afterwards the operation may have to stay in the queue, to keep the numbers without a gap. */
  readonly done: (outcome: ReplyOrError) => void
  settled: boolean
  /** The number in the session; null before it is sent for the first time. */
  sequence: number | null
  /** Sent, and it is unknown whether it was executed. */
  uncertain: boolean
  /** The last reply was OUTOFORDER. */
  misplaced: boolean
}

export const commandName = (task: ClientTask): string =>
  task.type === "transaction" ? "EXEC" : String(task.args[0] ?? "").toUpperCase()

/** The bytes of the request when it is sent once. */
export const requestOf = (task: ClientTask, session: string, sequence: number, lowest: number): Buffer => {
  switch (task.type) {
    case "read":
      return encodeRequest(task.args)
    case "write":
      return encodeRequest(["STEPRAFT", "DO", session, sequence, lowest, ...task.args])
    case "transaction":
      return encodeRequest([
        "STEPRAFT",
        "EXEC",
        session,
        sequence,
        lowest,
        task.watches.length,
        ...task.watches.flat(),
        ...task.calls.flatMap((call) => [call.length, ...call]),
      ])
  }
}

/**
 * The meaning of an error reply to a numbered request, by its first word:
 * - result: executed under its number, and this error is its result
 * - again: not executed, or unknown; try again, at another node or later
 * - expired: not executed now, and the session is gone
 * - forgotten: executed, and its result is no longer kept
 * - refused: everything else. This copy was not executed, and trying again would not help
 */
export type ErrorMeaning = "result" | "again" | "expired" | "forgotten" | "refused"
const again = new Set([
  "UNKNOWN",
  "NOLEADER",
  "OUTOFORDER",
  "SESSIONFULL",
  "BUSY",
  "MOVED",
  "LOADING",
  "TRYAGAIN",
  "CLUSTERDOWN",
  "MASTERDOWN",
  "NOREPLICAS",
])
/** This copy was never proposed. With any other error, it may have been executed, or may still be. */
const unproposed = new Set(["NOLEADER", "BUSY", "MOVED", "LOADING", "TRYAGAIN", "CLUSTERDOWN"])
export const leavesOpen = (code: string): boolean => !unproposed.has(code)
export const verdictOf = (code: string): ErrorMeaning => {
  if (again.has(code)) return "again"
  switch (code) {
    case "RESULT":
      return "result"
    case "SESSIONEXPIRED":
      return "expired"
    case "FORGOTTEN":
      return "forgotten"
    default:
      return "refused"
  }
}

/** Commands that change nothing: sent without a number and repeated freely. All others are numbered. */
const reads = new Set(
  (
    "GET MGET EXISTS TOUCH STRLEN GETRANGE SUBSTR TTL PTTL EXPIRETIME PEXPIRETIME TYPE KEYS SCAN DBSIZE RANDOMKEY PING ECHO INFO TIME COMMAND CONFIG " +
    "CLIENT MEMORY OBJECT HELLO CLUSTER ROLE FUNCTION STEPRAFT"
  ).split(" "),
)
export const taskOf = (args: readonly Argument[]): ClientTask => ({
  type: reads.has(String(args[0] ?? "").toUpperCase()) ? "read" : "write",
  args,
})
