/**
 * The write-ahead log. One batch is under way at a time: write it durably, report. Whatever is handed over
 * meanwhile gathers in the next batch, so the slower the disk the larger the batches (group commit).
 *
 * A durable write is one trip through libuv's pool (O_DSYNC): measured with 512 bytes, three processes at once, a
 * median of 0.75 ms where write, then fdatasync takes 0.91 ms. A write on the loop's own thread before an fdatasync
 * on the pool takes 0.78 ms, and a disk that stalls would stall the whole node, which must be able to hand over its
 * leadership just then.
 *
 * Segments grow with each write. Zeros written ahead (256 kB or 1 MB) spare the journal of the file system a commit,
 * but the zeros are written too: with 512 bytes the median falls by 0–8 % with pauses between the writes, by 15–25 %
 * back to back; with 4 kB by 25–40 %. A lone write gains nothing clear by it, so it is left.
 */
import type { Persist } from "../../core/index.ts"
import type { StorageHandlers, StorageStats } from "../contract.ts"
import { Writer } from "../bytes.ts"
import { Histogram } from "../metrics/index.ts"
import {
  adviceFor,
  codeOf,
  DirectoryGone,
  isFull,
  isOutOfDescriptors,
  SyncFailed,
  WriteFailed,
  type StorageError,
} from "./errors.ts"
import { beginFrame, HEADER, sealFrame, SECTOR, summaryAfter, writePersist, type Summary } from "./frame.ts"
import type { Files, OpenFile } from "./files.ts"
import type { FormatKeeper, Synced } from "./identity.ts"
import { createSegment, segmentPath, type Segment } from "./segment.ts"

/** A writer that grew beyond this is not kept. */
const KEPT_BYTES = 1 << 20

export interface WalSetup {
  readonly files: Files
  readonly directory: string
  readonly segmentBytes: number
  readonly format: FormatKeeper
  readonly segments: Segment[]
  readonly file: OpenFile
  readonly summary: Summary
}

export interface Pending {
  readonly ms: number
  readonly wanting: string | null
  readonly lacks: "room" | "descriptors" | null
}

/** Persists that become durable together. */
interface Batch {
  readonly writer: Writer
  /** The last Persist in it, or null if there is none. */
  seq: number | null
  highest: number
  trims: boolean
  /** What the log comes to with it. */
  after: Summary
}

/**
 * resting: nothing to do. working: a batch is under way. blocked: the batch waits for room on the disk, or for a
 * file descriptor.
 * stopped: nothing more is written or reported.
 */
type Phase = "resting" | "working" | "blocked" | "stopped"

export class Wal {
  private readonly setup: WalSetup
  private readonly segments: Segment[]
  private file: OpenFile
  private segment: Segment
  private phase: Phase = "resting"
  private short = false
  private scheduled = false
  /** The disk is at work on a batch: the file must stay open, even if everything has been stopped. */
  private underway = false
  /** Since when the present batch is not durable. */
  private since = 0
  /** What the present batch waits for, if it cannot be written. */
  private wanting: string | null = null
  private lacks: Pending["lacks"] = null
  /** Gathers what is handed over; `current` is on its way to the disk. */
  private filling: Batch
  private current: Batch
  /** What the log on disk comes to. */
  private durable: Summary
  private trimming: Promise<void> | null = null
  private handlers: StorageHandlers | null = null
  private whenIdle: (() => void)[] = []
  private readonly full: () => void
  private readonly waiting: (text: string) => void
  /** Made, durable, and not listed yet: listing it is tried again. */
  private prepared: { readonly file: OpenFile; readonly segment: Segment } | null = null
  /** Of durable writes, in seconds. */
  readonly syncTimes = new Histogram()
  private syncs = 0
  private bytesWritten = 0

  /** `full` hears that the disk refused a write for want of room, `waiting` why else a batch waits. */
  constructor(setup: WalSetup, full: () => void, waiting: (text: string) => void) {
    const segment = setup.segments.at(-1)
    if (segment === undefined) throw new Error("a log has at least one segment")
    this.setup = setup
    this.segments = setup.segments
    this.file = setup.file
    this.segment = segment
    this.durable = setup.summary
    this.filling = newBatch(new Writer(), setup.summary)
    this.current = newBatch(new Writer(), setup.summary)
    this.full = full
    this.waiting = waiting
  }

