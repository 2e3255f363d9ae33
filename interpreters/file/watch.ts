/** Looks after a directory in use: is it still there, and ours; is the lock renewed; is there room? */
import { basename } from "node:path"
import { codeOf, DirectoryGone, LockLost, WriteFailed, type StorageError } from "./errors.ts"
import type { Files } from "./files.ts"
import { readFormat, type FormatKeeper } from "./identity.ts"
import { PATIENCE, type DirectoryLock } from "./lock.ts"
import type { SpaceWatch } from "./space.ts"
import type { Wal } from "./wal.ts"

/** Without a renewed lock another machine would take the directory for left behind: this node ends before. */
const UNRENEWED = PATIENCE * 0.8

export interface WatchSetup {
  readonly files: Files
  readonly directory: string
  readonly lock: DirectoryLock
  readonly space: SpaceWatch
  readonly wal: Wal
  readonly format: FormatKeeper
  /** Told what is not as it should be, and is tried again. */
  readonly waiting: (text: string) => void
}
export interface DirectoryWatch {
  readonly measure: () => Promise<void>
  /** Why nothing more may be written, or null. */
  readonly look: () => Promise<StorageError | null>
}

export const watchDirectory = ({ files, directory, lock, space, wal, format, waiting }: WatchSetup): DirectoryWatch => {
  let renewed = performance.now()
  /** Told once, until it is over. */
  const troubles = new Set<string>()
  const told = (what: string, error: unknown): void => {
    if (!troubles.has(what))
      waiting(
        `${directory}: ${what} (${error instanceof Error ? error.message : String(error)}). It is tried again every second.`,
      )
    troubles.add(what)
  }

  /** What of the log is not there any more. */
  const missing = async (): Promise<string | null> => {
    const before = wal.files
    let names: ReadonlySet<string>
    try {
      names = new Set(await files.list(directory))
    } catch (error) {
      if (codeOf(error) === "ENOENT") return "it is not there"
      told("it cannot be looked at", error)
      return null
    }
    troubles.delete("it cannot be looked at")
    // Segments come and go meanwhile: only one that belongs to the log before and after must be there.
    const still = new Set(wal.files)
    const gone = ["FORMAT", ...before.filter((path) => still.has(path)).map((path) => basename(path))].filter(
      (name) => !names.has(name),
    )
    return gone.length === 0 ? null : `${gone.join(", ")} ${gone.length === 1 ? "is" : "are"} missing`
  }

  /** The lock is gone. Null: only the lock; else what else. What cannot be read says nothing. */
  const replaced = async (): Promise<string | null> => {
    try {
      const now = await readFormat(files, directory)
      if (now === null) return "FORMAT is missing"
      return now.identity.self.incarnation === format.current().identity.self.incarnation
        ? null
        : "another directory stands in its place"
    } catch (error) {
      told("FORMAT cannot be read", error)
      return null
    }
  }

  const renew = async (): Promise<StorageError | null> => {
    try {
      await lock.renew()
      renewed = performance.now()
      troubles.delete("the lock cannot be renewed")
      return null
    } catch (error) {
      if (error instanceof LockLost) {
        const instead = await replaced()
        return instead === null ? error : new DirectoryGone({ directory, missing: instead })
      }
      told("the lock cannot be renewed", error)
      return performance.now() - renewed > UNRENEWED
        ? new WriteFailed({ file: `the lock of ${directory}`, cause: error })
        : null
    }
  }

  return {
    measure: async () => {
      try {
        await space.measure()
        troubles.delete("the free space cannot be measured")
      } catch (error) {
        told("the free space cannot be measured", error)
      }
    },
    look: async () => {
      const gone = await missing()
      return gone === null ? renew() : new DirectoryGone({ directory, missing: gone })
    },
  }
}
