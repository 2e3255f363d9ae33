/**
 * How a recovered directory replaces the old one. The switch happens inside the data directory, which itself is never
 * moved: it may be a mount point or a link, and its owner and mode must stay. The new data are made in
 * `recovery-STAMP.unfinished`. Renaming that to `recovery-STAMP` is the decision: from then on no node starts here, and
 * whatever stops the process, the next `recover apply` continues. Then `log` and `state` move to
 * `before-recovery-STAMP`, and the new ones to their places. If the process is killed before the decision, the next
 * command removes what is left.
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

/** Fails with RecoveryUnfinished if a switch was decided and is not complete. */
export const requireFinished = async (data: string): Promise<void> => {
  if ((await decidedIn(data)) !== null) throw new RecoveryUnfinished({ directory: data, found: null })
}

/** Fails with NotMovable before anything is changed. */
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

/** `make` fills the directory that it is given; `certain` fails if this process may no longer decide. */
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
      if (existsSync(to)) throw new Error(`${at} was created meanwhile and is in the way; move it elsewhere`)
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
/**
 * Completes a decided switch. Returns where the old data are now; null: none was decided here. May be repeated,
 * whatever stopped it.
 */
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
