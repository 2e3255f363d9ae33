/**
 * What the parts of a replica's service share: the driver, clock and randomness, settings, and the answers they give.
 */
import type { Millis, Payload, ProposalRefusal, ReadOutcome } from "../../../core/index.ts"
import type { Driver } from "../../driver/index.ts"
import type { QueuedCommand, ProposalQueueOptions } from "./proposalQueue.ts"
import type { Surroundings } from "../../surroundings.ts"

export type ReplicaDriver = Pick<
  Driver,
  "propose" | "read" | "wake" | "leadership" | "beforeTurn" | "onChange" | "onApplied"
>
export type ReadRefusal = Extract<ReadOutcome, { type: "ReadRefused" }>["reason"]

export interface ReplicaSettings {
  /** A command whose outcome is not known by then is answered as unknown (or as not executed, if it was never proposed). */
  readonly writeTimeout: Millis
  readonly readTimeout: Millis
  /** If there is no answer for this long, proposals count as lost. */
  readonly stallMs: Millis
  /** Pause before proposing again: it doubles from the first value to the last. */
  readonly backoffMs: readonly [Millis, Millis]
  /** If this many commands are waiting already, further ones are refused as busy. */
  readonly maxWaiting: number
  readonly maxWaitingBytes: number
  readonly maxEntryBytes: number
  /** How often timeouts and lost proposals are checked. */
  readonly tickMs: Millis
}
export const defaultReplicaSettings: ReplicaSettings = {
  writeTimeout: 10_000,
  readTimeout: 5000,
  stallMs: 1000,
  backoffMs: [20, 1000],
  maxWaiting: 100_000,
  maxWaitingBytes: 64 << 20,
  maxEntryBytes: 8 << 20,
  tickMs: 50,
}

/**
 * The answers for commands without a result, in the caller's terms. Each says what is known about the command's effect.
 */
export interface Refusals<Answer> {
  /** For a command that was certainly not executed. null: no leader accepted it. */
  readonly notExecuted: (reason: ProposalRefusal | null) => Answer
  /** Not executed: this server is stopping. */
  readonly stopping: Answer
  /** The outcome did not become known within the timeout. */
  readonly unknown: Answer
  /** An earlier command ended as unknown, and this one was not retried after it. */
  readonly unknownBehind: Answer
  readonly unknownStopping: Answer
  /** For a read. null: no leader confirmed it. */
  readonly notRead: (reason: ReadRefusal | null) => Answer
}

export interface ReplicaParts<Answer> extends Surroundings {
  readonly driver: ReplicaDriver
  readonly settings: ReplicaSettings
  readonly refusals: Refusals<Answer>
  readonly count: (name: string, by?: number) => void
}

/** The lane for anything that goes through the log. */
export const proposalQueueFor = ({
  driver,
  settings,
  now,
  after,
}: Pick<ReplicaParts<never>, "driver" | "settings" | "now" | "after">): Pick<
  ProposalQueueOptions<QueuedCommand>,
  "now" | "after" | "stallMs" | "backoffMs" | "propose" | "wake"
> => ({
  now,
  after,
  stallMs: settings.stallMs,
  backoffMs: settings.backoffMs,
  propose: driver.propose,
  wake: driver.wake,
})

/** Why nothing was executed, if a caller can act on it; noLeader for all other reasons. */
export const reasonOf = (
  reason: ProposalRefusal | null,
): "busy" | "tooLarge" | "spaceLow" | "exhausted" | "noLeader" => {
  switch (reason) {
    case "busy":
    case "tooLarge":
    case "spaceLow":
    case "exhausted":
      return reason
    case "notLeader":
    case "noLeader":
    case "transferring":
    case "notReady":
    case "changePending":
    case "invalidChange":
    case null:
      return "noLeader"
  }
}

/** What the state machine knows about a command of a session. */
export type KnownOutcome<Answer> =
  | { readonly type: "kept"; readonly reply: Answer }
  /** Executed, but its answer is not kept any more. */
  | { readonly type: "forgotten" }
  /** Not executed so far: it is safe to propose it again. */
  | { readonly type: "notExecuted" }
  /** The session has ended: none of its commands will be executed any more; whether this one was is unknown. */
  | { readonly type: "expired" }

/** How the log and the state machine represent sessions. */
export interface SessionFormat<Request, Answer> {
  /** The owner of the session: identifies this server, across restarts. */
  readonly owner: string
  readonly opening: (secret: string) => Payload
  /** The server has received the results of all numbers below `lowest`. */
  readonly command: (request: Request, session: number, sequence: number, lowest: number) => Payload
  readonly outcomeOf: (session: number, sequence: number) => KnownOutcome<Answer>
}
