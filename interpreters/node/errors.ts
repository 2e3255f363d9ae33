/**
 * Why a server cannot take its place in the cluster. Each message says what happened, what was kept and what to do
 * next.
 */
import * as Data from "effect/Data"
import { LOST_MEMBER_ADVICE } from "../advice.ts"

export class BootstrapRefused extends Data.TaggedError("BootstrapRefused")<{
  readonly node: string
  readonly peer: string
  readonly cluster: string | null
}> {
  override get message(): string {
    const of = this.cluster === null ? "" : ` of cluster ${this.cluster}`
    return `${this.node} was told to bootstrap a new cluster, but ${this.peer} already holds the data${of}. Nothing was changed. If ${this.peer} was started with an old directory by mistake, stop it and start it with an empty one. If ${this.node} has lost its disk, start it without --bootstrap: it then votes for nobody and waits. ${LOST_MEMBER_ADVICE}`
  }
}
export class StateWithoutLog extends Data.TaggedError("StateWithoutLog")<{
  readonly state: string
  readonly log: string
}> {
  override get message(): string {
    return `${this.state} holds data, but ${this.log} is new: the log was lost or belongs to another directory. Nothing was changed. Bring the log back as it was last. If it is lost, this member's disk is lost: put ${this.state} aside before the node is started as an empty one. ${LOST_MEMBER_ADVICE}`
  }
}
/** The state machine has executed entries that the log ought to hold, and does not. */
export class LostTail extends Data.TaggedError("LostTail")<{
  readonly log: string
  readonly executed: number
  readonly term: number
  readonly last: number
  /** The term of the entry that is there now; null: the log ends before it. */
  readonly found: number | null
}> {
  override get message(): string {
    const now = this.found === null ? `ends with entry ${this.last}` : `holds an entry of term ${this.found} there`
    return `the data of this node reach entry ${this.executed} of term ${this.term}, but ${this.log} ${now}, and no snapshot was restored that would explain it: the log has lost its end, with acknowledged entries and perhaps a vote. Nothing was changed. Bring the whole log back as it was last. If that cannot be, this member's disk is lost. ${LOST_MEMBER_ADVICE}`
  }
}
/** The cluster writes what this version, or what it may do of it, cannot read. */
export class LevelTooHigh extends Data.TaggedError("LevelTooHigh")<{
  readonly data: string
  readonly version: string
  readonly level: number
  readonly cluster: number
}> {
  override get message(): string {
    return `the cluster of ${this.data} is at feature level ${this.cluster}, which cannot be lowered again, and this is version ${this.version}, which supports levels up to ${this.level}. Nothing was changed. Start the version that ran here last, or a later one, and without a lower --feature-level-max`
  }
}
/** An option of `replicate` has an impossible value. */
export class OptionsInvalid extends Data.TaggedError("OptionsInvalid")<{
  readonly field: string
  readonly found: string
  readonly expected: string
}> {
  override get message(): string {
    return `${this.field} is ${this.found}, expected ${this.expected}. Nothing was started.`
  }
}
/** The directory of the state machine cannot be read or written. */
export class StateUnusable extends Data.TaggedError("StateUnusable")<{
  readonly directory: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `the state in ${this.directory} cannot be used: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}. Nothing was changed. See that the directory can be read and written, and that this version wrote what is in it`
  }
}
/** Storage, state machine or the reducer failed while the server ran, or its directory no longer counts. */
export class NodeFailed extends Data.TaggedError("NodeFailed")<{ readonly node: string; readonly cause: Error }> {
  override get message(): string {
    return `${this.node} stopped: ${this.cause.message}`
  }
}
/** The node cannot listen on its HTTP port. */
export class HttpUnavailable extends Data.TaggedError("HttpUnavailable")<{
  readonly host: string
  readonly port: number
  readonly code: string
  readonly message: string
}> {}
export const httpUnavailable = (host: string, port: number, cause: NodeJS.ErrnoException): HttpUnavailable => {
  const code = cause.code ?? "UNKNOWN"
  const next =
    code === "EADDRINUSE"
      ? `another process holds port ${port}: stop it, or give this node another HTTP port`
      : code === "EACCES"
        ? `this user may not open port ${port}: choose one above 1023`
        : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
          ? `${host} is no address of this machine: listen on one of its own, or on 0.0.0.0 for all`
          : cause.message
  return new HttpUnavailable({
    host,
    port,
    code,
    message: `cannot answer over HTTP on ${host}:${port} (${code}): ${next}. Nothing on disk was touched.`,
  })
}
