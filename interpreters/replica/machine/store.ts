/** Where a replica keeps its one snapshot, and puts aside the one that it receives: a directory, or memory. */
import * as fs from "node:fs/promises"
import { join } from "node:path"

/** A snapshot that stays readable until it is closed, also when another has replaced it. */
export interface Snapshot {
  readonly size: number
  /** Bytes from `offset` on: as many as asked for, fewer only at the end. */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>
  readonly close: () => Promise<void>
}
/** A snapshot that is being written. It counts only once `commit` has resolved; then it is durable, and the one there is. */
export interface Draft {
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** To read it before it counts. */
  readonly look: () => Promise<Snapshot>
  readonly commit: () => Promise<void>
  readonly discard: () => Promise<void>
}
export interface SnapshotStore {
  /** null: there is none. */
  readonly open: () => Promise<Snapshot | null>
  /** An earlier draft of that name is gone. */
  readonly begin: (name: "own" | "received") => Promise<Draft>
  /** What stands is damaged: kept under another name, for people. Answers where. */
  readonly setAside: () => Promise<string>
}

const MODE = 0o600

const openFile = async (path: string): Promise<Snapshot> => {
  const file = await fs.open(path, "r")
  const { size } = await file.stat()
  return {
    size,
    read: async (offset, length) => {
      const buffer = Buffer.allocUnsafe(Math.min(length, Math.max(0, size - offset)))
      let at = 0
      while (at < buffer.length) {
        const { bytesRead } = await file.read(buffer, at, buffer.length - at, offset + at)
        if (bytesRead === 0) break
        at += bytesRead
      }
      return buffer.subarray(0, at)
    },
    close: () => file.close(),
  }
}
const isAbsent = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await fs.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Files `snapshot`, `snapshot.own` and `snapshot.received` of the directory, which is made if it is not there. */
export const directoryStore = (directory: string): SnapshotStore => {
  const standing = join(directory, "snapshot")
  return {
    open: async () => {
      await fs.mkdir(directory, { recursive: true, mode: 0o700 })
      return openFile(standing).catch((error: unknown) => {
        if (isAbsent(error)) return null
        throw error
      })
    },
    begin: async (name) => {
      const path = join(directory, `snapshot.${name}`)
      const file = await fs.open(path, "w", MODE)
      return {
        write: async (bytes) => {
          let at = 0
          while (at < bytes.length) at += (await file.write(bytes, at)).bytesWritten
        },
        look: () => openFile(path),
        commit: async () => {
          await file.sync()
          await file.close()
          await fs.rename(path, standing)
          await syncDirectory(directory)
        },
        discard: async () => {
          await file.close()
          await fs.rm(path, { force: true })
        },
      }
    },
    setAside: async () => {
      const aside = join(directory, "snapshot.damaged")
      await fs.rename(standing, aside)
      await syncDirectory(directory)
      return aside
    },
  }
}

const inMemory = (bytes: Uint8Array): Snapshot => ({
  size: bytes.length,
  read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  close: () => Promise.resolve(),
})

/** For tests and simulations: what was committed is there until the process ends. */
export const memoryStore = (): SnapshotStore => {
  let standing: Uint8Array | null = null
  return {
    open: () => Promise.resolve(standing === null ? null : inMemory(standing)),
    begin: () => {
      const parts: Uint8Array[] = []
      return Promise.resolve({
        write: (bytes) => {
          parts.push(Uint8Array.from(bytes))
          return Promise.resolve()
        },
        look: () => Promise.resolve(inMemory(Buffer.concat(parts))),
        commit: () => {
          standing = Buffer.concat(parts)
          return Promise.resolve()
        },
        discard: () => Promise.resolve(),
      })
    },
    setAside: () => {
      standing = null
      return Promise.resolve("nowhere: it was in memory")
    },
  }
}
