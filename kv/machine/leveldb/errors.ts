/** What can go wrong with a state machine: what happened, what was kept, what to do. */
import * as Data from "effect/Data"

/** Another process has the database open. Nothing was touched. */
export class MachineLocked extends Data.TaggedError("MachineLocked")<{ readonly directory: string }> {
  override get message(): string {
    return `${this.directory} is open in another process. Nothing was touched. Stop the other node, or give this one a directory of its own.`
  }
}

/** The file system refuses an operation. Nothing that was acknowledged is lost; the node cannot run. */
export class MachineUnusable extends Data.TaggedError("MachineUnusable")<{
  readonly directory: string
  readonly action: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `Could not ${this.action} in ${this.directory}: ${reason(this.cause)}. What was made durable before is unchanged. Check the disk, its free space and its permissions, then start the node again.`
  }
}
/** The files were removed while the node ran. */
export class MachineGone extends Data.TaggedError("MachineGone")<{ readonly directory: string }> {
  override get message(): string {
    return `The data in ${this.directory} were removed, moved or unmounted while this node used them. The node's log is in another directory and reports by itself if it is gone too. The node stops. Bring the data back as they were last, or start the node without them: they are rebuilt from its log if that is complete, otherwise from a peer.`
  }
}
/** The data are in another version of the format. Nothing was touched. */
export class MachineOutdated extends Data.TaggedError("MachineOutdated")<{
  readonly directory: string
  readonly found: number
  readonly wanted: string
}> {
  override get message(): string {
    return `The data in ${this.directory} are of format ${this.found}; this version reads format ${this.wanted}. Nothing was touched. Start the version that wrote them, or a later one.`
  }
}
export type MachineError = MachineLocked | MachineOutdated | MachineUnusable

/** The data are not what was written. The node continues, serves no data, and is rebuilt from a peer. */
export class MachineDamaged extends Data.TaggedError("MachineDamaged")<{
  readonly directory: string
  readonly found: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const cause = this.cause === undefined ? "" : ` (${reason(this.cause)})`
    return `The data in ${this.directory} are damaged: ${this.found}${cause}. They are no longer served; the files are kept until a snapshot from a peer has replaced them. No action is needed while a peer is up; check the disk.`
  }
}

/** A received snapshot cannot be used. The earlier state stays. */
export class SnapshotInvalid extends Data.TaggedError("SnapshotInvalid")<{
  readonly id: string
  readonly found: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const cause = this.cause === undefined ? "" : ` (${reason(this.cause)})`
    return `Snapshot ${this.id} cannot be used: ${this.found}${cause}. The earlier state stays; ask for a new snapshot.`
  }
}

export const reason = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const inner = cause.cause
  return inner instanceof Error ? `${cause.message}: ${inner.message}` : cause.message
}

/**
 * True for damage that LevelDB or a record's checksum reports; not for a mistake in this program, which a peer's copy
 * would not repair.
 */
export const isDamage = (thrown: unknown): boolean =>
  thrown instanceof Error &&
  (thrown.name === "BadRecord" ||
    ("code" in thrown && String(thrown.code).startsWith("LEVEL_")) ||
    isDamage(thrown.cause))

const codeOf = (thrown: unknown): unknown => (thrown instanceof Error && "code" in thrown ? thrown.code : undefined)
/**
 * True for errors of the file system, even if LevelDB passes them on: they are no damage, and rebuilding from a peer
 * would not help. A missing file is damage if it should be there.
 */
export const isRefusal = (thrown: unknown): boolean => {
  const code = codeOf(thrown)
  if (thrown instanceof Error && code === "LEVEL_IO_ERROR" && !/No such file or directory/.test(thrown.message))
    return true
  if (typeof code === "string" && /^E[A-Z0-9]+$/.test(code) && code !== "ENOENT") return true
  return thrown instanceof Error && isRefusal(thrown.cause)
}

export const damageOf = (directory: string, thrown: unknown): MachineDamaged =>
  thrown instanceof Error && thrown.name === "BadRecord"
    ? new MachineDamaged({ directory, found: thrown.message })
    : new MachineDamaged({ directory, found: "LevelDB cannot read them", cause: thrown })
