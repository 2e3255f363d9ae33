/**
 * Disks for tests, behind the file operations of interpreters/file. `memoryDisk` keeps written and synced contents
 * apart, so that a crash loses what was not synced. `troubled` lets any operation of any disk fail.
 */
import { basename, dirname } from "node:path"
import { writingThenSyncing, type Files, type OpenFile } from "../interpreters/file/files.ts"

const SECTOR = 512

/**
 * nothing: everything that was not synced is lost. everything: only the process dies. A number seeds a random choice.
 */
export type Keep = "nothing" | "everything" | number

interface Inode {
  content: Buffer
  synced: Buffer
  /** What was written since the last sync, as ranges of `content`; a truncation is a range that starts at its size. */
  unsynced: { readonly from: number; readonly bytes: Buffer; readonly size: number }[]
  touched: number
}
type Names = Map<string, Inode>

export interface MemoryDisk {
  readonly files: Files
  /** The disk as a machine finds it after a crash now. This disk itself continues unchanged. */
  readonly crash: (keep: Keep) => MemoryDisk
  readonly names: () => readonly string[]
  readonly content: (path: string) => Buffer
  /** Damage at rest. */
  readonly flip: (path: string, offset: number, bit: number) => void
  readonly overwrite: (path: string, content: Buffer) => void
  readonly remove: (path: string) => void
  free: number
  /** How often a lock was renewed on it: a storage does so at each check of its disk. */
  renewals: number
}

const failure = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code })

