/** Operations of the history's model as commands of the service, and what their replies mean. */
import type { FunctionName, Value } from "../../spec/index.ts"
import { NoLeader, ServerError, SessionExpired, TimedOut, Unknown } from "../client/errors.ts"
import type { ReplyOrError } from "../client/operation.ts"
import type { Reply } from "../types.ts"
import type { PlainReply } from "./clients.ts"

export interface WorkloadOperation {
  readonly f: FunctionName
  readonly key: string
  readonly value: Value
}

/** The service gave an answer that no client should ever see. */
export class KvAnswerWrong extends Error {
  override readonly name = "KvAnswerWrong"
}

export const replyText = (reply: Reply): string | null => {
  switch (reply.type) {
    case "bulk":
      return Buffer.from(reply.bytes).toString()
    case "integer":
      return String(reply.value)
    case "simple":
      return reply.text
    case "null":
      return null
    case "error":
    case "array":
    case "map":
      throw new KvAnswerWrong(
        `${reply.type === "error" ? `${reply.code} ${reply.text}` : reply.type} where a value should be`,
      )
  }
}

export const wordsOf = ({ f, key, value }: WorkloadOperation): readonly [string, ...string[]] => {
  switch (f) {
    case "read":
      return ["GET", key]
    case "write":
      return ["SET", key, String(value)]
    case "append":
      return ["APPEND", key, String(value)]
    case "delete":
      return ["DEL", key]
    case "incr":
      return ["INCRBY", key, String(value)]
    case "cas": {
      const [from = null, to = null] = Array.isArray(value) ? (value as readonly Value[]) : []
      return from === null ? ["SET", key, String(to), "NX"] : ["CAS", key, String(from), String(to)]
    }
  }
}

/** How an operation ended: with a value; its condition did not hold; certainly not executed; unknown. */
export type End =
  | { readonly type: "ok"; readonly value: Value }
  | { readonly type: "refused" }
  | { readonly type: "not"; readonly why: string }
  | { readonly type: "unknown"; readonly why: string }

export const endOf = ({ f, value }: WorkloadOperation, reply: Reply): End => {
  const ok = (seen: Value): End => ({ type: "ok", value: seen })
  switch (f) {
    case "read":
      return ok(replyText(reply))
    case "incr":
      return ok(Number(replyText(reply)))
    case "delete":
      return ok(replyText(reply) === "1")
    case "cas":
      return reply.type === "null" || replyText(reply) === "0" ? { type: "refused" } : ok(value)
    case "write":
    case "append":
      replyText(reply)
      return ok(value)
  }
}

/** Errors that each mean that nothing was executed. */
const notExecuted = new Set(["NOLEADER", "BUSY", "SPACELOW", "TOOLARGE", "MOVED", "LOADING", "TRYAGAIN"])

/** Outcomes of the engine of kv/client. */
export const engineEnd = (operation: WorkloadOperation, outcome: ReplyOrError): End => {
  if ("type" in outcome) return endOf(operation, outcome)
  if (outcome instanceof Unknown || outcome instanceof SessionExpired) return { type: "unknown", why: outcome.message }
  if (outcome instanceof TimedOut || outcome instanceof NoLeader) return { type: "not", why: outcome.message }
  if (outcome instanceof ServerError && notExecuted.has(outcome.code)) return { type: "not", why: outcome.code }
  throw new KvAnswerWrong(`${wordsOf(operation).join(" ")}: ${outcome.message}`)
}

/** Replies of a server to a client that sends its command only once. */
export const plainEnd = (operation: WorkloadOperation, told: PlainReply): End => {
  if (told === "lost") return { type: "unknown", why: "the connection was lost" }
  if (told.type !== "error") return endOf(operation, told)
  if (told.code === "UNKNOWN") return { type: "unknown", why: told.code }
  if (notExecuted.has(told.code)) return { type: "not", why: told.code }
  throw new KvAnswerWrong(`${wordsOf(operation).join(" ")}: ${told.code} ${told.text}`)
}
