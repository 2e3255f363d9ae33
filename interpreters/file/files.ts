/**
 * The few file operations that the storage needs. Tests replace them with a disk that loses, tears and fails. Errors
 * are Node's, with a code.
 */
import * as fs from "node:fs"
import { chmod, mkdir, open, readdir, rename, stat, statfs, unlink, utimes } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { errnoOf } from "./errors.ts"

type Done = (error: Error | null) => void

/** Writing and syncing are callbacks on a descriptor: `writeDurable` is the hot path of the whole product. */
export interface OpenFile {
  /**
   * All bytes, and the new length of the file, survive a crash afterwards: `write` and `datasync` in one. After an
   * error any part of the bytes may be in the file, and may survive.
   */
  readonly writeDurable: (bytes: Uint8Array, position: number, done: Done) => void
  /** May write less than asked; `written` says how much. */
  readonly write: (bytes: Uint8Array, position: number, done: (error: Error | null, written: number) => void) => void
  /** Content and length survive a crash afterwards. */
  readonly datasync: (done: Done) => void
  /** May read less than asked; 0 at the end of the file. */
  readonly read: (into: Uint8Array, position: number) => Promise<number>
  readonly size: () => Promise<number>
  readonly truncate: (size: number) => Promise<void>
  readonly close: () => Promise<void>
}
type Parts = Omit<OpenFile, "writeDurable">
/** read: must exist. modify: must exist. create: emptied if it exists. exclusive: must not exist (EEXIST). */
export type OpenMode = "read" | "modify" | "create" | "exclusive"

export interface Files {
  /**
   * Creates the directory and its parents durably, and readable by this user only: it will hold keys of sessions and
   * data of clients.
   */
  readonly makeDirectory: (path: string) => Promise<void>
  readonly list: (path: string) => Promise<readonly string[]>
  readonly open: (path: string, mode: OpenMode) => Promise<OpenFile>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  /** Names created, renamed and removed in the directory survive a crash afterwards. */
  readonly syncDirectory: (path: string) => Promise<void>
  readonly freeBytes: (path: string) => Promise<number>
  /** Sets the file's modification time to now; `touched` reads it, to see that the lock's holder is alive. */
  readonly touch: (path: string) => Promise<void>
  readonly touched: (path: string) => Promise<number>
}

const { O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL } = fs.constants
/**
 * On Linux a write to a descriptor with this flag returns as if fdatasync had followed. Elsewhere it is not used: on
 * macOS it leaves the bytes in the drive's cache, from which Node's fdatasync forces them out.
 */
const O_DSYNC = process.platform === "linux" ? fs.constants.O_DSYNC : 0
const FLAGS: Record<OpenMode, number> = {
  read: O_RDONLY,
  modify: O_RDWR | O_DSYNC,
  create: O_RDWR | O_CREAT | O_TRUNC | O_DSYNC,
  exclusive: O_RDWR | O_CREAT | O_EXCL | O_DSYNC,
}

const openFile = async (path: string, mode: OpenMode): Promise<OpenFile> => {
  const fd = await new Promise<number>((resolve, reject) => {
    fs.open(path, FLAGS[mode], 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)))
  })
  const settle =
    <A>(resolve: (value: A) => void, reject: (error: Error) => void) =>
    (error: Error | null, value: A): void =>
      error === null ? resolve(value) : reject(error)
  const file: Parts = {
    write: (bytes, position, done) => fs.write(fd, bytes, 0, bytes.length, position, done),
    datasync: (done) => fs.fdatasync(fd, done),
    read: (into, position) =>
      new Promise((resolve, reject) => fs.read(fd, into, 0, into.length, position, settle(resolve, reject))),
    size: () =>
      new Promise((resolve, reject) =>
        fs.fstat(
          fd,
          settle((stats: fs.Stats) => resolve(stats.size), reject),
        ),
      ),
    truncate: (size) =>
      new Promise((resolve, reject) => fs.ftruncate(fd, size, (error) => (error === null ? resolve() : reject(error)))),
    close: () => new Promise((resolve, reject) => fs.close(fd, (error) => (error ? reject(error) : resolve()))),
  }
  if (O_DSYNC === 0) return writingThenSyncing(file)
  return { ...file, writeDurable: (bytes, position, done) => writeAll(file, bytes, position, done) }
}

const syncDirectory = async (path: string): Promise<void> => {
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Creates one directory after the other, from the first existing one downwards: Node's own recursive mkdir never
 * returns in some places, such as /proc.
 */
const makeDirectory = async (path: string): Promise<void> => {
  if (await isDirectory(path)) return
  const parent = dirname(path)
  if (parent !== path) await makeDirectory(parent)
  await mkdir(path, 0o700).catch((error: unknown) => {
    // Another process has just made it; or it is a file, which its first use will report.
    if (errnoOf(error) !== "EEXIST") throw error
  })
  await syncDirectory(parent)
}
const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

export const nodeFiles: Files = {
  makeDirectory: async (path) => {
    await makeDirectory(resolve(path))
    await chmod(path, 0o700)
  },
  list: (path) => readdir(path),
  open: openFile,
  rename,
  remove: unlink,
  syncDirectory,
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  touch: (path) => {
    const now = new Date()
    return utimes(path, now, now)
  },
  touched: async (path) => (await stat(path)).mtimeMs,
}

// ---------------------------------------------------------------------------------- built from these operations

export const datasync = (file: OpenFile): Promise<void> =>
  new Promise((resolve, reject) => file.datasync((error) => (error === null ? resolve() : reject(error))))

/** Writes all bytes or throws: a short write is continued. */
export const writeAll = (file: Parts, bytes: Uint8Array, position: number, done: Done): void => {
  file.write(bytes, position, (error, written) => {
    if (error !== null) done(error)
    else if (written === bytes.length) done(null)
    else if (written <= 0) done(new Error("the disk took no bytes"))
    else writeAll(file, bytes.subarray(written), position + written, done)
  })
}
/** For files where no one operation writes durably. */
export const writingThenSyncing = (file: Parts): OpenFile => ({
  ...file,
  writeDurable: (bytes, position, done) =>
    writeAll(file, bytes, position, (error) => (error === null ? file.datasync(done) : done(error))),
})
export const writeFully = (file: OpenFile, bytes: Uint8Array, position: number): Promise<void> =>
  new Promise((resolve, reject) =>
    writeAll(file, bytes, position, (error) => (error === null ? resolve() : reject(error))),
  )

/** Reads as many bytes as there are, up to the size of `into`. */
export const readFully = async (file: OpenFile, into: Uint8Array, position: number): Promise<number> => {
  let got = 0
  while (got < into.length) {
    const more = await file.read(into.subarray(got), position + got)
    if (more === 0) break
    got += more
  }
  return got
}
