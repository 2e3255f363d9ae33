/**
 * Allows one process per data directory. The lock is an empty file whose *name* identifies its holder: world, pid and
 * start time of the process. A process that wants the lock first creates its own file and then looks for others.
 * Whoever creates its file second sees the first one, so two processes can never both go on; at worst both give up. The
 * file of a dead process can be removed at any time, because its name is never used again.
 *
 * Whether a process is alive is only known inside one world (machine boot and pid namespace). A lock of another world
 * belongs to a container or to another host on a shared volume. There the holder renews the file's modification time
 * every second; if that did not change while we watched, the lock counts as abandoned.
 */
import { createHash } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { errnoOf, DirectoryLocked, LockLost } from "./errors.ts"
import type { Files } from "./files.ts"

const PREFIX = "LOCK."
/** Several times the interval at which a holder renews its lock. */
export const PATIENCE = 5_000
/** A holder that was told to stop needs a moment to finish. */
const GRACE = 1_000
const LOOK = 50

export interface DirectoryLock {
  /** Renews the modification time; fails with LockLost if another process removed the lock. */
  readonly renew: () => Promise<void>
  readonly release: () => Promise<void>
}

interface Holder {
  readonly hostId: string
  readonly pid: number
  readonly start: string
}
export const isLock = (name: string): boolean => name.startsWith(PREFIX)
const nameOf = (holder: Holder): string => `${PREFIX}${holder.hostId}.${holder.pid}.${holder.start}`
const holderOf = (name: string): Holder | undefined => {
  const [world, pid, start, ...rest] = name.slice(PREFIX.length).split(".")
  if (world === undefined || pid === undefined || start === undefined || rest.length > 0) return undefined
  return { hostId: world, pid: Number(pid), start }
}

/**
 * Error codes that mean the value is not known: not Linux, another user's process, or one that has just ended. No other
 * error may count as that, or a lock would look abandoned.
 */
const UNKNOWN_PROCESS_CODES: ReadonlySet<string | undefined> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"])
const readIfKnown = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (UNKNOWN_PROCESS_CODES.has(errnoOf(error))) return undefined
    throw error
  }
}
/** State and start time of a process, if the system tells them (Linux): fields 3 and 22 of its stat line. */
const processStat = (pid: number): { readonly dead: boolean; readonly start: string } | undefined => {
  const line = readIfKnown(() => readFileSync(`/proc/${pid}/stat`, "latin1"))
  const fields = line?.slice(line.lastIndexOf(")") + 2).split(" ")
  const state = fields?.[0]
  const start = fields?.[19]
  return state === undefined || start === undefined ? undefined : { dead: state === "Z" || state === "X", start }
}
const hostIdOf = (): string => {
  const boot = readIfKnown(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1")) ?? ""
  const pids = readIfKnown(() => readlinkSync("/proc/self/ns/pid")) ?? ""
  return createHash("sha256").update(`${hostname()}\n${boot}\n${pids}`).digest("hex").slice(0, 12)
}
const self = (): Holder => ({ hostId: hostIdOf(), pid: process.pid, start: processStat(process.pid)?.start ?? "0" })

const isRunning = ({ pid, start }: Holder): boolean => {
  const stat = processStat(pid)
  if (stat !== undefined) return !stat.dead && stat.start === start
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) !== "ESRCH"
  }
}

const isLeftBehind = async (
  files: Files,
  path: string,
  holder: Holder,
  own: Holder,
  patience: number,
): Promise<boolean> => {
  if (holder.hostId === own.hostId) {
    for (let waited = 0; isRunning(holder); waited += LOOK) {
      if (waited >= GRACE) return false
      await sleep(LOOK)
    }
    return true
  }
  const before = await files.touched(path)
  await sleep(patience)
  return (await files.touched(path)) === before
}

/**
 * The locks that this process itself holds. A file with its own name may also be left over from a crash that was
 * simulated in it.
 */
const held = new WeakMap<Files, Set<string>>()

const vanished = (error: unknown): boolean => {
  if (errnoOf(error) === "ENOENT") return true
  throw error
}
/** The other holder of the directory; null: none. `left` is called for each lock whose holder has ended. */
const otherHolder = async (
  files: Files,
  directory: string,
  own: Holder,
  patience: number,
  left: (path: string) => Promise<void>,
): Promise<string | null> => {
  for (const other of await files.list(directory)) {
    if (!isLock(other) || other === nameOf(own)) continue
    const holder = holderOf(other)
    const path = join(directory, other)
    if (holder === undefined || !(await isLeftBehind(files, path, holder, own, patience).catch(vanished)))
      return holder === undefined ? other : `pid ${holder.pid}, ${other}`
    await left(path)
  }
  return null
}
const THIS = "this process itself"
/** Fails with DirectoryLocked if a process has the directory open. Changes nothing there. */
export const requireUnused = async (files: Files, directory: string, patience = PATIENCE): Promise<void> => {
  const own = self()
  const holder =
    held.get(files)?.has(resolve(join(directory, nameOf(own)))) === true
      ? THIS
      : await otherHolder(files, directory, own, patience, () => Promise.resolve())
  if (holder !== null) throw new DirectoryLocked({ directory, holder })
}

export const takeLock = async (files: Files, directory: string, patience = PATIENCE): Promise<DirectoryLock> => {
  const own = self()
  const path = join(directory, nameOf(own))
  const mine = held.get(files) ?? new Set<string>()
  held.set(files, mine)
  const key = resolve(path)
  if (mine.has(key)) throw new DirectoryLocked({ directory, holder: THIS })
  mine.add(key)
  const giveUp = async (): Promise<void> => {
    mine.delete(key)
    await files.remove(path)
  }
  try {
    await (await files.open(path, "create")).close()
    const holder = await otherHolder(files, directory, own, patience, (left) =>
      files
        .remove(left)
        .catch(vanished)
        .then(() => undefined),
    )
    if (holder !== null) throw new DirectoryLocked({ directory, holder })
  } catch (error) {
    await giveUp().catch(() => undefined)
    throw error
  }
  return {
    renew: () =>
      files.touch(path).catch((error: unknown) => {
        throw errnoOf(error) === "ENOENT" ? new LockLost({ directory }) : error
      }),
    release: giveUp,
  }
}
