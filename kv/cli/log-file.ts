/** A log of bounded size: two files, the older one falls away. */
import { appendFileSync, renameSync, statSync } from "node:fs"

export interface LogFile {
  readonly append: (text: string) => void
}

export const openLogFile = (path: string, mostBytes = 8_000_000): LogFile => {
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return {
    append: (text) => {
      if (size > mostBytes / 2) {
        renameSync(path, path.replace(/\.txt$/, ".1.txt"))
        size = 0
      }
      // Synchronous: a supervisor that is killed has written what its child said last.
      appendFileSync(path, text)
      size += Buffer.byteLength(text)
    },
  }
}