  attach(handlers: StorageHandlers): void {
    this.handlers = handlers
  }

  persist(persist: Persist): void {
    if (this.phase === "stopped") return
    const batch = this.filling
    writePersist(batch.writer, persist)
    batch.seq = persist.seq
    batch.highest = Math.max(batch.highest, persist.entries.at(-1)?.index ?? 0)
    if (persist.base !== null) batch.trims = true
    batch.after = summaryAfter(batch.after, persist)
    if (this.phase === "resting" && !this.scheduled) {
      this.scheduled = true
      queueMicrotask(this.next)
    }
  }

  /** The disk may have room again. */
  retry(): void {
    if (this.phase === "blocked") this.start()
    if (this.phase !== "stopped") this.trim()
  }
  /** From a batch that found no room until one is durable again. */
  get blocked(): boolean {
    return this.short
  }
  /** For how long the oldest batch that was handed over has not been durable, and what it waits for if not for the disk's work. */
  get pending(): Pending {
    return this.phase === "working" || this.phase === "blocked"
      ? { ms: performance.now() - this.since, wanting: this.wanting, lacks: this.lacks }
      : { ms: 0, wanting: null, lacks: null }
  }
  /** Whether it may still be written to; files of the log are missing only if they are listed here before and after. */
  get files(): readonly string[] {
    return this.phase === "stopped" ? [] : this.segments.map(({ number }) => segmentPath(this.setup.directory, number))
  }

  stop(error: StorageError): void {
    if (this.phase === "stopped") return
    this.phase = "stopped"
    this.settle()
    this.handlers?.failed(error)
  }

  /** Waits for what was handed over, unless it cannot be written. */
  async close(): Promise<void> {
    if (this.underway || this.scheduled) await new Promise<void>((resolve) => this.whenIdle.push(resolve))
    this.phase = "stopped"
    await this.trimming
    await this.prepared?.file.close()
    await this.file.close()
  }

  /** What is durable of the log. */
  get synced(): Synced {
    return { segment: this.segment.number, bytes: this.segment.bytes }
  }
  /** `syncMs`: what all syncs took together. */
  stats(): StorageStats & { readonly syncMs: number } {
    const bytes = this.segments.reduce((sum, segment) => sum + segment.bytes, 0)
    return {
      bytes,
      segments: this.segments.length,
      syncs: this.syncs,
      bytesWritten: this.bytesWritten,
      syncMs: Math.round(this.syncTimes.sum * 1000),
    }
  }

  private settle(): void {
    if (this.underway) return
    for (const resolve of this.whenIdle.splice(0)) resolve()
  }

  private readonly next = (): void => {
    this.scheduled = false
    if (this.phase === "stopped") this.settle()
    if (this.phase === "stopped") return
    if (this.filling.seq === null) {
      this.phase = "resting"
      this.settle()
      return
    }
    const batch = this.filling
    this.filling = newBatch(emptied(this.current.writer), batch.after)
    this.current = batch
    this.since = performance.now()
    this.start()
  }

  private start(): void {
    const batch = this.current
    this.phase = "working"
    this.underway = true
    if (batch.writer.length === HEADER) {
      // Nothing to write; the answer still comes on a turn of its own.
      setImmediate(this.done)
      return
    }
    const size = Math.ceil(batch.writer.length / SECTOR) * SECTOR
    const { bytes, head } = this.segment
    if (bytes + size <= this.setup.segmentBytes || bytes === head) this.write(batch)
    else this.roll().then(() => this.write(batch), this.refused)
  }

