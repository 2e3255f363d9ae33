/** Stable storage of one node in a directory: identity, write-ahead log, lock, free-space watch. */
import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  emptyConfiguration,
  startAfter,
  type Configuration,
  type LogBase,
  type DurablePosition,
  type Member,
  type Start,
} from "../../core/index.ts"
import type { Identity, Storage, Stored } from "../contract.ts"
import type { Histogram } from "../metrics/index.ts"
import type { RefusedDirectory, Sightings } from "../starts.ts"
import {
  IdentityUnreadable,
  isDiskFull,
  isOutOfDescriptors,
  LogCorrupted,
  openingError,
  WrongCluster,
  WrongNode,
  type StorageError,
} from "./errors.ts"
import { nodeFiles, type Files } from "./files.ts"
import { EMPTY_LOG } from "./frame.ts"
import {
  encodeFormat,
  keepFormat,
  readFormat,
  unstartedFormat,
  writeFormat,
  type DirectoryFormat,
  type FormatKeeper,
} from "./identity.ts"
import { takeLock, type DirectoryLock } from "./lock.ts"
import { recover, type Recovery } from "./recovery.ts"
import { createSegment, segmentNumber } from "./segment.ts"
import { durableSightings } from "./sightings.ts"
import { watchSpace, type SpaceMarks } from "./space.ts"
import { failureOf, Wal, type Pending } from "./wal.ts"
import { watchDirectory } from "./watch.ts"

export * from "./errors.ts"
export { nodeFiles, type Files, type OpenFile, type OpenMode } from "./files.ts"
export { readFormat, type DirectoryFormat } from "./identity.ts"
export { inspectLog, type LogDamage, type LogFound, type SegmentFound } from "./inspection.ts"
export { createLog, type CreatedLog } from "./createLog.ts"
export { isLock, requireUnused, takeLock, type DirectoryLock } from "./lock.ts"
export type { SpaceMarks } from "./space.ts"

/**
 * Moves or copies the content of the directory elsewhere. False: it did not, and the damage is reported as an error.
 */
export type SetAsideDamaged = (damage: LogCorrupted, format: DirectoryFormat) => Promise<boolean>

export interface FileStorageOptions {
  readonly directory: string
  /** The node's own identity. A directory made under another name is refused. */
  readonly name: string
  /** If given, a directory founded in another cluster is refused. */
  readonly cluster?: string
  readonly files?: Files
  /** A segment is closed before it grows beyond this, unless a single batch is larger. Default 16 MB. */
  readonly segmentBytes?: number
  /** Default: low below 256 MB of free space, no longer low above 512 MB. */
  readonly space?: SpaceMarks
  /** Milliseconds between checks of the free space, which also renew the lock. Default 1,000. */
  readonly watchInterval?: number
  /**
   * Called with the reason why writes to the log wait, unless they wait for free space, and with other problems of the
   * directory.
   */
  readonly waiting?: (text: string) => void
  /** Called while the log is read: bytes read so far, and the file that is read next. */
  readonly reading?: (bytes: number, file: number, files: number) => void
  /** Called once the directory is locked, before anything is read or written. If it rejects, opening fails with that. */
  readonly locked?: () => Promise<void>
  /**
   * Called when a record of the log is damaged. Once it has saved all content elsewhere, the directory is reset: an
   * empty log and a new incarnation, which has promised nothing. It still belongs to the same cluster, so it founds
   * none.
   */
  readonly setAsideDamaged?: SetAsideDamaged
}

export interface FileStorage extends Storage {
  /** What was stored at the start. The entries are released with the first Persist. */
  readonly stored: Stored
  readonly identity: Identity
  /** The number of this start, durable before any peer learns it. */
  readonly start: Start
  /** What the log had acknowledged at the start. */
  readonly recovered: DurablePosition
  readonly sightings: Sightings
  /** Not null: a peer has seen a later start of this directory. */
  readonly refused: RefusedDirectory | null
  /** The oldest write that is not durable yet. */
  readonly pending: () => Pending
  /** For metrics. */
  readonly disk: () => { readonly syncTimes: Histogram; readonly free: number | null; readonly lowWater: number }
  /** Records `refused` for every later start. */
  readonly refuse: (refused: RefusedDirectory) => Effect.Effect<void, StorageError>
  /**
   * Writes the cluster's identity and first configuration, once, before the node starts: `stored.base` carries the
   * configuration from then on. Repeating it changes nothing; other values are refused.
   */
  readonly found: (cluster: string, founding: Configuration) => Effect.Effect<void, StorageError>
}

