/** Keeps the snapshots of a replica in a directory. */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import type { Snapshot, SnapshotStore } from "../replica/index.ts"

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

/**
 * Uses the files `snapshot`, `snapshot.own` and `snapshot.received` of the directory, which is created if necessary.
 */
export const directorySnapshotStore = (directory: string): SnapshotStore => {
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
