/**
 * Inspects the data directory of a node that is not running, without changing it: its log, and its state in a temporary
 * copy.
 */
import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Entry, LogBase } from "../../core/index.ts"
import { inspectLog, nodeFiles, requireUnused, type Files, type LogFound } from "../../interpreters/file/index.ts"
import { damagedTables } from "../machine/leveldb/files.ts"
import { Directories } from "../machine/leveldb/directories.ts"
import { isShortage } from "../machine/leveldb/room.ts"
import { shadowOf } from "../machine/leveldb/shadow.ts"
import { openMachine, type KvMachine } from "../machine/index.ts"
import { NoNodeDirectory, NoRoomToLook } from "./errors.ts"
import { requireFinished } from "./switch.ts"

export interface NodeDirectory {
  readonly data: string
  readonly log: string
  readonly state: string
}
/** Fails with NoNodeDirectory, or RecoveryUnfinished. */
export const directoryAt = async (data: string): Promise<NodeDirectory> => {
  await requireFinished(data)
  const log = join(data, "log")
  if (!existsSync(log)) throw new NoNodeDirectory({ directory: data, found: "there is no log in it" })
  return { data, log, state: join(data, "state") }
}
/** Fails with DirectoryLocked while a node runs there. */
export const nodeDirectory = async (data: string, files: Files = nodeFiles): Promise<NodeDirectory> => {
  const at = await directoryAt(data)
  await requireUnused(files, at.log)
  return at
}
export const logIn = async ({ data, log }: NodeDirectory, files: Files = nodeFiles): Promise<LogFound> => {
  const found = await inspectLog(files, log)
  if (found === null) throw new NoNodeDirectory({ directory: data, found: "its log was never begun" })
  return found
}

export interface StateFound {
  /** The last entry that the state has executed; null: it is damaged, or was never made. */
  readonly position: LogBase | null
  /** The last entry in the snapshot that was restored here; 0: none was. */
  readonly beginsAt: number
  readonly damage: readonly string[]
}
export interface OpenState extends StateFound {
  /**
   * A machine on the copy: what it executes changes nothing in the directory. null: there is nothing that could be
   * opened.
   */
  readonly machine: KvMachine | null
  readonly close: () => Promise<void>
}

const withoutRoom = (needed: string, thrown: unknown): NoRoomToLook =>
  new NoRoomToLook({ directory: tmpdir(), needed, found: thrown instanceof Error ? thrown.message : String(thrown) })

/**
 * Opens the state in a copy. `startOver`: a damaged state begins again as an empty one in the copy; for a log that
 * holds every entry.
 */
export const openState = (
  at: NodeDirectory,
  identity: { readonly cluster: string; readonly node: string },
  startOver = false,
): Promise<OpenState> =>
  openIn(at, identity, startOver).catch((error: unknown) => {
    throw isShortage(error) ? withoutRoom(at.state, error) : error
  })

const openIn = async (
  at: NodeDirectory,
  identity: { readonly cluster: string; readonly node: string },
  startOver: boolean,
): Promise<OpenState> => {
  const current = await Directories.currentOf(at.state)
  const damage =
    typeof current === "string"
      ? (await damagedTables(join(at.state, current))).map((text) => `${join(at.state, current)}: ${text}`)
      : []
  const shadow = await shadowOf(at.state)
  if (shadow.empty && !startOver) {
    await shadow.remove()
    return { position: null, beginsAt: 0, damage, machine: null, close: () => Promise.resolve() }
  }
  const scope = Scope.makeUnsafe()
  const close = async (): Promise<void> => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await shadow.remove()
  }
  try {
    const { directory } = shadow
    const machine = await Effect.runPromise(
      // Who executes entries here wants to know that there is room for them.
      openMachine({ directory, ...identity, writeAfter: 0, ...(startOver ? { startOver: () => undefined } : {}) }).pipe(
        Scope.provide(scope),
      ),
    )
    const found = machine.stats().damaged
    const all = found !== null && damage.length === 0 ? [found.replaceAll(directory, at.state)] : damage
    return { position: machine.position(), beginsAt: machine.beginsAt(), damage: all, machine, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Executes entries as a node would, but does not wait for disk space. Fails as the machine does. */
export const executeEntries = (
  { state }: NodeDirectory,
  machine: KvMachine,
  entries: readonly Entry[],
): Promise<void> =>
  new Promise((resolve, reject) => {
    if (entries.length === 0) return resolve()
    machine.attach({
      applied: () => resolve(),
      damaged: reject,
      failed: reject,
      progress: () => {
        const { short } = machine.stats()
        if (short !== null) reject(withoutRoom(state, short))
      },
    })
    machine.apply(entries)
  })

/** The pieces of the machine's image, in order. */
export const imagePieces = async function* (machine: KvMachine): AsyncGenerator<Buffer, void> {
  const image = await machine.openBackup()
  try {
    for (let offset = 0, last = false; !last;) {
      const piece = await image.read(offset)
      offset += piece.bytes.length
      last = piece.last
      yield Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.byteLength)
    }
  } finally {
    await image.close()
  }
}
