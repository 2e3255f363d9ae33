/** Watches the free space of a directory with two thresholds, so that writes are refused before the disk is full. */
import type { Files } from "./files.ts"

export interface SpaceMarks {
  /** Space is low below this many free bytes… */
  readonly lowWater: number
  /** …until more than this many are free. */
  readonly highWater: number
}
export interface SpaceWatch {
  readonly low: () => boolean
  /** Free bytes at the last check; null before the first. */
  readonly free: () => number | null
  /** The disk refused a write, so space is low, whatever the number of free bytes. */
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
      // The disk refused a write after this was measured, so the number says nothing.
      if (refusals !== before) return
      if (free < marks.lowWater) set(true)
      else if (free > marks.highWater) set(false)
    },
  }
}
