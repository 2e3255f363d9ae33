/** A full disk, or no free descriptors: not damage, and temporary. How to recognise it, and to wait for its end. */
import { statfs } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"

const CODES: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"])
/** LevelDB passes on the system's error texts. */
const WORDS = /No space left on device|Disk quota exceeded|Too many open files/i

export const isShortage = (thrown: unknown): boolean => {
  if (!(thrown instanceof Error)) return false
  return ("code" in thrown && CODES.has(thrown.code)) || WORDS.test(thrown.message) || isShortage(thrown.cause)
}

/** How often it is tried again, in milliseconds. */
const ROOM_EVERY = 500
/** Opening a database rewrites its log as a table: with less room than this it is not tried. */
const ROOM = 16 << 20

const diskHasRoom = async (directory: string): Promise<boolean> => {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize >= ROOM
}
/** Ends early, without an error, when the signal aborts. */
const pause = (millis: number, signal: AbortSignal): Promise<void> =>
  sleep(millis, undefined, { signal, ref: false }).catch(() => undefined)

/** Tries until there is room for it; null: the signal ended it. `waiting` is called before each try. */
export const onceThereIsRoom = async <A>(
  directory: string,
  signal: AbortSignal,
  waiting: () => void,
  attempt: () => Promise<A>,
): Promise<A | null> => {
  for (;;) {
    await pause(ROOM_EVERY, signal)
    if (signal.aborted) return null
    waiting()
    try {
      if (await diskHasRoom(directory)) return await attempt()
    } catch (thrown) {
      if (!isShortage(thrown)) throw thrown
    }
  }
}
