/** Watches the free space of a directory between two marks, so that a full disk is foreseen and not met. */
import type { Files } from "./files.ts"

export interface SpaceMarks {
  /** Below this many free bytes space is low… */
  readonly lowWater: number
  /** …until there are more than this many. */
  readonly highWater: number
}
export interface SpaceWatch {
  readonly low: () => boolean
  /** The disk refused a write: low, whatever the count of free bytes says. */
  readonly refused: () => void
  readonly measure: () => Promise<void>
}

export const watchSpace = (files: Files, directory: string, marks: SpaceMarks, changed: (low: boolean) => void): SpaceWatch => {
  let low = false
  const set = (now: boolean): void => {
    if (low === now) return
    low = now
    changed(now)
  }
  return {
    low: () => low,
    refused: () => set(true),
    measure: async () => {
      const free = await files.freeBytes(directory)
      if (free < marks.lowWater) set(true)
      else if (free > marks.highWater) set(false)
    },
  }
}
