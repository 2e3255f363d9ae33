/** The service's own replies. Each says what is known about the effect of the command, and what to do. */
import { errorReply } from "../machine/reply.ts"
import type { Millis, ProposalRefusal, ReadOutcome } from "../../core/index.ts"
import { reasonOf, type Refusals } from "../../interpreters/replica/index.ts"
import type { Reply } from "../types.ts"
import type { ServiceSettings } from "./parts.ts"

export const replyCode = (reply: Reply): string | null => (reply.type === "error" ? reply.code : null)

/**
 * The result of a command for a client that keeps a session. If that result is an error, RESULT is put before it, to
 * distinguish it from errors that mean that nothing was executed.
 */
export const executedReply = (reply: Reply): Reply =>
  reply.type === "error" && reply.code !== "FORGOTTEN" ? errorReply("RESULT", `${reply.code} ${reply.text}`) : reply

const seconds = (millis: Millis): string => `${Math.round(millis / 100) / 10} s`

export const unknown = (after: Millis): Reply =>
  errorReply(
    "UNKNOWN",
    `the outcome was not learned within ${seconds(after)}: the command was executed once or not at all. It may still be executed, but only before every write that is sent here from now on. So first write something here, then read, and only then write it again.`,
  )
export const unknownBehind: Reply = errorReply(
  "UNKNOWN",
  "a command sent before this one ended with an unknown outcome, so this one was not tried again: it was executed once or not at all. It may still be executed, but only before every write that is sent here from now on. So first write something here, then read, and only then write it again.",
)
export const unknownRequest = (after: Millis): Reply =>
  errorReply(
    "UNKNOWN",
    `the outcome was not learned within ${seconds(after)}. Send the same sequence number again: the session keeps it from being executed twice.`,
  )
export const unknownStopping: Reply = errorReply(
  "UNKNOWN",
  "this node is stopping and has not learned the outcome: the command was executed once or not at all, or may still be executed. Read before writing again.",
)
export const stopping: Reply = errorReply(
  "NOLEADER",
  "this node is stopping. The command was not executed: send it to another node.",
)
export const noLeaderReply = (after: Millis): Reply =>
  errorReply(
    "NOLEADER",
    `no leader accepted the command within ${seconds(after)}. It was not executed: send it again, here or to another node. STEPRAFT STATUS says why there is no leader.`,
  )
export const busy = errorReply(
  "BUSY",
  "too many commands are waiting already. This one was not executed: send it again later.",
)
export const tooLarge = (most: number): Reply =>
  errorReply(
    "TOOLARGE",
    `the command does not fit into a log entry of ${most} bytes. It was not executed: split it up.`,
  )
export const tooMany = (most: number): Reply =>
  errorReply("TOOLARGE", `the command has more than ${most} arguments in all. It was not executed: split it up.`)
export const notOpen: Reply = errorReply(
  "SESSIONEXPIRED",
  "the session is unknown, closed or expired, or this is not its secret; nothing was closed.",
)
export const outOfDomain: Reply = errorReply(
  "ERR",
  "session, sequence, lowest and versions are whole numbers below 2^48, sequence from 1. Nothing was executed.",
)
export const reservedOwner = (prefix: string): Reply =>
  errorReply(
    "ERR",
    `STEPRAFT SESSION OPEN: owners that begin with ${prefix} are nodes. Nothing was opened: choose another name.`,
  )
export const longOwner = (length: number, most: number): Reply =>
  errorReply(
    "TOOLARGE",
    `STEPRAFT SESSION OPEN: an owner's name of ${length} characters was given, at most ${most} are allowed. Nothing was opened.`,
  )
export const spaceLow: Reply = errorReply(
  "SPACELOW",
  "the leader's disk is nearly full, or those of so many other nodes that a write could not be kept by a majority. The command was not executed. Reads are still served. Free some space; then writes are accepted again without a restart.",
)

const exhausted: Reply = errorReply(
  "ERR",
  "the log has reached the last possible index, so it takes no more writes. The command was not executed. Move the data to a new cluster.",
)

/** The reply to a command that was certainly not executed. */
export const refusal = (reason: ProposalRefusal | null, after: Millis, maxEntryBytes: number): Reply => {
  switch (reasonOf(reason)) {
    case "busy":
      return busy
    case "tooLarge":
      return tooLarge(maxEntryBytes)
    case "spaceLow":
      return spaceLow
    case "exhausted":
      return exhausted
    case "noLeader":
      return noLeaderReply(after)
  }
}

export const readRefusal = (
  reason: Extract<ReadOutcome, { type: "ReadRefused" }>["reason"] | null,
  after: Millis,
): Reply => {
  switch (reason) {
    case "rebuilding":
      return errorReply(
        "LOADING",
        "this node is being rebuilt from a peer. Read from another node, or wait: STEPRAFT STATUS says when it is done.",
      )
    case "busy":
      return errorReply("BUSY", "too many reads are waiting already. Try again later.")
    case "noLeader":
    case "leaderChanged":
    case null:
      return errorReply(
        "NOLEADER",
        `no leader confirmed the read within ${seconds(after)}. Try again, here or at another node. STEPRAFT STATUS says why there is no leader.`,
      )
  }
}

/** The replies of the node's session and its barriers when there is no result. */
export const refusalsOf = ({ writeTimeout, readTimeout, maxEntryBytes }: ServiceSettings): Refusals<Reply> => ({
  notExecuted: (reason) => refusal(reason, writeTimeout, maxEntryBytes),
  stopping,
  unknown: unknown(writeTimeout),
  unknownBehind,
  unknownStopping,
  notRead: (reason) => readRefusal(reason, readTimeout),
})
