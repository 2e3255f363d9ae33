/**
 * Watches a directory in use: does it still exist and belong to this node, can the lock be renewed, is there enough
 * space?
 */
import { basename } from "node:path"
import { errnoOf, DirectoryGone, LockLost, WriteFailed, type StorageError } from "./errors.ts"
import type { Files } from "./files.ts"
import { readFormat, type FormatKeeper } from "./identity.ts"
import { PATIENCE, type DirectoryLock } from "./lock.ts"
import type { SpaceWatch } from "./space.ts"
import type { Wal } from "./wal.ts"

/** If the lock is not renewed, another machine would take the directory for abandoned: this node stops before that. */
const UNRENEWED = PATIENCE * 0.8

export interface WatchSetup {
  readonly files: Files
  readonly directory: string
  readonly lock: DirectoryLock
  readonly space: SpaceWatch
  readonly wal: Wal
  readonly format: FormatKeeper
  /** Called with each problem for which the operation is tried again. */
  readonly waiting: (text: string) => void
}
export interface DirectoryWatch {
  readonly measure: () => Promise<void>
  /** Why nothing more may be written, or null. */
  readonly look: () => Promise<StorageError | null>
}

export const watchDirectory = ({ files, directory, lock, space, wal, format, waiting }: WatchSetup): DirectoryWatch => {
  let renewed = performance.now()
  /** Problems that were already reported, each only once for as long as it lasts. */
  const troubles = new Set<string>()
  const told = (what: string, error: unknown): void => {
    if (!troubles.has(what))
      waiting(
        `${directory}: ${what} (${error instanceof Error ? error.message : String(error)}). This is tried again every second.`,
      )
    troubles.add(what)
  }

  /** Files of the log that are missing. */
  const missing = async (): Promise<string | null> => {
    const before = wal.files
    let names: ReadonlySet<string>
    try {
      names = new Set(await files.list(directory))
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return "it is not there"
      told("it cannot be listed", error)
      return null
    }
    troubles.delete("it cannot be listed")
    // Segments are created and removed meanwhile, so only those that belong to the log both before and after the check
    // must exist.
    const still = new Set(wal.files)
    const gone = ["FORMAT", ...before.filter((path) => still.has(path)).map((path) => basename(path))].filter(
      (name) => !names.has(name),
    )
    return gone.length === 0 ? null : `${gone.join(", ")} ${gone.length === 1 ? "is" : "are"} missing`
  }

  /**
   * The lock is gone. Returns null if only the lock is gone, otherwise what else is missing. A failed read proves
   * nothing.
   */
  const replaced = async (): Promise<string | null> => {
    try {
      const now = await readFormat(files, directory)
      if (now === null) return "FORMAT is missing"
      return now.identity.self.incarnation === format.current().identity.self.incarnation
        ? null
        : "another directory is in its place"
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
