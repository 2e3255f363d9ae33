/** Why a node cannot run. Each message says what happened, what was kept and what to do next. */
import * as Data from "effect/Data"
import {
  errnoOf,
  DirectoryGone,
  DirectoryLocked,
  IdentityUnreadable,
  LogCorrupted,
  LogCutShort,
  SegmentMissing,
  WrongCluster,
  WrongFormat,
  WrongNode,
  type StorageError,
} from "../../interpreters/file/index.ts"
import { NodeHalted } from "../../interpreters/driver/index.ts"
import {
  BootstrapRefused,
  type HttpUnavailable,
  LevelTooHigh,
  LostTail,
  type NodeFailed,
  type StateUnusable,
  StateWithoutLog,
} from "../../interpreters/node/index.ts"
import { OwnedByAnother, RecoveryUnfinished } from "../backup/errors.ts"
import { TlsUnusable } from "../../interpreters/tls/index.ts"
import type { TcpError } from "../../interpreters/tcp/index.ts"
import { MachineLocked, MachineOutdated, type MachineError } from "../machine/leveldb/errors.ts"
import type { ClientPortUnavailable } from "../server/index.ts"
import { UsersUnusable } from "../server/users/index.ts"

/** `field` is the setting that is wrong, `source` where it was given. */
export class InvalidConfig extends Data.TaggedError("InvalidConfig")<{
  readonly field: string
  readonly source: string
  readonly found: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.field} (given by ${this.source}) is ${this.found}: ${this.reason}. Nothing was started.`
  }
}
export type NodeError =
  | InvalidConfig
  | TlsUnusable
  | UsersUnusable
  | BootstrapRefused
  | LevelTooHigh
  | OwnedByAnother
  | RecoveryUnfinished
  | StateWithoutLog
  | LostTail
  | StateUnusable
  | NodeFailed
  | StorageError
  | TcpError
  | HttpUnavailable
  | MachineError
  | ClientPortUnavailable

const lasting = [
  InvalidConfig,
  TlsUnusable,
  UsersUnusable,
  BootstrapRefused,
  LevelTooHigh,
  OwnedByAnother,
  RecoveryUnfinished,
  StateWithoutLog,
  LostTail,
  DirectoryLocked,
  WrongNode,
  WrongCluster,
  WrongFormat,
  IdentityUnreadable,
  SegmentMissing,
  LogCorrupted,
  LogCutShort,
  MachineLocked,
  MachineOutdated,
]
/** Errors of the system that remain until somebody changes something. */
const refusals: ReadonlySet<string> = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOTDIR",
  "EISDIR",
  "ENAMETOOLONG",
  "ELOOP",
])
/**
 * True if a restart does not help: somebody must do what the message says. (If a directory is gone, a restart would
 * even create a new one in the place of the old one.)
 */
export const isLasting = (error: NodeError): boolean =>
  lasting.some((kind) => error instanceof kind) ||
  ("cause" in error &&
    (error.cause instanceof NodeHalted ||
      error.cause instanceof DirectoryGone ||
      error.cause instanceof LevelTooHigh ||
      refusals.has(errnoOf(error.cause) ?? "")))
