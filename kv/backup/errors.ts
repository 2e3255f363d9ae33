/** Why backups, restores, inspections and recoveries fail: what happened, what was kept, what to do next. */
import * as Data from "effect/Data"

/** Something new would be made at this path, but a file or directory exists there. */
export class AlreadyThere extends Data.TaggedError("AlreadyThere")<{ readonly path: string }> {
  override get message(): string {
    return `${this.path} exists already. Nothing was changed: this command overwrites nothing. Give another path, or move it away.`
  }
}
/** Root would make for a service what the service could not open. */
export class OwnedByAnother extends Data.TaggedError("OwnedByAnother")<{
  readonly path: string
  readonly uid: number
}> {
  override get message(): string {
    return `${this.path} belongs to the user ${this.uid}, and this is root: the node that runs as that user could not open what root makes there. Nothing was changed. Run the same command as that user: runuser -u "$(stat -c %U ${this.path})" -- stepraft … If the node is to run as root from now on: chown -R root ${this.path}`
  }
}
export class BackupDamaged extends Data.TaggedError("BackupDamaged")<{
  readonly file: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.file} is not to be trusted: ${this.found}. Nothing was made from it. Take another backup, or another copy of this one.`
  }
}
/** With the full stop that what a node says may have, or not. */
const sentence = (text: string): string => (text.endsWith(".") ? text : `${text}.`)
/** How a node says that this client may not. */
export const isForbidden = (code: string | null): boolean => code === "NOPERM" || code === "NOAUTH"
/** The node does not accept this client, or this client the node: beginning again would not help. */
export class BackupRefused extends Data.TaggedError("BackupRefused")<{
  readonly from: string
  /** null: TLS could not be agreed, and the text says with whom. */
  readonly code: string | null
  readonly text: string
}> {
  override get message(): string {
    const said = this.code === null ? this.text : `${this.from} answered ${this.code} ${this.text}`
    const needs = isForbidden(this.code) ? " A backup needs a user with the role admin." : ""
    return `No backup was taken: ${sentence(said)}${needs} Nothing was kept; the cluster is as it was.`
  }
}
/** The backup ended before the whole image had arrived. */
export class BackupInterrupted extends Data.TaggedError("BackupInterrupted")<{
  readonly from: string
  readonly reason: string
}> {
  override get message(): string {
    return `The backup from ${this.from} was interrupted: ${sentence(this.reason)} What was written so far was removed; the cluster is as it was. Begin again, perhaps at another node (--port, --endpoints).`
  }
}
export class NoNodeDirectory extends Data.TaggedError("NoNodeDirectory")<{
  readonly directory: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.directory} is not the data directory of a node: ${this.found}. Nothing was changed. Give the directory that the node gets as --data; of "stepraft cluster" it is .stepraft/n1/data and so on.`
  }
}
export class SkipTooFar extends Data.TaggedError("SkipTooFar")<{ readonly index: number; readonly skip: number }> {
  override get message(): string {
    return `Entry ${this.index} plus ${this.skip} skipped indexes exceeds the last possible index of a log. Nothing was made. Give a smaller --skip.`
  }
}

// ------------------------------------------------------------------------------------------------- recovery

