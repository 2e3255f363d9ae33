/** What can go wrong with a state machine: what happened, what was kept, what to do. */
import * as Data from "effect/Data"

/** Another process has the database open. Nothing was touched. */
export class MachineLocked extends Data.TaggedError("MachineLocked")<{ readonly directory: string }> {
  override get message(): string {
    return `${this.directory} is open in another process. Nothing was touched. Stop the other node, or give this one a directory of its own.`
  }
}

/** The file system refuses. Nothing that was acknowledged is lost; the node cannot run. */
export class MachineUnusable extends Data.TaggedError("MachineUnusable")<{
  readonly directory: string
  readonly action: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `Could not ${this.action} in ${this.directory}: ${reason(this.cause)}. What was made durable before stays as it is. Check the disk, its room and its permissions, then start the node again.`
  }
}
/** The files were taken away while the node ran. */
export class MachineGone extends Data.TaggedError("MachineGone")<{ readonly directory: string }> {
  override get message(): string {
    return `The data in ${this.directory} were removed, moved or unmounted while this node used them. The log of this node is a directory of its own, which says for itself if it is gone, too. The node stops. Bring the data back as they were last, or start the node without them: if its log is whole, they are made anew from it or taken from a peer.`
  }
}
/** Data of another version of the format. Nothing was touched. */
export class MachineOutdated extends Data.TaggedError("MachineOutdated")<{
  readonly directory: string
  readonly found: number
  readonly wanted: number
}> {
  override get message(): string {
    return `The data in ${this.directory} are of format ${this.found}; this version reads and writes format ${this.wanted}. Nothing was touched. Start the version that wrote them.`
  }
}
export type MachineError = MachineLocked | MachineOutdated | MachineUnusable

/** The data are not what was written. The node goes on, serves nothing, and is rebuilt from a peer. */
export class MachineDamaged extends Data.TaggedError("MachineDamaged")<{
  readonly directory: string
  readonly found: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const cause = this.cause === undefined ? "" : ` (${reason(this.cause)})`
    return `The data in ${this.directory} are damaged: ${this.found}${cause}. Nothing from there is served any more; the files are kept until a snapshot from a peer has replaced them. Nothing need be done while a peer is up; check the disk.`
  }
}

/** A transfer cannot be used. The earlier state stays. */
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

/** What LevelDB or a record's checksum says; not a mistake of our own, which no peer's copy would mend. */
export const isDamage = (thrown: unknown): boolean =>
  thrown instanceof Error &&
  (thrown.name === "BadRecord" ||
    ("code" in thrown && String(thrown.code).startsWith("LEVEL_")) ||
    isDamage(thrown.cause))

const codeOf = (thrown: unknown): unknown => (thrown instanceof Error && "code" in thrown ? thrown.code : undefined)
/**
 * The file system's own complaints, also as LevelDB passes them on: no damage, and rebuilding from a peer would not help.
 * What is not there is damage, if it should be.
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
