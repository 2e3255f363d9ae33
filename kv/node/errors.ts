/** What keeps a node from running. Each message says what happened, what was kept and what to do next. */
import * as Data from "effect/Data"
import {
  codeOf, DirectoryGone, DirectoryLocked, IdentityUnreadable, LogCorrupted, LogCutShort, SegmentMissing, WrongCluster, WrongFormat, WrongNode, type StorageError,
} from "../../interpreters/file/index.ts"
import { NodeHalted } from "../../interpreters/halted.ts"
import { MEMBER_LOST } from "../../interpreters/mending.ts"
import type { TcpError } from "../../interpreters/tcp/index.ts"
import { MachineLocked, MachineOutdated, type MachineError } from "../machine/errors.ts"
import type { ServerError } from "../server/index.ts"

/** `field` is the setting that is wrong, `source` where it was given. */
export class InvalidConfig extends Data.TaggedError("InvalidConfig")<{ readonly field: string; readonly source: string; readonly found: string; readonly reason: string }> {
  override get message(): string {
    return `${this.field} (given by ${this.source}) is ${this.found}: ${this.reason}. Nothing was started.`
  }
}
export class BootstrapRefused extends Data.TaggedError("BootstrapRefused")<{ readonly node: string; readonly peer: string; readonly cluster: string | null }> {
  override get message(): string {
    const of = this.cluster === null ? "" : ` of cluster ${this.cluster}`
    return `${this.node} was told to bootstrap a new cluster, but ${this.peer} already holds the data${of}. Nothing was changed. If ${this.peer} was started with an old directory by mistake, stop it and start it with an empty one. If ${this.node} has lost its disk, start it without --bootstrap: it then votes for nobody and waits. ${MEMBER_LOST}`
  }
}
export class StateWithoutLog extends Data.TaggedError("StateWithoutLog")<{ readonly state: string; readonly log: string }> {
  override get message(): string {
    return `${this.state} holds data, but ${this.log} is new: the log was lost or belongs to another directory. Nothing was changed. Bring the log back as it was last. If it is lost, this member's disk is lost: put ${this.state} aside before the node is started as an empty one. ${MEMBER_LOST}`
  }
}
/** The state machine knows of entries that the log must have held. */
export class LostTail extends Data.TaggedError("LostTail")<{
  readonly log: string
  readonly executed: number
  readonly term: number
  readonly last: number
  /** Term of the entry that stands there now; null: the log ends before it. */
  readonly found: number | null
}> {
  override get message(): string {
    const now = this.found === null ? `ends with entry ${this.last}` : `holds an entry of term ${this.found} there`
    return `the data of this node reach entry ${this.executed} of term ${this.term}, but ${this.log} ${now}, and no snapshot was restored that would explain it: the log has lost its end, with acknowledged entries and perhaps a vote. Nothing was changed. Bring the whole log back as it was last. If that cannot be, this member's disk is lost. ${MEMBER_LOST}`
  }
}
/** Storage, state machine or the reducer failed while the node ran. */
export class NodeFailed extends Data.TaggedError("NodeFailed")<{ readonly node: string; readonly cause: Error }> {
  override get message(): string {
    return `${this.node} stopped: ${this.cause.message}`
  }
}
export type NodeError = InvalidConfig | BootstrapRefused | StateWithoutLog | LostTail | NodeFailed | StorageError | TcpError | MachineError | ServerError

const lasting = [
  InvalidConfig, BootstrapRefused, StateWithoutLog, LostTail, DirectoryLocked, WrongNode, WrongCluster, WrongFormat, IdentityUnreadable, SegmentMissing, LogCorrupted, LogCutShort,
  MachineLocked, MachineOutdated,
]
/** What the system says no to until somebody changes it. */
const refusals: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"])
/** No restart mends it: somebody must do what the message says. A directory that is gone would be made anew, and stand in the way of the old one. */
export const isLasting = (error: NodeError): boolean =>
  lasting.some((kind) => error instanceof kind) || ("cause" in error && (error.cause instanceof NodeHalted || error.cause instanceof DirectoryGone || refusals.has(codeOf(error.cause) ?? "")))
