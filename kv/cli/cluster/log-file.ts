/** A log of bounded size: it consists of two files, and the older one is deleted when the newer one is full. */
import { appendFileSync, renameSync, statSync } from "node:fs"

export interface LogFile {
  readonly append: (text: string) => void
}

/** Text that cannot be written (no space, the folder is gone) is left out; each series of failures is reported once. */
export const openLogFile = (path: string, failed: (problem: string) => void, mostBytes = 8_000_000): LogFile => {
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  let failing = false
  const write = (text: string): void => {
    if (size > mostBytes / 2) {
      renameSync(path, path.replace(/\.txt$/, ".1.txt"))
      size = 0
    }
    // Written synchronously: even if the supervisor is killed, the file holds what its child said last.
    appendFileSync(path, text)
    size += Buffer.byteLength(text)
  }
  return {
    append: (text) => {
      try {
        write(text)
        failing = false
      } catch (error) {
        if (!failing) failed(error instanceof Error ? error.message : String(error))
        failing = true
      }
    },
  }
}
