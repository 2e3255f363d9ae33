/**
 * Execution in memory, and the batch that writes to LevelDB what was executed since the last one. A batch holds many
 * entries, because each costs a write of LevelDB's and some records of its own, and what is written twice in it is
 * written once.
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
import { Overlay, overlayOn } from "./overlay.ts"
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

/** What was executed and is visible, but not written yet. */
export interface Unwritten {
  readonly overlay: Overlay
  /** They are executed again if writing fails for want of room. */
  readonly entries: Entry[]
  cost: number
}
/** What entries are executed on, and what a batch is made from. */
export interface Target {
  readonly db: LevelDb
  readonly executor: KvExecutor
  readonly sessionRecords: SessionRecords
  unwritten: Unwritten
  /** What the entries that are being executed have changed: nobody sees it yet. */
  overlay: Overlay
}
/** The state as it is written. */
export interface WrittenState {
  readonly generation: number
  readonly large: boolean
}
export interface Prepared {
  readonly batch: ReturnType<LevelDb["batch"]>
  readonly large: boolean
  readonly earliest: number
  readonly bytes: number
  /** Keys removed because their deadline had passed. */
  readonly expired: number
}

export class OutOfSequence extends Error {}

/** All is written. */
export const nothingUnwritten = (db: LevelDb, generation: number, earliest: number): Unwritten => ({
  overlay: new Overlay(generation, earliest, {
    get: (of, key) => readItem(db, of, key),
    value: (of, key, item) => readValue(db, of, key, item),
  }),
  entries: [],
  cost: 0,
})

/** A batch of this cost is written before anything more is executed. */
export const isFull = ({ cost }: Unwritten): boolean => cost >= BATCH_COST

/**
 * Executes entries from `from` on, until all are executed or a batch is full, into an overlay that nobody sees. Returns
 * the place of the next one.
 */
export const execute = async (
  target: Target,
  entries: readonly Entry[],
  from: number,
  outcomes: MachineOutcome[],
): Promise<number> => {
  const { executor, unwritten } = target
  const slices = new Slices()
  target.overlay = overlayOn(unwritten.overlay)
  let through = from
  for (; through < entries.length && !isFull(unwritten); through++) {
    const entry = entries[through]
    if (entry === undefined || entry.index <= executor.base.index) continue
    if (entry.index !== executor.base.index + 1)
      throw new OutOfSequence(`entry ${entry.index} was handed over at position ${executor.base.index}`)
    unwritten.entries.push(entry)
    const steps = executor.start(entry, outcomes)
    if (steps !== null) while (steps.next().done !== true) if (slices.due()) await slices.giveWay()
    const spent = executor.takeCost()
    unwritten.cost += spent
    if (slices.due() || (spent > DEAR && slices.overdue())) await slices.giveWay()
  }
  return through
}

/** One LevelDB batch of all that is not written yet. */
export const prepare = async (target: Target, written: WrittenState): Promise<Prepared> => {
  const { executor, db, unwritten } = target
  const { overlay, entries } = unwritten
  const slices = new Slices()
  const batch = db.batch()
  const { generation } = overlay
  let { earliest } = overlay
  let large = written.large && written.generation === generation
  let bytes = 0
  let expired = 0
  if (earliest <= executor.base.time)
    ({ earliest, expired } = await sweep(
      target,
      batch,
      Math.min(SWEEP_PER_BATCH, entries.length * SWEEP_PER_ENTRY + 64),
    ))
  for (const { key, item } of overlay.changes.values()) {
    if (item === null) deleteItem(batch, generation, key, large)
    else {
      const length = putItem(batch, generation, key, item, large)
      bytes += length
      if (item.length > INLINE) large = true
      if (item.expiry !== 0) {
        batch.put(deadlineKey(generation, item.expiry, key), EMPTY)
        earliest = Math.min(earliest, item.expiry)
      }
      if (length > DEAR && slices.overdue()) await slices.giveWay()
    }
    if (slices.due()) await slices.giveWay()
  }
  await target.sessionRecords.write(batch, executor.sessions, slices)
  for (const [part, index] of executor.removals.changes()) {
    batch.put(removalKey(part), encodeRemoval(part, index))
    if (slices.due()) await slices.giveWay()
  }
  batch.put(positionKey, encodePosition({ base: executor.base, generation, large }))
  const [first] = entries
  if (first !== undefined) batch.put(markerKey(first.index), encodeMarker(first.index, executor.base.index))
  return { batch, large, earliest, bytes, expired }
}

/**
 * Removes some expired keys, in order of deadline and key. Nobody can see whether it did: what commands and reads see
 * depends on the clock alone. Returns the earliest deadline that is left, and the number of removed keys.
 */
const sweep = async (
  { unwritten: { overlay }, executor, db }: Target,
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
