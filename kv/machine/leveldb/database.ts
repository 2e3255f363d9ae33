/** One LevelDB directory: opening, checking what is in it, reading it into memory, and making it durable. */
import { open as openFile } from "node:fs/promises"
import type { ClassicLevel } from "classic-level"
import type { LogBase } from "../../../core/index.ts"
import {
  BEFORE_ALL,
  BadRecord,
  DATA,
  DEADLINE,
  FORMAT,
  READABLE,
  type StateIdentity,
  MARKER,
  type Position,
  REMOVAL,
  REPLIES,
  SESSION,
  VALUE,
  checkedValue,
  checkpointKey,
  dataKey,
  deadlineOfKey,
  decodeCheckpoint,
  decodeIdentity,
  decodeMarker,
  decodePosition,
  decodeRecord,
  decodeRemoval,
  encodeApart,
  encodeCheckpoint,
  encodeIdentity,
  encodePosition,
  encodeRecord,
  generationRange,
  identityKey,
  kindRange,
  markerKey,
  numberIn,
  positionKey,
  valueCrc,
  valueKey,
} from "../layout.ts"
import { INLINE } from "../cost.ts"
import { MachineOutdated } from "./errors.ts"
import { cutLogs } from "./files.ts"
import { RECLAIM, RECLAIM_LARGE } from "./pace.ts"
import { type Removal, Removals } from "../removals.ts"
import { type Batch, SessionRecords, SessionRecordsReader } from "./sessionRecords.ts"
import type { Item } from "../commands/view.ts"
import type { Sessions } from "../sessions.ts"

export type LevelDb = ClassicLevel<Buffer, Buffer>
interface Range {
  readonly gte: Buffer
  readonly lt: Buffer
  readonly limit?: number
}

/**
 * How much one turn converts from LevelDB's memory into ours: limited in bytes and in number, a few milliseconds each.
 */
export const READ_BYTES = 256 << 10
export const READ_COUNT = 512

/** Loading it takes as long as opening a log, which waits for the disk meanwhile: so a node begins early. */
export const loadLevel = (): Promise<typeof import("classic-level")> => import("classic-level")

export const openLevel = async (directory: string, create: boolean): Promise<LevelDb> => {
  const { ClassicLevel } = await loadLevel()
  // Uncompressed: a read copies instead of unpacking, and files.ts can check every block.
  const db: LevelDb = new ClassicLevel(directory, {
    keyEncoding: "buffer",
    valueEncoding: "buffer",
    compression: false,
    createIfMissing: create,
    errorIfExists: create,
  })
  await db.open()
  return db
}

