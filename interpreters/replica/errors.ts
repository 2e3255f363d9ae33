/** The errors of a replica: what happened, whether the command was executed, and what to do. */

/**
 * no: it was never executed, and never will be. yes: executed once. unknown: executed once or not at all; if it is
 * still to be executed, then before every command that is executed here from now on.
 */
export type Executed = "no" | "yes" | "unknown"

export abstract class ReplicaError extends Error {
  abstract readonly executed: Executed
}

export type NotExecutedReason = "noLeader" | "busy" | "tooLarge" | "spaceLow" | "exhausted" | "stopping" | "failed"
const WHY: Readonly<Record<NotExecutedReason, string>> = {
  noLeader:
    "no leader accepted it in time. See that a majority of the servers runs and is connected, then execute it again",
  busy: "too many commands are waiting already. Execute it again later, and fewer at once",
  tooLarge: "it does not fit into an entry of the log. Split it up",
  spaceLow:
    "the leader's disk is nearly full, or those of so many others that no majority could keep it. Free some space: then commands are accepted again, without a restart",
  exhausted: "the log has reached the last possible index. Move the state to a new cluster",
  stopping: "this server is stopping. Execute it on another one",
  failed: "this server has failed and executes nothing any more. See its failure, then start it again",
}
/** The command was not executed, and never will be. */
export class NotExecuted extends ReplicaError {
  override readonly name = "NotExecuted"
  readonly executed = "no"
  readonly reason: NotExecutedReason
  constructor(reason: NotExecutedReason) {
    super(`the command was not executed: ${WHY[reason]}`)
    this.reason = reason
  }
}

/** It is unknown whether the command was executed. */
export class OutcomeUnknown extends ReplicaError {
  override readonly name = "OutcomeUnknown"
  readonly executed = "unknown"
  constructor(why: string) {
    super(
      `${why}: the command was executed once or not at all. It may still be executed, but only before every command that is executed here from now on. So first execute a command that changes nothing, then read what became of this one, and only then execute it again if necessary`,
    )
  }
}

/** The machine's `apply` threw. The command was undone, on every server alike. */
export class CommandFailed extends ReplicaError {
  override readonly name = "CommandFailed"
  readonly executed = "no"
  /** What `apply` threw on this server, as text. */
  readonly thrown: string
  constructor(thrown: string) {
    super(
      `apply threw ${thrown}. The command was undone on every server; the state is as it was before. If callers must be able to tell errors apart, return them as results`,
    )
    this.thrown = thrown
  }
}

/** The command was executed once. This call was a retry of it, and its result was too large to be kept for retries. */
export class ResultForgotten extends ReplicaError {
  override readonly name = "ResultForgotten"
  readonly executed = "yes"
  constructor() {
    super(
      "the command was executed once, but its result is no longer kept (results larger than 1 MB never are). Read what the command has changed",
    )
  }
}

/** Nothing was read: it could not be confirmed that the state here is current. */
export class NotRead extends Error {
  override readonly name = "NotRead"
  readonly reason: "noLeader" | "busy" | "rebuilding" | "stopping"
  constructor(reason: NotRead["reason"]) {
    const why = {
      noLeader:
        "no leader confirmed it in time. See that a majority of the servers runs and is connected, then read again",
      busy: "too many reads are waiting already. Read again later",
      rebuilding: "the state of this server is being rebuilt from a peer. Read on another one, or wait",
      stopping: "this server is stopping. Read on another one",
    }[reason]
    super(`nothing was read: ${why}. { consistency: "local" } reads what is here, which may be old`)
    this.reason = reason
  }
}

/** This server's results differ from those of the others. It stops, because its state is not the cluster's. */
export class NotDeterministic extends Error {
  override readonly name = "NotDeterministic"
  constructor(through: number) {
    super(
      `the results of the commands through entry ${through} are not the same on all servers, although all executed the same log, and this server is not among a majority that agrees. ` +
        "It has stopped. The machine's apply is not deterministic: look for the clock, randomness, the order of a Set or Map, locale and functions of Math beyond the four operations and sqrt, and for another version of the program on one of the servers. " +
        "Then start all servers with one program; on this one delete the state folder (not the log), so that it executes anew",
    )
  }
}
