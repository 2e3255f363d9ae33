/** Everything that can be wrong with a data directory: what happened, what was kept, what to do next. */
import * as Data from "effect/Data"
import { LOST_MEMBER_ADVICE } from "../advice.ts"

const advices: Readonly<Record<string, string>> = {
  EMFILE: "This process has no file descriptors left: raise its limit (ulimit -n, or LimitNOFILE= in the unit file)",
  ENFILE: "The whole system has no file descriptors left: raise its limit (fs.file-max), or end what holds too many",
  ENOSPC: "Free some space",
  EDQUOT: "The quota of this user is used up: raise it, or free some space",
  EFBIG: "A file may not grow so large here: raise the limit (ulimit -f)",
  ENOMEM: "The system has no memory left: give it more, or end what holds too much",
  EACCES: "Give this user access to it",
  EPERM: "Give this user access to it",
  EROFS:
    "The file system is read-only: find out why (the system may have made it so after an error), and mount it again",
  ENOENT: "It was removed, or is not mounted: bring it back",
  ENOTDIR: "A file is where a directory should be: move it away",
  EIO: "Check the disk",
}
/** What a person can do about an error of the system, without the period. */
export const adviceFor = (cause: unknown): string => advices[errnoOf(cause) ?? ""] ?? "Check the disk"

const UNTRUSTED = `Nothing was changed. This copy of the log cannot be trusted, so the node does not start from it. ${LOST_MEMBER_ADVICE}`

export class DirectoryLocked extends Data.TaggedError("DirectoryLocked")<{
  readonly directory: string
  readonly holder: string
}> {
  override get message(): string {
    return `${this.directory} is in use by another process (${this.holder}). Nothing was changed. Stop that process, or give this node a directory of its own.`
  }
}
/** The lock file vanished while the node ran: another process may be writing. */
export class LockLost extends Data.TaggedError("LockLost")<{ readonly directory: string }> {
  override get message(): string {
    return `The lock of ${this.directory} was taken away while this node held it. The log is still there; this node writes nothing more to it and stops. See that only one process uses the directory, then start again.`
  }
}
/** The files were removed while the node ran: no later start would find what it writes. */
export class DirectoryGone extends Data.TaggedError("DirectoryGone")<{
  readonly directory: string
  readonly missing: string
}> {
  override get message(): string {
    return `${this.directory} was removed, moved or unmounted while this node used it: ${this.missing}. What this node had acknowledged is gone with it; the other members hold everything that a majority acknowledged. The node stops. If the directory was moved, or its disk came off, bring it back as it was last and start again; an older copy must not be used. If it was removed, it is a lost disk. ${LOST_MEMBER_ADVICE}`
  }
}
export class WrongNode extends Data.TaggedError("WrongNode")<{
  readonly directory: string
  readonly wanted: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.directory} belongs to node ${this.found}, not to ${this.wanted}. Nothing was changed. Give the directory of ${this.wanted}, or an empty one.`
  }
}
export class WrongCluster extends Data.TaggedError("WrongCluster")<{
  readonly directory: string
  readonly wanted: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.directory} was founded in cluster ${this.found}; it cannot serve or be founded as ${this.wanted}. Nothing was changed. Give the directory of that cluster, or an empty one.`
  }
}
export class WrongFormat extends Data.TaggedError("WrongFormat")<{
  readonly file: string
  readonly found: number
  readonly known: string
}> {
  override get message(): string {
    return `${this.file} is written in format ${this.found}; this version reads format ${this.known}. Nothing was changed. Start the version that wrote it, or a later one.`
  }
}
export class IdentityUnreadable extends Data.TaggedError("IdentityUnreadable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: ${this.reason}. ${UNTRUSTED}`
  }
}
export class SegmentMissing extends Data.TaggedError("SegmentMissing")<{
  readonly file: string
  readonly first: number
  readonly last: number
}> {
  override get message(): string {
    return `${this.file} is gone; the log needs segments ${this.first} to ${this.last}. ${UNTRUSTED}`
  }
}
export class LogCorrupted extends Data.TaggedError("LogCorrupted")<{
  readonly file: string
  readonly offset: number
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file} is damaged at offset ${this.offset}: ${this.reason}. ${UNTRUSTED}`
  }
}
/** A file that was cut at the end of a record looks whole; FORMAT records how long it must be. */
export class LogCutShort extends Data.TaggedError("LogCutShort")<{
  readonly file: string
  readonly found: number
  readonly synced: number
}> {
  override get message(): string {
    return `${this.file} ends at offset ${this.found}, but it was durable through offset ${this.synced}: acknowledged records, and perhaps a vote, are gone from its end. ${UNTRUSTED}`
  }
}
export class DiskFull extends Data.TaggedError("DiskFull")<{ readonly path: string; readonly cause: unknown }> {
  override get message(): string {
    return `No space is left at ${this.path}. What was acknowledged is kept. ${adviceFor(this.cause)}, then start again.`
  }
}
/** The directory could not be opened, and its content is not the reason: permissions, a broken disk, no such device. */
export class DirectoryUnusable extends Data.TaggedError("DirectoryUnusable")<{
  readonly directory: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `${this.directory} cannot be used: ${reasonOf(this.cause)}. What was acknowledged is kept. ${adviceFor(this.cause)}, then start again.`
  }
}
export class WriteFailed extends Data.TaggedError("WriteFailed")<{ readonly file: string; readonly cause: unknown }> {
  override get message(): string {
    return `Writing ${this.file} failed: ${reasonOf(this.cause)}. What was acknowledged had been synced before; the node stops. ${adviceFor(this.cause)}, then start again.`
  }
}
/** Never retried: after a failed sync the kernel may drop what was written and call the next sync a success. */
export class SyncFailed extends Data.TaggedError("SyncFailed")<{ readonly file: string; readonly cause: unknown }> {
  override get message(): string {
    return `Making ${this.file} durable failed: ${reasonOf(this.cause)}. What was acknowledged had been synced before; the node stops. ${adviceFor(this.cause)}, then start again.`
  }
}

export type StorageError =
  | DirectoryLocked
  | LockLost
  | DirectoryGone
  | WrongNode
  | WrongCluster
  | WrongFormat
  | IdentityUnreadable
  | SegmentMissing
  | LogCorrupted
  | LogCutShort
  | DiskFull
  | DirectoryUnusable
  | WriteFailed
  | SyncFailed

const named = [
  DirectoryLocked,
  LockLost,
  DirectoryGone,
  WrongNode,
  WrongCluster,
  WrongFormat,
  IdentityUnreadable,
  SegmentMissing,
  LogCorrupted,
  LogCutShort,
  DiskFull,
  DirectoryUnusable,
  WriteFailed,
  SyncFailed,
]
const isStorageError = (cause: unknown): cause is StorageError => named.some((kind) => cause instanceof kind)

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

export const errnoOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

export const isDiskFull = (cause: unknown): boolean => errnoOf(cause) === "ENOSPC" || errnoOf(cause) === "EDQUOT"

/**
 * No file can be opened at the moment. The disk is not the cause, and it will work again once other files are closed.
 */
export const isOutOfDescriptors = (cause: unknown): boolean =>
  errnoOf(cause) === "EMFILE" || errnoOf(cause) === "ENFILE"

/** What went wrong while a directory was opened, by name. */
export const openingError = (directory: string, cause: unknown): StorageError => {
  if (isStorageError(cause)) return cause
  return isDiskFull(cause) ? new DiskFull({ path: directory, cause }) : new DirectoryUnusable({ directory, cause })
}
