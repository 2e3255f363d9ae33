/** What backups, restores, inspections and recoveries refuse, and why: what happened, what was kept, what to do next. */
import * as Data from "effect/Data"

/** A file or directory stands where something new would be made. */
export class AlreadyThere extends Data.TaggedError("AlreadyThere")<{ readonly path: string }> {
  override get message(): string {
    return `${this.path} is there already. Nothing was changed: nothing is ever overwritten. Give another place, or move it away.`
  }
}
export class BackupDamaged extends Data.TaggedError("BackupDamaged")<{ readonly file: string; readonly found: string }> {
  override get message(): string {
    return `${this.file} is not to be trusted: ${this.found}. Nothing was made from it. Take another backup, or another copy of this one.`
  }
}
/** The image came to its end before all of it was here. */
export class BackupInterrupted extends Data.TaggedError("BackupInterrupted")<{ readonly from: string; readonly reason: string }> {
  override get message(): string {
    return `The backup from ${this.from} was interrupted: ${this.reason}. What was written so far was removed; the cluster is as it was. Begin again, perhaps at another node (--port, --endpoints).`
  }
}
export class NoNodeDirectory extends Data.TaggedError("NoNodeDirectory")<{ readonly directory: string; readonly found: string }> {
  override get message(): string {
    return `${this.directory} is not the data directory of a node: ${this.found}. Nothing was changed. Give the directory that the node gets as --data; of "stepraft cluster" it is .stepraft/n1/data and so on.`
  }
}
export class SkipTooFar extends Data.TaggedError("SkipTooFar")<{ readonly index: number; readonly skip: number }> {
  override get message(): string {
    return `Entry ${this.index} plus ${this.skip} skipped ones is more than a log can number. Nothing was made. Give a smaller --skip.`
  }
}
