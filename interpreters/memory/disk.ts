/**
 * A disk in memory: its content outlives the storage that is opened on it, as a directory outlives a process. What was
 * not durable when the process crashed is lost.
 */
import {
  Log,
  lineage,
  NO_START,
  origin,
  originOf,
  sameMember,
  startAfter,
  storedAfter,
  withSighting,
  type Configuration,
  type DurablePosition,
  type Member,
  type Persist,
  type Sighting,
  type Start,
  type StoredLog,
} from "../../core/index.ts"
import type { Identity, Storage, StorageHandlers } from "../contract.ts"
import type { RefusedDirectory, Sightings } from "../starts.ts"
import { nextTurn } from "../turns.ts"

/** The durable content as immutable values: keep them to restore a disk later, or to start a copy of it. */
export interface DiskContents extends StoredLog {
  readonly identity: Identity
  readonly start: Start
  readonly met: readonly Readonly<Sighting>[]
  readonly refused: RefusedDirectory | null
}

export type DiskAction =
  /**
   * The process crashes now. `keep`: how much of what was not durable had reached the disk anyway: nothing, everything,
   * or this many Persists.
   */
  | { readonly type: "crash"; readonly keep?: "none" | "all" | number }
  /** Nothing becomes durable until the disk resumes. */
  | { readonly type: "stall" }
  | { readonly type: "resume" }
  /** The next write fails, and with it the storage. */
  | { readonly type: "fail" }
  | { readonly type: "space"; readonly low: boolean }

export interface MemoryDiskOptions {
  /** The name of the node. */
  readonly name: string
  /** Its content. Default: empty, with a new incarnation. */
  readonly contents?: DiskContents
  /** A unique number below 2^48, for incarnations and starts. Default: random. */
  readonly word?: () => number
}
export interface MemoryDisk {
  /** Starts the node. Throws DiskInUse as long as the previous start was neither closed nor crashed. */
  readonly open: () => MemoryStorage
  readonly act: (action: DiskAction) => void
  readonly contents: () => DiskContents
  /** Makes the node a founder of a cluster. Call it before the disk is opened. */
  readonly found: (cluster: string, founding: Configuration) => void
}
export interface MemoryStorage extends Storage {
  readonly identity: Identity
  /** This start, recorded on the disk before any peer learns of it. */
  readonly start: Start
  /** The position that was durable in the log when it was opened. */
  readonly recovered: DurablePosition
  readonly sightings: Sightings
  readonly refused: RefusedDirectory | null
  /** A peer has seen a later start of this disk: this is recorded for every later start. */
  readonly refuse: (refused: RefusedDirectory) => void
  /** Everything that was handed over becomes durable first. */
  readonly close: () => void
}

/** Two processes must not write to one disk. */
export class DiskInUse extends Error {
  override readonly name = "DiskInUse"
  constructor(name: string) {
    super(
      `the disk of ${name} is open already. Nothing was changed: close that storage first, or crash it with { type: "crash" }`,
    )
  }
}
export class DiskFailed extends Error {
  override readonly name = "DiskFailed"
  constructor(name: string) {
    super(
      `the disk of ${name} was told to fail. What was reported as durable is on it; nothing more is written. Open it again`,
    )
  }
}

export const randomWord = (): number => {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high & 0xffff) * 2 ** 32 + low
}

const emptyDisk = (self: Member): DiskContents => ({
  identity: { self, cluster: null, founding: null },
  start: NO_START,
  met: [],
  refused: null,
  hardState: { term: 0, vote: null },
  log: Log.empty(origin),
})

