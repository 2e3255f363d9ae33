/**
 * Real files that behave as after a power cut when their process is killed: what was not synced stays in the memory
 * of the process and dies with it. On demand they also fail, fill up, or lie about syncing.
 */
import { readFileSync } from "node:fs"
import { nodeFiles, writeAll, writingThenSyncing, type Files, type OpenFile } from "../interpreters/file/files.ts"

export interface Faults {
  /** Reports every sync as done and does nothing: the mutation that tests must notice. */
  readonly lie?: boolean
  readonly failSync?: boolean
  readonly failWrite?: "EIO" | "ENOSPC"
  /** What the file system is said to have left. */
  readonly freeBytes?: number
  /** Milliseconds that every sync takes longer. */
  readonly slowSync?: number
}
export interface Control {
  readonly faults: () => Faults
}
/** Faults are in a JSON file, which is read again at every SIGUSR2; what was read is printed as an acknowledgement. */
export const controlledBy = (path: string): Control => {
  let faults: Faults = {}
  const read = (): void => {
    try {
      faults = JSON.parse(readFileSync(path, "utf8")) as Faults
    } catch {
      faults = {}
    }
    console.error(`faults ${JSON.stringify(faults)}`)
  }
  read()
  process.on("SIGUSR2", read)
  return { faults: () => faults }
}

type Change =
  | { readonly type: "write"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly type: "truncate"; readonly size: number }

const coded = (code: string, message: string): Error => Object.assign(new Error(`${code}: ${message}`), { code })

const lossyFile = async (inner: OpenFile, control: Control): Promise<OpenFile> => {
  let size = await inner.size()
  /** Not yet synced, in order. */
  let changes: Change[] = []

  const flush = (queue: readonly Change[], done: (error: Error | null) => void): void => {
    const [first, ...rest] = queue
    if (first === undefined) return inner.datasync(done)
    const next = (error: Error | null): void => (error === null ? flush(rest, done) : done(error))
    if (first.type === "write") return writeAll(inner, first.bytes, first.at, next)
    inner.truncate(first.size).then(() => next(null), next)
  }
  const sync = (done: (error: Error | null) => void): void => {
    const { lie, failSync } = control.faults()
    if (failSync === true) return done(coded("EIO", "i/o error, fdatasync"))
    if (lie === true) return done(null)
    const queue = changes
    changes = []
    flush(queue, done)
  }

  return writingThenSyncing({
    write: (bytes, position, done) => {
      const { failWrite } = control.faults()
      if (failWrite !== undefined) return void setImmediate(done, coded(failWrite, "write"), 0)
      changes.push({ type: "write", at: position, bytes: Uint8Array.from(bytes) })
      size = Math.max(size, position + bytes.length)
      setImmediate(done, null, bytes.length)
    },
    datasync: (done) => void setTimeout(() => sync(done), control.faults().slowSync ?? 0),
    read: async (into, position) => {
      const wanted = Math.max(0, Math.min(into.length, size - position))
      const view = into.subarray(0, wanted)
      view.fill(0)
      for (let got = 0; got < wanted;) {
        const more = await inner.read(view.subarray(got), position + got)
        if (more === 0) break
        got += more
      }
      for (const change of changes) {
        if (change.type === "truncate") view.fill(0, Math.max(0, Math.min(wanted, change.size - position)))
        else {
          const from = Math.max(change.at, position)
          const to = Math.min(change.at + change.bytes.length, position + wanted)
          if (from < to) view.set(change.bytes.subarray(from - change.at, to - change.at), from - position)
        }
      }
      return wanted
    },
    size: () => Promise.resolve(size),
    truncate: (to) => {
      changes.push({ type: "truncate", size: to })
      size = to
      return Promise.resolve()
    },
    close: () => inner.close(),
  })
}

/** Names take effect at once and stay; contents become durable only by a sync. */
export const lossyFiles = (control: Control, real: Files = nodeFiles): Files => ({
  ...real,
  open: async (path, mode) => lossyFile(await real.open(path, mode), control),
  freeBytes: async (path) => control.faults().freeBytes ?? real.freeBytes(path),
})
