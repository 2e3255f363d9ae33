/** One command of a caller, from its submission to its end, and what a reply says about it. */
import type { Reply } from "../types.ts"
import type { ClientError } from "./errors.ts"
import { type Argument, encodeRequest } from "./resp.ts"

/** What the caller wants done. A read may be repeated; a write is numbered, so that repeating it does nothing twice. */
export type Task =
  | { readonly type: "read"; readonly args: readonly Argument[] }
  | { readonly type: "write"; readonly args: readonly Argument[] }
  /** All or nothing, one number for the whole; not executed if a watched key no longer has its version. */
  | { readonly type: "transaction"; readonly calls: readonly (readonly Argument[])[]; readonly watches: readonly (readonly [key: string | Uint8Array, version: number])[] }

/** A reply that is not an error, or the named error. */
export type Outcome = Exclude<Reply, { type: "error" }> | ClientError
export const isReply = (outcome: Outcome): outcome is Exclude<Reply, { type: "error" }> => "type" in outcome

export interface Operation {
  readonly task: Task
  readonly deadline: number
  /** Called once. Afterwards the operation may have to stay in its place, to keep the numbers without a gap. */
  readonly done: (outcome: Outcome) => void
  settled: boolean
  /** The number in the session; null before the first sending. */
  sequence: number | null
  /** Sent, and it is not known whether it was executed. */
  uncertain: boolean
  /** Refused as OUTOFORDER, the last time. */
  misplaced: boolean
}

export const nameOf = (task: Task): string => (task.type === "transaction" ? "EXEC" : String(task.args[0] ?? "").toUpperCase())

/** The bytes of one sending. */
export const requestOf = (task: Task, session: string, sequence: number, lowest: number): Buffer => {
  switch (task.type) {
    case "read": return encodeRequest(task.args)
    case "write": return encodeRequest(["STEPRAFT", "DO", session, sequence, lowest, ...task.args])
    case "transaction":
      return encodeRequest(["STEPRAFT", "EXEC", session, sequence, lowest, task.watches.length, ...task.watches.flat(), ...task.calls.flatMap((call) => [call.length, ...call])])
  }
}

/**
 * What an error reply says:
 * - again: not executed, or it is not known; try again, elsewhere or later
 * - refused: not executed; trying again would not help
 * - expired: not executed now, and the session is gone
 * - forgotten: executed, and its result is gone
 * - answer: the command's own result, or an error that is not known here
 */
export type Verdict = "again" | "refused" | "expired" | "forgotten" | "answer"
const again = new Set(["UNKNOWN", "NOLEADER", "OUTOFORDER", "SESSIONFULL", "BUSY", "MOVED", "LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"])
const refused = new Set(["TOOLARGE", "SPACELOW", "NOAUTH", "NOPERM", "DENIED", "READONLY", "EXECABORT"])
/** This copy was never proposed. What is not said to be so may have been executed, or may be yet. */
const unproposed = new Set(["NOLEADER", "BUSY", "MOVED", "LOADING", "TRYAGAIN", "CLUSTERDOWN"])
export const leavesOpen = (code: string): boolean => !unproposed.has(code)
/** ERR is mostly a result; these texts come from the door, before anything is proposed. That is a hint only: either way is safe. */
const atTheDoor = /^(unknown (sub)?command|wrong number of arguments|STEPRAFT |[A-Z]+ cannot run within a session|session, sequence|Protocol error)/i
/** The node does not know itself. The number is safe to repeat. */
const nobodyKnows = /^internal error; whether/
/** Only the command itself ends so. Of any other error it cannot be seen whether it came from the door or from the log. */
const results = /^(syntax error|value is not|(increment or )?decrement |invalid expire|Unsupported option|(NX and XX, )?GT (or|and) LT )/
export const isResult = ({ code, text }: { readonly code: string; readonly text: string }): boolean => code === "WRONGTYPE" || (code === "ERR" && results.test(text))
export const verdictOf = ({ code, text }: { readonly code: string; readonly text: string }): Verdict => {
  if (again.has(code) || (code === "ERR" && nobodyKnows.test(text))) return "again"
  if (refused.has(code) || (code === "ERR" && atTheDoor.test(text))) return "refused"
  return code === "SESSIONEXPIRED" ? "expired" : code === "FORGOTTEN" ? "forgotten" : "answer"
}

/** Commands that change nothing: sent as they are, repeated freely. Anything else is numbered. */
const reads = new Set(
  ("GET MGET EXISTS STRLEN GETRANGE SUBSTR TTL PTTL EXPIRETIME PEXPIRETIME TYPE KEYS SCAN DBSIZE RANDOMKEY PING ECHO INFO TIME COMMAND CONFIG " +
    "CLIENT MEMORY OBJECT HELLO CLUSTER ROLE STEPRAFT").split(" "),
)
export const taskOf = (args: readonly Argument[]): Task => ({ type: reads.has(String(args[0] ?? "").toUpperCase()) ? "read" : "write", args })