const MB = 1 << 20
/** How often the length of a growing log is recorded. A clean stop records it too. */
const MARK_MS = 10_000

/** Closing waits for outstanding writes, then releases the lock. */
export const openFileStorage = (options: FileStorageOptions): Effect.Effect<FileStorage, StorageError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({ try: () => open(options), catch: (cause) => openingError(options.directory, cause) }),
      ({ close }) => Effect.promise(close),
    ),
    ({ storage }) => storage,
  )

interface Opened {
  readonly storage: FileStorage
  readonly close: () => Promise<void>
}

const open = async (options: FileStorageOptions): Promise<Opened> => {
  const { directory, files = nodeFiles } = options
  await files.makeDirectory(directory)
  const lock = await takeLock(files, directory)
  try {
    await options.locked?.()
    return await openLocked(options, files, lock)
  } catch (error) {
    // The error of opening is the one to report.
    await lock.release().catch(() => undefined)
    throw error
  }
}

const openLocked = async (options: FileStorageOptions, files: Files, lock: DirectoryLock): Promise<Opened> => {
  const {
    directory,
    segmentBytes = 16 * MB,
    space: marks = { lowWater: 256 * MB, highWater: 512 * MB },
    watchInterval = 1_000,
  } = options
  const format = await openFormat(options, files)
  const read = (): Promise<Recovery> => recover(files, directory, format.current(), options.reading)
  const { stored, summary, segments, file } = await read().catch(async (error: unknown) => {
    if (!(error instanceof LogCorrupted) || (await options.setAsideDamaged?.(error, format.current())) !== true)
      throw error
    await format.update(asNewMember)
    await firstSegment(files, directory, format)
    return read()
  })
  let entries = stored.entries

  let report = (_low: boolean): void => undefined
  const space = watchSpace(files, directory, marks, (low) => report(low))
  const waiting = options.waiting ?? (() => undefined)
  const wal = new Wal({ files, directory, segmentBytes, format, segments, file, summary }, space.refused, waiting)
  const sightings = durableSightings(format, (cause) => wal.stop(failureOf(directory, cause)))
  format.addToUpdates(() => ({ synced: wal.synced, met: sightings.all() }))
  const recovered: DurablePosition = { term: summary.hardState.term, index: summary.lastIndex }
  try {
    await format.update((current) => ({
      ...current,
      start: startAfter(current.start, randomBytes(6).readUIntBE(0, 6)),
    }))
  } catch (error) {
    await wal.close()
    throw error
  }
  const directoryWatch = watchDirectory({ files, directory, lock, space, wal, format, waiting })
  await directoryWatch.measure()
  /** Records the log's length, so that a later start notices if the end of the log is lost. */
  const mark = (): Promise<void> => format.update((current) => ({ ...current }))
  const grown = (): boolean =>
    format.current().synced.segment !== wal.synced.segment || format.current().synced.bytes !== wal.synced.bytes
  let marked = performance.now()
  let lost = false

  const watch = async (): Promise<void> => {
    const error = lost ? null : await directoryWatch.look()
    if (error !== null) {
      lost = true
      wal.stop(error)
    }
    if (lost) return
    // A disk that refuses writes is full, whatever it reports as free.
    if (!wal.blocked) await directoryWatch.measure()
    wal.retry()
    if (performance.now() - marked > MARK_MS && grown()) {
      marked = performance.now()
      await mark().catch(
        (error: unknown) => !isDiskFull(error) && !isOutOfDescriptors(error) && wal.stop(failureOf(directory, error)),
      )
    }
  }
  let watching: Promise<void> | null = null
  const timer = setInterval(() => {
    watching ??= watch().finally(() => {
      watching = null
    })
  }, watchInterval).unref()

  const storage: FileStorage = {
    get stored(): Stored {
      return { hardState: stored.hardState, base: foundedBase(stored.base, format.current().identity), entries }
    },
    get identity(): Identity {
      return format.current().identity
    },
    get start(): Start {
      return format.current().start
    },
    recovered,
    sightings,
    get refused(): RefusedDirectory | null {
      return format.current().refused
    },
    refuse: (refused) =>
      // The process that lost the lock may be the superseded one: then the directory belongs to the other process.
      Effect.tryPromise({
        try: () =>
          lock
            .renew()
            .then(() => format.update((current) => (current.refused === null ? { ...current, refused } : current))),
        catch: (cause) => openingError(directory, cause),
      }),
    attach: (handlers) => {
      wal.attach(handlers)
      report = (low) => handlers.space?.(low)
      if (space.low()) setImmediate(() => space.low() && report(true))
    },
    persist: (persist) => {
      entries = []
      wal.persist(persist)
    },
    pending: () => wal.pending,
    disk: () => ({ syncTimes: wal.syncTimes, free: space.free(), lowWater: marks.lowWater }),
    stats: () => wal.stats(),
    found: (cluster, founding) =>
      Effect.tryPromise({
        try: () => found(directory, format, cluster, founding),
        catch: (cause) => openingError(directory, cause),
      }),
  }
  const close = async (): Promise<void> => {
    clearInterval(timer)
    await watching
    await wal.close()
    // Without the lock the file belongs to another process. If it cannot be written, the length in it is older and
    // smaller, which is safe.
    if (!lost && (await directoryWatch.look()) === null) await mark().catch(() => undefined)
    // Only the lock of an ended process stays behind: the next start removes it.
    await lock.release().catch(() => undefined)
  }
  return { storage, close }
}

