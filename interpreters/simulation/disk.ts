/** A simulated disk: what was persisted survives a crash, what was not may, in order, or may not. */
import { Log, type Entry, type HardState, type LogBase, type Persist } from "../../core/index.ts"
import type { Random } from "./random.ts"

export interface Disk {
  hardState: HardState
  log: Log
  /** Handed over, not yet durable. */
  pending: Persist[]
}

export const makeDisk = (base: LogBase): Disk => ({ hardState: { term: 0, vote: null }, log: Log.empty(base), pending: [] })

/** What a Persist does to stored state; the same rule that the file interpreter follows when it reads its log. */
export const applyPersist = (disk: Disk, persist: Persist): void => {
  if (persist.hardState !== null) disk.hardState = persist.hardState
  if (persist.truncateFrom !== null) disk.log = disk.log.truncateFrom(persist.truncateFrom)
  if (persist.base !== null) {
    const { base } = persist
    // The core orders a log that disagrees with the base to be truncated in the same Persist.
    disk.log = disk.log.lastIndex >= base.index ? disk.log.trim(base) : Log.empty(base)
  }
  if (persist.entries.length > 0) disk.log = disk.log.append(persist.entries)
}

/** Everything through `seq` is durable now. */
export const settle = (disk: Disk, seq: number): void => {
  while (disk.pending[0] !== undefined && disk.pending[0].seq <= seq) {
    const persist = disk.pending.shift()
    if (persist !== undefined) applyPersist(disk, persist)
  }
}

/** A crash keeps any prefix of what was on its way. */
export const crashDisk = (disk: Disk, random: Random): void => {
  const kept = random.below(disk.pending.length + 1)
  for (const persist of disk.pending.slice(0, kept)) applyPersist(disk, persist)
  disk.pending = []
}

export const entriesOf = (disk: Disk): readonly Entry[] => disk.log.toArray()