/** mulberry32: enough for choices in tests. */
export const seeded = (seed: number): (() => number) => {
  let a = seed | 0
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

const patched = (content: Buffer, from: number, bytes: Buffer, size: number): Buffer => {
  const out = Buffer.alloc(size)
  content.copy(out, 0, 0, Math.min(size, content.length))
  bytes.copy(out, from)
  return out
}

/** The remains of a file: each sector of each unsynced write is there or not; the file may be shorter. */
const survived = (inode: Inode, keep: "nothing" | number, random: () => number): Buffer => {
  if (keep === "nothing") return inode.synced
  let out = inode.synced
  for (const { from, bytes, size } of inode.unsynced) {
    const fate = random()
    if (fate < 0.2) continue
    const whole = fate > 0.8
    const end =
      whole || random() < 0.5 ? size : Math.min(size, Math.max(out.length, from + Math.floor(random() * bytes.length)))
    for (let at = from; at < from + bytes.length;) {
      const next = Math.min(from + bytes.length, (Math.floor(at / SECTOR) + 1) * SECTOR)
      if (at < end && (whole || random() < 0.5))
        out = patched(out, at, bytes.subarray(at - from, Math.min(next, end) - from), Math.max(end, out.length))
      at = next
    }
    if (out.length !== end) out = patched(out, 0, Buffer.alloc(0), end)
  }
  return out
}

export const memoryDisk = (): MemoryDisk => diskOf(new Map(), new Map())

const diskOf = (names: Names, syncedNames: Names): MemoryDisk => {
  let clock = 0
  const inodeAt = (path: string): Inode => {
    const inode = names.get(path)
    if (inode === undefined) throw failure("ENOENT", path)
    return inode
  }
  const later = <A>(work: () => A): Promise<A> =>
    new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
  const put = (inode: Inode, from: number, bytes: Uint8Array, size: number): void => {
    const copy = Buffer.from(bytes)
    inode.content = patched(inode.content, from, copy, size)
    inode.unsynced.push({ from, bytes: copy, size })
  }
  const handle = (inode: Inode): OpenFile =>
    writingThenSyncing({
      write: (bytes, position, done) => {
        put(inode, position, bytes, Math.max(inode.content.length, position + bytes.length))
        setImmediate(() => done(null, bytes.length))
      },
      datasync: (done) => {
        // A sync covers what was written before it was called, and holds once it has returned.
        const { content } = inode
        const covered = inode.unsynced.length
        setImmediate(() => {
          inode.synced = content
          inode.unsynced.splice(0, covered)
          done(null)
        })
      },
      read: (into, position) => later(() => inode.content.copy(into, 0, position, position + into.length)),
      size: () => later(() => inode.content.length),
      truncate: (size) => later(() => put(inode, Math.min(size, inode.content.length), Buffer.alloc(0), size)),
      close: () => later(() => undefined),
    })
  const disk: MemoryDisk = {
    free: Number.MAX_SAFE_INTEGER,
    renewals: 0,
    files: {
      makeDirectory: () => later(() => undefined),
      list: (path) =>
        later(() => [...names.keys()].filter((name) => dirname(name) === path).map((name) => basename(name))),
      open: (path, mode) =>
        later(() => {
          const there = names.get(path)
          if (mode === "exclusive" && there !== undefined) throw failure("EEXIST", path)
          if (mode === "create" || mode === "exclusive") {
            const inode = there ?? { content: Buffer.alloc(0), synced: Buffer.alloc(0), unsynced: [], touched: ++clock }
            if (inode.content.length > 0) put(inode, 0, Buffer.alloc(0), 0)
            names.set(path, inode)
            return handle(inode)
          }
          return handle(inodeAt(path))
        }),
      rename: (from, to) =>
        later(() => {
          names.set(to, inodeAt(from))
          names.delete(from)
        }),
      remove: (path) =>
        later(() => {
          inodeAt(path)
          names.delete(path)
        }),
      syncDirectory: (directory) =>
        later(() => {
          for (const path of syncedNames.keys())
            if (dirname(path) === directory && !names.has(path)) syncedNames.delete(path)
          for (const [path, inode] of names) if (dirname(path) === directory) syncedNames.set(path, inode)
        }),
      freeBytes: () => later(() => disk.free),
      touch: (path) =>
        later(() => {
          inodeAt(path).touched = ++clock
          disk.renewals++
        }),
      touched: (path) => later(() => inodeAt(path).touched),
    },
    crash: (keep) => {
      if (keep === "everything") {
        // Nothing is lost yet, and nothing more is durable than before.
        const copies = new Map(
          [...names.values(), ...syncedNames.values()].map((inode) => [
            inode,
            { ...inode, unsynced: [...inode.unsynced] },
          ]),
        )
        const copied = (those: Names): Names =>
          new Map([...those].map(([path, inode]) => [path, copies.get(inode) ?? inode]))
        return diskOf(copied(names), copied(syncedNames))
      }
      const random = seeded(keep === "nothing" ? 0 : keep)
      const kept: Names = new Map()
      const fates = new Map<Inode, Buffer>()
      for (const path of new Set([...syncedNames.keys(), ...names.keys()])) {
        const late = keep !== "nothing" && random() < 0.5
        const inode = (late ? names : syncedNames).get(path)
        if (inode === undefined) continue
        const content = fates.get(inode) ?? survived(inode, keep, random)
        fates.set(inode, content)
        kept.set(path, { content, synced: content, unsynced: [], touched: inode.touched })
      }
      return diskOf(kept, new Map(kept))
    },
    names: () => [...names.keys()],
    content: (path) => inodeAt(path).content,
    flip: (path, offset, bit) => {
      const inode = inodeAt(path)
      const content = Buffer.from(inode.content)
      content.writeUInt8(content.readUInt8(offset) ^ (1 << bit), offset)
      disk.overwrite(path, content)
    },
    overwrite: (path, content) => {
      const inode: Inode = { content, synced: content, unsynced: [], touched: ++clock }
      names.set(path, inode)
      syncedNames.set(path, inode)
    },
    remove: (path) => {
      names.delete(path)
      syncedNames.delete(path)
    },
  }
  return disk
}

export interface Operation {
  readonly kind: "open" | "write" | "datasync" | "truncate" | "rename" | "remove" | "syncDirectory"
  readonly path: string
}
/** Returns the error with which the operation must end, "nothing" if it must falsely report success, or null. */
export type Trouble = (operation: Operation) => Error | "nothing" | null

export const diskError = (code: "EIO" | "ENOSPC" | "EMFILE" | "ENFILE"): Error => failure(code, "test")

/** A failed write has written half of its bytes. A durable write is a write and a sync, and either may fail. */
export const troubled = (files: Files, trouble: Trouble): Files => {
  const guarded = async (operation: Operation, work: () => Promise<void>): Promise<void> => {
    const answer = trouble(operation)
    if (answer === null) await work()
    else if (answer !== "nothing") throw answer
  }
  const wrap = (path: string, file: OpenFile): OpenFile =>
    writingThenSyncing({
      ...file,
      write: (bytes, position, done) => {
        const answer = trouble({ kind: "write", path })
        if (answer === null) file.write(bytes, position, done)
        else if (answer === "nothing") setImmediate(() => done(null, bytes.length))
        else file.write(bytes.subarray(0, bytes.length >> 1), position, () => done(answer, 0))
      },
      datasync: (done) => {
        const answer = trouble({ kind: "datasync", path })
        if (answer === null) file.datasync(done)
        else setImmediate(() => done(answer === "nothing" ? null : answer))
      },
      truncate: (size) => guarded({ kind: "truncate", path }, () => file.truncate(size)),
    })
  return {
    ...files,
    open: async (path, mode) => {
      const answer = trouble({ kind: "open", path })
      if (answer instanceof Error) throw answer
      return wrap(path, await files.open(path, mode))
    },
    rename: (from, to) => guarded({ kind: "rename", path: to }, () => files.rename(from, to)),
    remove: (path) => guarded({ kind: "remove", path }, () => files.remove(path)),
    syncDirectory: (path) => guarded({ kind: "syncDirectory", path }, () => files.syncDirectory(path)),
  }
}