/** Until a base has been written, the log starts from the founding configuration. */
const foundedBase = (base: LogBase, { founding }: Identity): LogBase =>
  founding === null || base.configuration.voters.length > 0 ? base : { ...base, configuration: founding }

/** Reads and checks FORMAT; in an empty directory it is created, with the first segment. */
const openFormat = async (options: FileStorageOptions, files: Files): Promise<FormatKeeper> => {
  const { directory, name, cluster } = options
  const format = (await readFormat(files, directory)) ?? (await newFormat(options, files))
  const { identity } = format
  if (identity.self.name !== name) throw new WrongNode({ directory, wanted: name, found: identity.self.name })
  if (cluster !== undefined && identity.cluster !== null && identity.cluster !== cluster) {
    throw new WrongCluster({ directory, wanted: cluster, found: identity.cluster })
  }
  const keeper = keepFormat(files, directory, format)
  // Creating it was never completed, so nothing was ever acknowledged from this directory.
  if (format.last === 0) await firstSegment(files, directory, keeper)
  return keeper
}
const firstSegment = async (files: Files, directory: string, keeper: FormatKeeper): Promise<void> => {
  const { file } = await createSegment(files, directory, keeper.current().first, EMPTY_LOG)
  await file.close()
  await keeper.update((current) => ({ ...current, last: current.first }))
}

const newMember = (name: string): Member => ({ name, incarnation: randomBytes(8).toString("hex") })
/**
 * The directory after damage: the sightings of peers stay valid. Segments that are no longer listed are removed when
 * the directory is read next.
 */
const asNewMember = ({ identity, last, met }: DirectoryFormat): DirectoryFormat => ({
  ...unstartedFormat({ self: newMember(identity.self.name), cluster: identity.cluster, founding: emptyConfiguration }),
  first: last + 1,
  met,
})

const newFormat = async ({ directory, name }: FileStorageOptions, files: Files): Promise<DirectoryFormat> => {
  const names = await files.list(directory)
  if (names.some((other) => segmentNumber(other) !== undefined)) {
    throw new IdentityUnreadable({
      file: `${directory}/FORMAT`,
      reason: "it is missing, although the directory holds a log",
    })
  }
  const format = unstartedFormat({ self: newMember(name), cluster: null, founding: null })
  await writeFormat(files, directory, format)
  return format
}

const found = async (
  directory: string,
  format: FormatKeeper,
  cluster: string,
  founding: Configuration,
): Promise<void> => {
  const founded = (current: DirectoryFormat): DirectoryFormat => ({
    ...current,
    identity: { ...current.identity, cluster, founding },
  })
  const current = format.current()
  if (current.identity.cluster === null) await format.update(founded)
  else if (!encodeFormat(current).equals(encodeFormat(founded(current)))) {
    throw new WrongCluster({ directory, wanted: cluster, found: current.identity.cluster })
  }
}
