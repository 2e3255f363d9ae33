/** Where a replica keeps its one snapshot, and puts aside the one that it receives: memory here, a directory in interpreters/node. */
import { concat } from "../../octets.ts"

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