  private write(batch: Batch): void {
    const offset = this.segment.bytes
    const frame = sealFrame(batch.writer, this.segment.number, offset)
    const { file } = this
    const path = segmentPath(this.setup.directory, this.segment.number)
    const begun = performance.now()
    file.writeDurable(frame, offset, (cause) => {
      if (cause === null) {
        this.segment.bytes += frame.length
        this.segment.highest = Math.max(this.segment.highest, batch.highest)
        this.syncs++
        this.syncTimes.observe((performance.now() - begun) / 1000)
        this.bytesWritten += frame.length
        this.done()
      } else if (isFull(cause)) {
        // Back to what is durable: a later frame must not stand behind half of this one. Should it have been the sync
        // that found no room: what it left is cut off and written anew, so no failed sync is taken back by a later one.
        file.truncate(offset).then(
          () => this.refused(cause),
          () => this.refused(new WriteFailed({ file: path, cause })),
        )
      } else {
        // Write or sync: one cannot be told from the other, so it counts as the worse. Recovery cuts what is torn.
        this.refused(new SyncFailed({ file: path, cause }))
      }
    })
  }

  /** The batch is not durable; the log on disk is as it was, or the disk cannot be trusted any more. */
  private readonly refused = (cause: unknown): void => {
    this.underway = false
    if ((isFull(cause) || isOutOfDescriptors(cause)) && this.phase === "working") {
      const first = !this.short
      this.phase = "blocked"
      this.short = true
      this.lacks = isFull(cause) ? "room" : "descriptors"
      this.wanting = isFull(cause)
        ? `the disk under ${this.setup.directory} is full, so the log waits. ${adviceFor(cause)}. Nothing is lost: it is tried again every second.`
        : `${this.setup.directory}: the log cannot go on to its next file. ${adviceFor(cause)}. Nothing is lost: it is tried again every second.`
      if (isFull(cause)) this.full()
      else if (first) this.waiting(this.wanting)
    } else this.stop(failureOf(this.setup.directory, cause))
    this.settle()
  }

  private readonly done = (): void => {
    this.underway = false
    const { seq, after, trims } = this.current
    this.short = false
    this.wanting = null
    this.lacks = null
    if (this.phase === "working") this.durable = after
    if (this.phase === "working" && trims) this.trim()
    const report = this.phase === "working" && seq !== null
    this.next()
    if (report) this.handlers?.persisted(seq)
  }

  /** Make the next segment, list it in FORMAT, go on in it. Nothing is acknowledged from it before it is listed. */
  private async roll(): Promise<void> {
    const { files, directory, format } = this.setup
    const number = this.segment.number + 1
    this.prepared ??= await createSegment(files, directory, number, this.durable)
    const { file, segment } = this.prepared
    await format.update((current) => ({ ...current, last: number }))
    this.prepared = null
    await this.file.close()
    this.file = file
    this.segment = segment
    this.segments.push(segment)
  }

  /** Segments at the front whose entries the durable base covers: out of FORMAT first, then off the disk. */
  private trim(): void {
    const needed = this.segments.findIndex(
      (segment) => segment === this.segment || segment.highest > this.durable.base.index,
    )
    const first = this.segments[needed]
    if (this.trimming !== null || needed <= 0 || first === undefined) return
    const { files, directory, format } = this.setup
    const gone = this.segments.slice(0, needed)
    const drop = async (): Promise<void> => {
      await format.update((current) => ({ ...current, first: first.number }))
      this.segments.splice(0, needed)
      // What stays behind is not listed any more; the next start removes it.
      for (const { number } of gone) await files.remove(segmentPath(directory, number)).catch(() => undefined)
    }
    this.trimming = drop()
      .catch((cause: unknown) => {
        if (isFull(cause)) this.full()
        else if (!isOutOfDescriptors(cause)) this.stop(failureOf(directory, cause))
      })
      .finally(() => {
        this.trimming = null
      })
  }
}

/** Of a directory in use: what is not there any more was taken away. */
export const failureOf = (directory: string, cause: unknown): StorageError => {
  const root = cause instanceof SyncFailed || cause instanceof WriteFailed ? cause.cause : cause
  if (codeOf(root) === "ENOENT")
    return new DirectoryGone({ directory, missing: root instanceof Error ? root.message : String(root) })
  return cause instanceof SyncFailed || cause instanceof WriteFailed
    ? cause
    : new WriteFailed({ file: directory, cause })
}

const newBatch = (writer: Writer, after: Summary): Batch => {
  beginFrame(writer)
  return { writer, seq: null, highest: 0, trims: false, after }
}
const emptied = (writer: Writer): Writer => {
  if (writer.length > KEPT_BYTES) return new Writer()
  writer.reset()
  return writer
}