export const makeMemoryDisk = ({ name, contents: given, word = randomWord }: MemoryDiskOptions): MemoryDisk => {
  let contents = given ?? emptyDisk({ name, incarnation: word().toString(16).padStart(12, "0") })
  /** Persists that were handed over and are not durable yet, in order. */
  let pending: Persist[] = []
  let bytes = 0
  /** The process that has the disk open. */
  let current: { handlers: StorageHandlers | null } | null = null
  let stalled = false
  let failing = false
  let low = false
  let resume = (): void => undefined

  const settle = (count: number): void => {
    for (const persist of pending.splice(0, count)) {
      contents = { ...contents, ...storedAfter(contents, persist) }
      bytes +=
        64 +
        persist.entries.reduce((sum, entry) => sum + (entry.kind === "command" ? entry.payload.bytes.length : 0), 0)
    }
  }
  const crash = (keep: "none" | "all" | number): void => {
    settle(keep === "none" ? 0 : keep === "all" ? pending.length : keep)
    pending = []
    current = null
    stalled = false
    failing = false
  }

  const open = (): MemoryStorage => {
    if (current !== null) throw new DiskInUse(name)
    const mine: { handlers: StorageHandlers | null } = { handlers: null }
    current = mine
    contents = { ...contents, start: startAfter(contents.start, word()), met: contents.met.map((one) => ({ ...one })) }
    const { start } = contents
    const recovered: DurablePosition = { term: contents.hardState.term, index: contents.log.lastIndex }
    const stored = { hardState: contents.hardState, base: contents.log.base, entries: contents.log.toArray() }
    let scheduled = false
    let syncs = 0

    const write = (): void => {
      scheduled = false
      if (current !== mine || stalled || pending.length === 0) return
      if (failing) {
        crash("none")
        mine.handlers?.failed(new DiskFailed(name))
        return
      }
      const last = pending.at(-1)
      settle(pending.length)
      syncs += 1
      if (last !== undefined) mine.handlers?.persisted(last.seq)
    }
    const schedule = (): void => {
      if (scheduled) return
      scheduled = true
      nextTurn(write)
    }
    resume = schedule
    const of = (member: Member): Sighting | null => contents.met.find((one) => sameMember(one.member, member)) ?? null
    return {
      identity: contents.identity,
      stored,
      start,
      recovered,
      get refused() {
        return contents.refused
      },
      refuse: (refused) => {
        if (current === mine) contents = { ...contents, refused: contents.refused ?? refused }
      },
      sightings: {
        of,
        record: (member, met, done) =>
          nextTurn(() => {
            if (current !== mine) return
            const known = of(member)
            if (known !== null && lineage(known.start, met) === "same") return done(known)
            const sighting: Sighting = { ...(known ?? { member, term: 0, index: 0 }), start: met }
            contents = { ...contents, met: withSighting(contents.met, sighting) }
            done(sighting)
          }),
      },
      attach: (handlers) => {
        mine.handlers = handlers
        if (low) nextTurn(() => current === mine && low && handlers.space?.(true))
      },
      persist: (persist) => {
        if (current !== mine) return
        pending.push(persist)
        schedule()
      },
      stats: () => ({ bytes: contents.log.bytes, segments: 1, syncs, bytesWritten: bytes }),
      close: () => {
        if (current !== mine) return
        crash(stalled || failing ? "none" : "all")
      },
    }
  }
  return {
    open,
    contents: () => ({ ...contents, met: contents.met.map((one) => ({ ...one })) }),
    found: (cluster, founding) => {
      const { identity } = contents
      if (identity.cluster !== null)
        throw new Error(
          `the disk of ${name} was founded in cluster ${identity.cluster} already. Nothing was changed: take a new disk`,
        )
      contents = { ...contents, identity: { ...identity, cluster, founding }, log: Log.empty(originOf(founding)) }
    },
    act: (action) => {
      switch (action.type) {
        case "crash":
          return crash(action.keep ?? "none")
        case "stall":
          stalled = true
          return
        case "resume":
          stalled = false
          return resume()
        case "fail":
          failing = true
          return
        case "space":
          low = action.low
          nextTurn(() => current?.handlers?.space?.(low))
      }
    },
  }
}

/** Makes empty disks the founders of one cluster, which then need not be formed. */
export const foundCluster = (disks: readonly MemoryDisk[], cluster = "memory"): void => {
  const founding: Configuration = {
    voters: disks.map((disk) => disk.contents().identity.self),
    outgoing: [],
    learners: [],
  }
  for (const disk of disks) disk.found(cluster, founding)
}
