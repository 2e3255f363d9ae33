/** One command of a caller, from its submission to its end, and what a reply says about it. */
import type { Reply } from "../types.ts"
import type { ClientError } from "./errors.ts"
import { type Argument, encodeRequest } from "./resp.ts"

/** What the caller wants done. A read may be repeated; a write is numbered, so that repeating it does nothing twice. */
export type Task =
  | { readonly type: "read"; readonly args: readonly Argument[] }
  | { readonly type: "write"; readonly args: readonly Argument[] }
  /** All or nothing, one number for the whole; not executed if a watched key no longer has its version. */
  | {
      readonly type: "transaction"
      readonly calls: readonly (readonly Argument[])[]
      readonly watches: readonly (readonly [key: string | Uint8Array, version: number])[]
    }

/** A reply that is not an error, or the named error. */
export type ReplyOrError = Exclude<Reply, { type: "error" }> | ClientError
export const isReply = (outcome: ReplyOrError): outcome is Exclude<Reply, { type: "error" }> => "type" in outcome

export interface Operation {
  readonly task: Task
  readonly deadline: number
  /** Called once. Afterwards the operation may have to stay in its place, to keep the numbers without a gap. */
  readonly done: (outcome: ReplyOrError) => void
  settled: boolean
  /** The number in the session; null before the first sending. */
  sequence: number | null
  /** Sent, and it is not known whether it was executed. */
  uncertain: boolean
  /** Refused as OUTOFORDER, the last time. */
  misplaced: boolean
}

export const nameOf = (task: Task): string =>
  task.type === "transaction" ? "EXEC" : String(task.args[0] ?? "").toUpperCase()

/** The bytes of one sending. */
export const requestOf = (task: Task, session: string, sequence: number, lowest: number): Buffer => {
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
 * What an error reply to a numbered request says, by its first word:
 * - result: executed under its number, and this error is what it gave
 * - again: not executed, or it is not known; try again, elsewhere or later
 * - expired: not executed now, and the session is gone
 * - forgotten: executed, and its result is gone
 * - refused: all else. This copy was not executed, and trying again would not help
 */
export type Verdict = "result" | "again" | "expired" | "forgotten" | "refused"
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
/** This copy was never proposed. What is not said to be so may have been executed, or may be yet. */
const unproposed = new Set(["NOLEADER", "BUSY", "MOVED", "LOADING", "TRYAGAIN", "CLUSTERDOWN"])
export const leavesOpen = (code: string): boolean => !unproposed.has(code)
export const verdictOf = (code: string): Verdict => {
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

/** Commands that change nothing: sent as they are, repeated freely. Anything else is numbered. */
const reads = new Set(
  (
    "GET MGET EXISTS TOUCH STRLEN GETRANGE SUBSTR TTL PTTL EXPIRETIME PEXPIRETIME TYPE KEYS SCAN DBSIZE RANDOMKEY PING ECHO INFO TIME COMMAND CONFIG " +
    "CLIENT MEMORY OBJECT HELLO CLUSTER ROLE FUNCTION STEPRAFT"
  ).split(" "),
)
export const taskOf = (args: readonly Argument[]): Task => ({
  type: reads.has(String(args[0] ?? "").toUpperCase()) ? "read" : "write",
  args,
})
