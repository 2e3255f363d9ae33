/**
 * One LevelDB batch under construction: entries are executed until they have cost enough, and their changes are
 * collected.
 */
import type { Entry } from "../../../core/index.ts"
import { BATCH_COST, INLINE } from "../cost.ts"
import { type LevelDb, deleteItem, putItem, readItem, readValue, recordsOf } from "./database.ts"
import {
  DEADLINE,
  deadlineKey,
  deadlineOfKey,
  encodeMarker,
  encodePosition,
  encodeRemoval,
  generationRange,
  markerKey,
  positionKey,
  removalKey,
} from "../layout.ts"
import type { SessionRecords } from "./sessionRecords.ts"
import { Overlay } from "./overlay.ts"
import type { MachineOutcome, KvExecutor } from "../executor.ts"
import { Slices } from "../slices.ts"

/**
 * Expired keys removed per entry, and further ones per Tick: enough to keep up, little compared to the entry's own
 * work.
 */
const SWEEP_PER_ENTRY = 16
const SWEEP_PER_BATCH = 512
/** Work of this many bytes costs so much more than reading the clock that the clock may be read. */
const DEAR = 64 << 10

const EMPTY = Buffer.alloc(0)

/** What a batch is made from. */
export interface Target {
  readonly db: LevelDb
  readonly executor: KvExecutor
  readonly sessionRecords: SessionRecords
  /** The current overlay of the replica; each batch begins with a new one. */
  overlay: Overlay
}
/** The state after the previous batch. */
export interface Before {
  readonly generation: number
  readonly large: boolean
  readonly earliest: number
}
export interface Prepared {
  readonly batch: ReturnType<LevelDb["batch"]>
  /** The first of the given entries that is not in the batch. */
  readonly through: number
  readonly large: boolean
  readonly earliest: number
  readonly bytes: number
  /** Keys removed because their deadline had passed. */
  readonly expired: number
}

export class OutOfSequence extends Error {}

export const overlayOf = (db: LevelDb, generation: number): Overlay =>
  new Overlay(generation, {
    get: (of, key) => readItem(db, of, key),
    value: (of, key, item) => readValue(db, of, key, item),
  })

/** Executes entries, and collects their changes into one LevelDB batch. */
export const prepare = async (
  target: Target,
  before: Before,
  entries: readonly Entry[],
  from: number,
  outcomes: MachineOutcome[],
): Promise<Prepared> => {
  const { executor, db } = target
  const slices = new Slices()
  const overlay = overlayOf(db, before.generation)
  target.overlay = overlay
  const first = executor.base.index + 1
  let through = from
  for (let cost = 0; through < entries.length && cost < BATCH_COST; through++) {
    const entry = entries[through]
    if (entry === undefined || entry.index <= executor.base.index) continue
    if (entry.index !== executor.base.index + 1)
      throw new OutOfSequence(`entry ${entry.index} was handed over at position ${executor.base.index}`)
    const steps = executor.start(entry, outcomes)
    if (steps !== null) while (steps.next().done !== true) if (slices.due()) await slices.giveWay()
    const spent = executor.takeCost()
    cost += spent
    if (slices.due() || (spent > DEAR && slices.overdue())) await slices.giveWay()
  }
  const batch = db.batch()
  const { generation } = overlay
  const anew = before.generation !== generation
  let earliest = anew ? Infinity : before.earliest
  let large = before.large && !anew
  let bytes = 0
  let expired = 0
  if (earliest <= executor.base.time)
    ({ earliest, expired } = await sweep(
      target,
      batch,
      Math.min(SWEEP_PER_BATCH, (through - from) * SWEEP_PER_ENTRY + 64),
    ))
  for (const { key, item } of overlay.changes.values()) {
    if (item === null) deleteItem(batch, generation, key, large)
    else {
      const written = putItem(batch, generation, key, item, large)
      bytes += written
      if (item.length > INLINE) large = true
      if (item.expiry !== 0) {
        batch.put(deadlineKey(generation, item.expiry, key), EMPTY)
        earliest = Math.min(earliest, item.expiry)
      }
      if (written > DEAR && slices.overdue()) await slices.giveWay()
    }
    if (slices.due()) await slices.giveWay()
  }
  await target.sessionRecords.write(batch, executor.sessions, slices)
  for (const [part, index] of executor.removals.changes()) {
    batch.put(removalKey(part), encodeRemoval(part, index))
    if (slices.due()) await slices.giveWay()
  }
  batch.put(positionKey, encodePosition({ base: executor.base, generation, large }))
  if (executor.base.index >= first) batch.put(markerKey(first), encodeMarker(first, executor.base.index))
  return { batch, through, large, earliest, bytes, expired }
}

/**
 * Removes some expired keys, in order of deadline and key. Nobody can see whether it did: what commands and reads see
 * depends on the clock alone. Returns the earliest deadline that is left, and the number of removed keys.
 */
const sweep = async (
  { overlay, executor, db }: Target,
  batch: ReturnType<LevelDb["batch"]>,
  most: number,
): Promise<{ readonly earliest: number; readonly expired: number }> => {
  let left = most
  let expired = 0
  for await (const [indexKey] of recordsOf(db, { ...generationRange(DEADLINE, overlay.generation), limit: most + 1 })) {
    const { deadline, key } = deadlineOfKey(indexKey)
    if (deadline > executor.base.time || left-- === 0) return { earliest: deadline, expired }
    batch.del(indexKey)
    // The data record decides: the key may have been written again, with another deadline or none.
    if (overlay.get(key)?.expiry !== deadline) continue
    overlay.delete(key)
    expired++
  }
  return { earliest: Infinity, expired }
}