export class NoSurvivor extends Data.TaggedError("NoSurvivor")<{
  readonly directories: readonly string[]
  readonly found: string
}> {
  override get message(): string {
    return `There is nothing from which a cluster could be made: ${this.found}. Nothing was changed. Give every data directory that is left of the old cluster, or restore a backup: stepraft snapshot restore.`
  }
}
export class DamagedSurvivor extends Data.TaggedError("DamagedSurvivor")<{
  readonly directory: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.directory} cannot be used: ${this.found}. Nothing was changed. Leave it out, look into it with stepraft inspect wal, or restore a backup: stepraft snapshot restore.`
  }
}
export class SurvivorsDiffer extends Data.TaggedError("SurvivorsDiffer")<{
  readonly one: string
  readonly cluster: string
  readonly other: string
  readonly otherCluster: string
}> {
  override get message(): string {
    return `${this.one} is of cluster ${this.cluster}, ${this.other} of cluster ${this.otherCluster}: they have no history in common. Nothing was changed. Give the directories of one cluster.`
  }
}
export class MajorityAlive extends Data.TaggedError("MajorityAlive")<{
  readonly answering: readonly string[]
  readonly given: readonly string[]
}> {
  override get message(): string {
    const there =
      this.answering.length === 0
        ? ""
        : `${this.answering.join(", ")} answer${this.answering.length === 1 ? "s" : ""}, and `
    return `No recovery is needed: ${there}the directories of ${this.given.join(", ")} are intact, and together they are a majority. Nothing was changed. Start the stopped nodes as they are: they elect a leader, and nothing is lost. If a node that answers has lost its disk and runs with an empty folder, stop it first.`
  }
}
/** They are fewer than a majority, but they may hold entries that the given directories lack. */
export class MembersAnswer extends Data.TaggedError("MembersAnswer")<{ readonly names: readonly string[] }> {
  override get message(): string {
    return `${this.names.join(" and ")} answer${this.names.length === 1 ? "s" : ""}: a directory there may hold committed entries that are missing in those that were given, and no member of the old cluster may run beside the new one. Nothing was changed. Stop it and give its directory, too; if it runs with an empty folder, stop it and leave it out.`
  }
}
/** Whether the member still runs cannot be found out, and that is no proof that it does not. */
export class MemberNotAsked extends Data.TaggedError("MemberNotAsked")<{
  readonly name: string
  readonly address: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.name} cannot be asked at ${this.address}: ${this.found}. Whether it still runs is not known. Nothing was changed. Give an address that can be asked: --peers ${this.name}=HOST:PORT.`
  }
}
export class NoSuchVoter extends Data.TaggedError("NoSuchVoter")<{
  readonly names: readonly string[]
  readonly voters: readonly string[]
}> {
  override get message(): string {
    return `--peers names ${this.names.join(" and ")}, and the voters are ${this.voters.join(", ")}. Nothing was changed. Give the names as the plan shows them.`
  }
}
export class AddressUnknown extends Data.TaggedError("AddressUnknown")<{ readonly names: readonly string[] }> {
  override get message(): string {
    return `Nobody can be asked whether ${this.names.join(" and ")} still run${this.names.length === 1 ? "s" : ""}: the log does not say where. Nothing was changed. Give the address for peers of each: --peers ${this.names.map((name) => `${name}=HOST:PORT`).join(",")}.`
  }
}
export class LossNotAccepted extends Data.TaggedError("LossNotAccepted")<{ readonly after: string }> {
  override get message(): string {
    return `This gives up whatever was acknowledged after ${this.after} and is only on the lost disks. Nothing was changed. Read the plan (stepraft recover plan), then repeat the command with --accept-lost-writes.`
  }
}
/** The path is a link or a mount point, not a directory that could be renamed. */
export class NotMovable extends Data.TaggedError("NotMovable")<{
  readonly path: string
  readonly directory: string
  readonly found: "a link" | "a mount point"
}> {
  override get message(): string {
    return `${this.path} is ${this.found}: it cannot be set aside and replaced. Nothing was changed. Copy ${this.directory} with what its links lead to (cp -rL) to one place, and give that.`
  }
}
/** The recovery was decided, and the process ended before everything was in place. */
export class RecoveryUnfinished extends Data.TaggedError("RecoveryUnfinished")<{
  readonly directory: string
  readonly found: string | null
}> {
  override get message(): string {
    return `The recovery of ${this.directory} was begun and is not complete${this.found === null ? "" : `: ${this.found}`}. Nothing is lost: the old data and the new data are both in that directory, and no node starts in it until the recovery is complete. Complete it with: stepraft recover apply ${this.directory}`
  }
}
/** The disk is full, or no more files can be opened. */
export class NoRoomToMake extends Data.TaggedError("NoRoomToMake")<{ readonly data: string; readonly found: string }> {
  override get message(): string {
    return `${this.data} cannot be made: ${this.found}. What was made of it so far was removed; nothing else was changed. It needs about as much space as the data; free some on that disk, then repeat the command.`
  }
}
/** The data are inspected in a temporary copy, and there is no space for it. */
export class NoRoomToLook extends Data.TaggedError("NoRoomToLook")<{
  readonly directory: string
  readonly needed: string
  readonly found: string
}> {
  override get message(): string {
    return `${this.needed} can only be inspected in a temporary copy, and that copy could not be made: ${this.found}. Nothing was changed. Free some space in ${this.directory}, or give another place for temporary files: TMPDIR=/a/place with the same command.`
  }
}
