/** Opens a machine: finds its directory, checks it, or creates a first one; closes it with the scope. */
import { dirname, resolve } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type DatabaseContents, openLevel, readContents, sealDatabase, syncDirectory } from "./database.ts"
import { Directories } from "./directories.ts"
import {
  MachineDamaged,
  type MachineError,
  MachineLocked,
  MachineOutdated,
  MachineUnusable,
  isDamage,
  isRefusal,
} from "./errors.ts"
import { checkTables, cutLogs } from "./files.ts"
import { FORMAT, type StateIdentity } from "../layout.ts"
import type { KvMachine } from "../contract.ts"
import { LevelMachine } from "./machine.ts"
import { origin } from "../../../core/index.ts"
import { isShortage } from "./room.ts"
import { DEFAULT_IDLE } from "../sessions.ts"

export interface MachineOptions {
  /** The machine's own directory; created if necessary. */
  readonly directory: string
  /** Data that were written for another cluster or node are not served. */
  readonly cluster: string
  readonly node: string
  /** Milliseconds on the replicated clock after which an idle session ends. The same on every node of a cluster. */
  readonly sessionIdle?: number
  /**
   * Milliseconds after which what was executed is written to LevelDB (10): what is executed meanwhile shares a write. 0: with
   * each call of `apply`. Until then a crash leaves it to the log.
   */
  readonly writeAfter?: number
  /** Logs one line, for people. */
  readonly report?: (text: string) => void
  /** Called while the tables are checked: bytes so far, and all bytes. */
  readonly checking?: (bytes: number, of: number) => void
  /**
   * Given if the log holds every entry from the first one on, so that damaged data can be rebuilt from it. Then the
   * machine moves them aside, starts again at position 0, and calls this with the damage and the place where they are
   * kept.
   */
  readonly startOver?: (damage: MachineDamaged, kept: string) => void
}

const codeOf = (thrown: unknown): unknown => (thrown instanceof Error && "code" in thrown ? thrown.code : undefined)
const isAbsent = (thrown: unknown): boolean => codeOf(thrown) === "ENOENT"
const isLocked = (thrown: unknown): boolean =>
  thrown instanceof Error && (codeOf(thrown) === "LEVEL_LOCKED" || codeOf(thrown.cause) === "LEVEL_LOCKED")
interface Opened {
  readonly name: string
  readonly contents: DatabaseContents
}
const create = async (directories: Directories, identity: StateIdentity, idle: number): Promise<Opened> => {
  const name = directories.fresh()
  const db = await openLevel(directories.path(name), true)
  await sealDatabase(db, identity, origin, false)
  await syncDirectory(directories.root)
  await syncDirectory(dirname(resolve(directories.root)))
  await directories.point(name)
  return { name, contents: await readContents(db, identity, idle) }
}

const openCurrent = async (
  directories: Directories,
  name: string,
  identity: StateIdentity,
  idle: number,
  checking: MachineOptions["checking"],
): Promise<Opened | MachineDamaged> => {
  const directory = directories.path(name)
  const damaged = (found: string, cause?: unknown): MachineDamaged =>
    new MachineDamaged({ directory, found, ...(cause === undefined ? {} : { cause }) })
  let db
  try {
    await cutLogs(directory)
    db = await openLevel(directory, false)
  } catch (thrown) {
    if (isLocked(thrown) || isShortage(thrown) || isRefusal(thrown) || !(isDamage(thrown) || isAbsent(thrown)))
      throw thrown
    return damaged("LevelDB cannot open them", thrown)
  }
  try {
    await checkTables(directory, { checking })
    return { name, contents: await readContents(db, identity, idle) }
  } catch (thrown) {
    await db.close()
    if (isShortage(thrown) || isRefusal(thrown) || !(isDamage(thrown) || isAbsent(thrown))) throw thrown
    return thrown instanceof Error && thrown.name === "BadRecord"
      ? damaged(thrown.message)
      : damaged("they cannot be read", thrown)
  }
}

const open = async (options: MachineOptions): Promise<LevelMachine> => {
  const { sessionIdle: idle = DEFAULT_IDLE, writeAfter = 10, report = () => undefined } = options
  const identity: StateIdentity = { format: FORMAT, cluster: options.cluster, node: options.node }
  const { directories, current } = await Directories.open(options.directory)
  const begin = (): Promise<Opened> => create(directories, identity, idle)
  let found: Opened | MachineDamaged
  if (current === null) found = await begin()
  else if (current === undefined)
    found = new MachineDamaged({
      directory: options.directory,
      found: "the file that names the current database is unreadable",
    })
  else found = await openCurrent(directories, current, identity, idle, options.checking)
  if (found instanceof MachineDamaged) {
    if (options.startOver === undefined) {
      if (current !== undefined) await directories.removeOthers(current ?? undefined)
      return new LevelMachine(directories, identity, idle, found, report, writeAfter)
    }
    const damage = found
    const kept = await directories.setAside()
    found = await begin()
    options.startOver(damage, kept)
  }
  await directories.removeOthers(found.name)
  return new LevelMachine(directories, identity, idle, found, report, writeAfter)
}

/**
 * Damage is not an error here: the machine opens with position() null, serves no data, and accepts a snapshot from a
 * peer.
 */
export const openMachine = (options: MachineOptions): Effect.Effect<KvMachine, MachineError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => open(options),
      catch: (cause): MachineError =>
        cause instanceof MachineOutdated
          ? cause
          : isLocked(cause)
            ? new MachineLocked({ directory: options.directory })
            : new MachineUnusable({ directory: options.directory, action: "open the database", cause }),
    }),
    (machine) => Effect.promise(() => machine.close()),
  )
