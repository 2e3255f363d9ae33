/** Simulated disks: what was persisted survives a crash; of outstanding writes a prefix may survive. */
import { Log, storedAfter, type Entry, type LogBase, type Persist } from "../../../core/index.ts"
import { schedule, type Fold } from "../state/fold.ts"
import { draw, drawBetween, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import type { DiskState, Keep, NodeState } from "../state/types.ts"

export const freshDisk = (base: LogBase): DiskState => ({
  hardState: { term: 0, vote: null },
  log: Log.empty(base),
  pending: [],
  speed: null,
  busyUntil: 0,
  stalled: false,
  fails: null,
  full: false,
  corrupt: false,
})

const applyPersist = (disk: DiskState, persist: Persist): void => {
  const { hardState, log } = storedAfter(disk, persist)
  disk.hardState = hardState
  disk.log = log
}

const planWrite = (fold: Fold, node: NodeState, seq: number): void => {
  const { world } = fold
  const { disk } = node
  const { min, max } = disk.speed ?? world.disk
  const delay = drawBetween(hashOfPlace(world.seed, RANDOM_KINDS.persist, node.slot, 0, node.persists++), 0, min, max)
  // Writes complete in order: a fast one does not overtake a slow one.
  disk.busyUntil = Math.max(disk.busyUntil, world.now + delay)
  schedule(fold, disk.busyUntil, { type: "persisted", node: node.name, boot: node.boot, seq, cause: fold.cause })
}

export const startPersist = (fold: Fold, node: NodeState, effect: Persist): void => {
  node.disk.pending.push(effect)
  if (!node.disk.stalled) planWrite(fold, node, effect.seq)
}

export const resumeDisk = (fold: Fold, node: NodeState): void => {
  const { disk } = node
  disk.stalled = false
  const last = disk.pending.at(-1)
  if (last !== undefined) planWrite(fold, node, last.seq)
}

/** Everything through `seq` is durable now; false if it already was, or the disk is stalled. */
export const markDurable = (disk: DiskState, seq: number): boolean => {
  if (disk.stalled) return false
  const { pending } = disk
  const before = pending.length
  for (let oldest = pending[0]; oldest !== undefined && oldest.seq <= seq; oldest = pending[0]) {
    applyPersist(disk, oldest)
    pending.shift()
  }
  return pending.length < before
}

/** A crash keeps a prefix of the outstanding writes. Recovery cuts off a half-written one. */
export const crashDisk = (fold: Fold, node: NodeState, keep: Keep): void => {
  const { disk } = node
  const { length } = disk.pending
  const kept =
    keep === "all"
      ? length
      : keep === "none"
        ? 0
        : keep === "torn"
          ? length - 1
          : draw(hashOfPlace(fold.world.seed, RANDOM_KINDS.crash, node.slot, 0, node.boot), 0, length + 1)
  disk.pending.slice(0, Math.max(kept, 0)).forEach((waiting) => applyPersist(disk, waiting))
  disk.pending = []
  disk.busyUntil = 0
  disk.stalled = false
  disk.fails = null
  if (keep === "corrupt") disk.corrupt = true
}

export const entriesOf = (disk: DiskState): readonly Entry[] => disk.log.toArray()

/** Bytes of log and hard state on the disk, as limits count them. */
export const storedBytes = (disk: DiskState): number => disk.log.bytes + 64
