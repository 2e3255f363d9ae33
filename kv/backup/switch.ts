/**
 * How a recovered directory takes the place of the old one: inside the data directory, which itself is never moved, for it may
 * be a mount point or a link, and its owner and mode are its owner's. The new one is made in `recovery-STAMP.unfinished`. That
 * name becomes `recovery-STAMP`, and with that rename it is decided: from then on no node starts here, and whatever stops the
 * process, the next `recover apply` goes on. Then `log` and `state` move to `before-recovery-STAMP`, and the new ones to their
 * places. What a kill leaves before the decision is removed by the next one.
 */
import { existsSync } from "node:fs"
import { lstat, mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { errnoOf } from "../../interpreters/file/index.ts"
import { syncDirectory } from "../machine/leveldb/database.ts"
import { NotMovable, RecoveryUnfinished } from "./errors.ts"

const DECIDED = /^recovery-([^.]+)$/
const UNDECIDED = /^recovery-[^.]+\.unfinished/
const PARTS = ["log", "state"] as const

/** Renames. */
export type Move = (from: string, to: string) => Promise<void>

const namesIn = (data: string): Promise<readonly string[]> =>
  readdir(data).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return []
    throw error
  })
const decidedIn = async (data: string): Promise<string | null> =>
  (await namesIn(data)).flatMap((name) => DECIDED.exec(name)?.[1] ?? [])[0] ?? null
const decidedAt = (data: string, stamp: string): string => join(data, `recovery-${stamp}`)
export const keptAt = (data: string, stamp: string): string => join(data, `before-recovery-${stamp}`)

/** Fails with RecoveryUnfinished while what stands here is in part the old and in part the new. */
export const requireFinished = async (data: string): Promise<void> => {
  if ((await decidedIn(data)) !== null) throw new RecoveryUnfinished({ directory: data, found: null })
}

/** Fails with NotMovable, before anything is changed. */
export const requireMovable = async (data: string): Promise<void> => {
  const { dev } = await stat(data)
  for (const part of PARTS) {
    const path = join(data, part)
    if (!existsSync(path)) continue
    const found = await lstat(path)
    if (found.isSymbolicLink()) throw new NotMovable({ path, directory: data, found: "a link" })
    if (found.dev !== dev) throw new NotMovable({ path, directory: data, found: "a mount point" })
  }
}

/** `make` makes the directory that it is given; `certain` fails if this process may not decide any more. */
export const decideRecovery = async <A>(
  data: string,
  stamp: string,
  make: (at: string) => Promise<A>,
  certain: () => Promise<void>,
  move: Move = rename,
): Promise<A> => {
  for (const name of await namesIn(data))
    if (UNDECIDED.test(name)) await rm(join(data, name), { recursive: true, force: true })
  const making = `${decidedAt(data, stamp)}.unfinished`
  try {
    const made = await make(making)
    await certain()
    await move(making, decidedAt(data, stamp))
    await syncDirectory(data)
    return made
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    throw error
  }
}

const putInPlace = async (data: string, made: string, kept: string, move: Move): Promise<void> => {
  await mkdir(kept, { recursive: true, mode: 0o700 })
  await syncDirectory(data)
  for (const part of PARTS) {
    const [from, at, to] = [join(made, part), join(data, part), join(kept, part)]
    if (!existsSync(from)) continue
    if (existsSync(at)) {
      if (existsSync(to)) throw new Error(`${at} came there meanwhile and is in the way; move it elsewhere`)
      await move(at, to)
      await syncDirectory(kept)
      await syncDirectory(data)
    }
    await move(from, at)
    await syncDirectory(data)
    await syncDirectory(made)
  }
  await rmdir(made)
  await syncDirectory(data)
}
/** Where the old directories are now; null: no recovery is decided here. May be repeated, whatever stopped it. */
export const finishRecovery = async (data: string, move: Move = rename): Promise<string | null> => {
  const stamp = await decidedIn(data)
  if (stamp === null) return null
  const kept = keptAt(data, stamp)
  try {
    await putInPlace(data, decidedAt(data, stamp), kept, move)
  } catch (error) {
    throw new RecoveryUnfinished({ directory: data, found: error instanceof Error ? error.message : String(error) })
  }
  return kept
}
