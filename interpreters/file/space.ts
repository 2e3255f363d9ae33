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
  /** Bytes, as of the last look; null before the first. */
  readonly free: () => number | null
  /** The disk refused a write: low, whatever the count of free bytes says. */
  readonly refused: () => void
  readonly measure: () => Promise<void>
}

export const watchSpace = (
  files: Files,
  directory: string,
  marks: SpaceMarks,
  changed: (low: boolean) => void,
): SpaceWatch => {
  let low = false
  let last: number | null = null
  let refusals = 0
  const set = (now: boolean): void => {
    if (low === now) return
    low = now
    changed(now)
  }
  return {
    low: () => low,
    free: () => last,
    refused: () => {
      refusals++
      set(true)
    },
    measure: async () => {
      const before = refusals
      const free = await files.freeBytes(directory)
      last = free
      // Counted before the disk refused a write: it says nothing any more.
      if (refusals !== before) return
      if (free < marks.lowWater) set(true)
      else if (free > marks.highWater) set(false)
    },
  }
}