/** The file names in a directory are durable only once the directory is. */
export const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await openFile(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Makes everything written so far durable. A LevelDB sync write is not enough: it fsyncs the current log file only, and
 * a log file that was closed when the memory was full may never have been synced. Compacting an empty range writes the
 * memory to a table, which LevelDB fsyncs, with its manifest, before it deletes the log. compactRange reports no error,
 * but the sync write after it does, because LevelDB refuses all writes once one has failed.
 */
export const makeDurable = async (db: LevelDb, checkpoint: number): Promise<void> => {
  await db.compactRange(BEFORE_ALL, BEFORE_ALL)
  await db.batch([{ type: "put", key: checkpointKey, value: encodeCheckpoint(checkpoint) }], { sync: true })
  await syncDirectory(db.location)
}

/** Reads a range in bounded steps, in order. */
export async function* recordsOf(db: LevelDb, range: Range): AsyncGenerator<readonly [Buffer, Buffer], void> {
  const iterator = db.iterator({ ...range, highWaterMarkBytes: READ_BYTES })
  try {
    for (;;) {
      const records = await iterator.nextv(READ_COUNT)
      if (records.length === 0) return
      yield* records
    }
  } finally {
    await iterator.close()
  }
}

/** The first record of the range, if any. */
export const firstOf = async (db: LevelDb, range: Range): Promise<readonly [Buffer, Buffer] | undefined> => {
  for await (const record of recordsOf(db, { ...range, limit: 1 })) return record
  return undefined
}

const required = (db: LevelDb, key: Buffer, what: string): Buffer => {
  const value = db.getSync(key)
  if (value === undefined) throw new BadRecord(`the ${what} is missing`)
  return value
}

/**
 * LevelDB opens without an error when records in the middle of its log are missing. Every batch left a marker; the
 * markers must join, without a gap, from the last checkpoint to the position.
 */
const checkMarkers = async (db: LevelDb, checkpoint: number, position: number): Promise<void> => {
  let reached = checkpoint
  for await (const [key, value] of recordsOf(db, kindRange(MARKER))) {
    const first = numberIn(key, 0)
    const last = decodeMarker(key, value)
    if (last <= checkpoint) continue
    if (first !== reached + 1 || last < first)
      throw new BadRecord(`the batch that starts with entry ${reached + 1} is missing`)
    reached = last
  }
  if (reached !== position) throw new BadRecord(`batches reach entry ${reached}, the position says ${position}`)
}

export const earliestIn = async (db: LevelDb, generation: number): Promise<number> => {
  const first = await firstOf(db, generationRange(DEADLINE, generation))
  return first === undefined ? Infinity : deadlineOfKey(first[0]).deadline
}

const readSessions = async (
  db: LevelDb,
  idle: number,
): Promise<{ readonly sessions: Sessions; readonly sessionRecords: SessionRecords }> => {
  const reader = new SessionRecordsReader()
  for await (const [key, value] of recordsOf(db, kindRange(SESSION))) reader.opening(key, value)
  for await (const [key, value] of recordsOf(db, kindRange(REPLIES))) {
    if (!reader.segment(key, value)) throw new BadRecord(`replies of session ${numberIn(key, 0)}, which does not exist`)
  }
  const sessions = reader.sessions(idle)
  if (sessions === null) throw new BadRecord("kept replies are missing")
  return { sessions, sessionRecords: new SessionRecords(reader.spans) }
}

const readRemovals = async (db: LevelDb): Promise<Removals> => {
  const found: Removal[] = []
  for await (const [key, value] of recordsOf(db, kindRange(REMOVAL))) found.push(decodeRemoval(key, value))
  return new Removals(found)
}

/** Everything in memory that mirrors the directory. */
export interface DatabaseContents {
  readonly db: LevelDb
  readonly position: Position
  /** The last entry in the snapshot that was restored here, or 0. */
  readonly begins: number
  readonly sessions: Sessions
  readonly sessionRecords: SessionRecords
  readonly removals: Removals
  readonly earliest: number
}

/** Without options LevelDB's API takes a shorter path. */
interface InSnapshot {
  readonly snapshot: ReturnType<LevelDb["snapshot"]>
}
const recordAt = (db: LevelDb, key: Buffer, options: InSnapshot | undefined): Buffer | undefined =>
  options === undefined ? db.getSync(key) : db.getSync(key, options)

/** Reads the large value of an item that was found in the same state. */
export const readValue = (db: LevelDb, generation: number, key: Buffer, item: Item, options?: InSnapshot): Buffer =>
  item.value ?? checkedValue(key, item, recordAt(db, valueKey(generation, key), options))
export const readItem = (db: LevelDb, generation: number, key: Buffer, options?: InSnapshot): Item | undefined => {
  const record = recordAt(db, dataKey(generation, key), options)
  return record === undefined ? undefined : decodeRecord(key, record)
}

/** The records of a key and its value. Returns their bytes. LevelDB copies what it is given. */
export const putItem = (batch: Batch, generation: number, key: Buffer, item: Item, large: boolean): number => {
  const { value } = item
  if (value !== null && value.length <= INLINE) {
    const record = encodeRecord(key, item, value)
    batch.put(dataKey(generation, key), record)
    if (large) batch.del(valueKey(generation, key))
    return record.length + key.length
  }
  if (value !== null) batch.put(valueKey(generation, key), value)
  batch.put(dataKey(generation, key), encodeApart(key, item, value === null ? item.crc : valueCrc(key, value)))
  return (value?.length ?? 0) + 2 * key.length
}
export const deleteItem = (batch: Batch, generation: number, key: Buffer, large: boolean): void => {
  batch.del(dataKey(generation, key))
  if (large) batch.del(valueKey(generation, key))
}

/**
 * Throws MachineOutdated, BadRecord, or LevelDB's own error, if the directory is not what a machine of this identity
 * wrote.
 */
export const readContents = async (db: LevelDb, identity: StateIdentity, idle: number): Promise<DatabaseContents> => {
  const found = decodeIdentity(required(db, identityKey, "identity marker"))
  if (!READABLE.has(found.format))
    throw new MachineOutdated({ directory: db.location, found: found.format, wanted: [...READABLE].join(", ") })
  if (found.cluster !== identity.cluster || found.node !== identity.node) {
    throw new BadRecord(
      `it belongs to node ${found.node} of cluster ${found.cluster}, not to node ${identity.node} of cluster ${identity.cluster}`,
    )
  }
  const position = decodePosition(required(db, positionKey, "position"))
  const checkpoint = decodeCheckpoint(required(db, checkpointKey, "checkpoint"))
  await checkMarkers(db, checkpoint, position.base.index)
  return {
    db,
    position,
    begins: found.begins,
    ...(await readSessions(db, idle)),
    removals: await readRemovals(db),
    earliest: await earliestIn(db, position.generation),
  }
}

/** Reopens a database that this process had open a moment ago. Throws BadRecord if it is damaged. */
export const reopen = async (directory: string, identity: StateIdentity, idle: number): Promise<DatabaseContents> => {
  await cutLogs(directory)
  const db = await openLevel(directory, false)
  try {
    return await readContents(db, identity, idle)
  } catch (thrown) {
    await db.close()
    throw thrown
  }
}

/** The records of a complete directory besides data and sessions; durable when this returns. */
export const sealDatabase = async (
  db: LevelDb,
  identity: StateIdentity,
  base: LogBase,
  large: boolean,
): Promise<void> => {
  await db
    .batch()
    .put(identityKey, encodeIdentity({ ...identity, format: FORMAT }, base.index))
    .put(positionKey, encodePosition({ base, generation: 0, large }))
    .write()
  await makeDurable(db, base.index)
}

/** Removes the markers that a checkpoint has made unnecessary. LevelDB iterates over them on its own thread. */
export const dropMarkers = (db: LevelDb, through: number): Promise<void> =>
  db.clear({ gte: markerKey(0), lt: markerKey(through + 1), limit: -1 })

/** The approximate size of the values: from the indexes of LevelDB's tables. */
export const dataBytesOf = async (db: LevelDb, generation: number): Promise<number> => {
  const sizes = await Promise.all(
    ([DATA, VALUE] as const)
      .map((kind) => generationRange(kind, generation))
      .map(({ gte, lt }) => db.approximateSize(gte, lt)),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Removes some records of earlier generations. Returns whether there were any. */
export const clearSome = async (db: LevelDb, generation: number): Promise<boolean> => {
  for (const kind of [DATA, VALUE, DEADLINE] as const) {
    const range = { gte: generationRange(kind, 0).gte, lt: generationRange(kind, generation).gte }
    if ((await firstOf(db, range)) === undefined) continue
    await db.clear({ ...range, limit: kind === VALUE ? RECLAIM_LARGE : RECLAIM })
    return true
  }
  return false
}
