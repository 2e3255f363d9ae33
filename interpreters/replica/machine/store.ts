/**
 * Where a replica keeps its one snapshot, and a snapshot that it is receiving. This file has the store in memory;
 * interpreters/node has the one in a directory.
 */
import { concat } from "../../octets.ts"

/** A snapshot that stays readable until it is closed, even if another one has replaced it. */
export interface Snapshot {
  readonly size: number
  /** Bytes from `offset` on: as many as asked for; fewer only at the end. */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>
  readonly close: () => Promise<void>
}
/**
 * A snapshot that is being written. It counts only once `commit` has resolved: then it is durable, and has replaced the
 * snapshot before it.
 */
export interface Draft {
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Opens the draft for reading before it is committed. */
  readonly look: () => Promise<Snapshot>
  readonly commit: () => Promise<void>
  readonly discard: () => Promise<void>
}
export interface SnapshotStore {
  /** null: there is none. */
  readonly open: () => Promise<Snapshot | null>
  /** An earlier draft of that name is deleted. */
  readonly begin: (name: "own" | "received") => Promise<Draft>
  /** The snapshot is damaged: keeps it under another name, for people. Returns where. */
  readonly setAside: () => Promise<string>
}

const inMemory = (bytes: Uint8Array): Snapshot => ({
  size: bytes.length,
  read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  close: () => Promise.resolve(),
})

/** For tests and simulations: what was committed is kept until the process ends. */
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
        look: () => Promise.resolve(inMemory(concat(parts))),
        commit: () => {
          standing = concat(parts)
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
