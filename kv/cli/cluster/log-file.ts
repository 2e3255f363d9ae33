/** A log of bounded size: two files, the older one falls away. */
import { appendFileSync, renameSync, statSync } from "node:fs"

export interface LogFile {
  readonly append: (text: string) => void
}

/** What cannot be written (no room, the folder is gone) is left out, and told once for each row of failures. */
export const openLogFile = (path: string, failed: (problem: string) => void, mostBytes = 8_000_000): LogFile => {
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  let failing = false
  const write = (text: string): void => {
    if (size > mostBytes / 2) {
      renameSync(path, path.replace(/\.txt$/, ".1.txt"))
      size = 0
    }
    // Synchronous: a supervisor that is killed has written what its child said last.
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
