/**
 * The write-ahead log. One batch is outstanding at a time: it is written durably, then reported. Everything that is
 * handed over meanwhile joins the next batch, so a slower disk gets larger batches (group commit).
 *
 * A durable write is one trip through libuv's pool (O_DSYNC): with 512 bytes and three processes at once its median is
 * 0.75 ms, where write followed by fdatasync takes 0.91 ms. A write on the loop's own thread before an fdatasync on the
 * pool takes 0.78 ms; but then a stalled disk would stall the whole node, just when it must be able to transfer its
 * leadership.
 *
 * Segments grow with each write. Writing zeros ahead (256 kB or 1 MB) saves a commit of the file system's journal, but
 * the zeros are written too: with 512 bytes the median falls by 0–8 % with pauses between the writes, by 15–25 % back
 * to back; with 4 kB by 25–40 %. A single write gains nothing clear, so zeros are not written ahead.
 */
import type { Persist } from "../../core/index.ts"
import type { StorageHandlers, StorageStats } from "../contract.ts"
import { ByteWriter } from "../bytes.ts"
import { Histogram } from "../metrics/index.ts"
import {
  adviceFor,
  errnoOf,
  DirectoryGone,
  isDiskFull,
  isOutOfDescriptors,
  SyncFailed,
  WriteFailed,
  type StorageError,
} from "./errors.ts"
import {
  beginFrame,
  LOG_FRAME_HEADER,
  sealFrame,
  SECTOR,
  summaryAfter,
  writePersist,
  type LogSummary,
} from "./frame.ts"
import type { Files, OpenFile } from "./files.ts"
import type { FormatKeeper, Synced } from "./identity.ts"
import { createSegment, segmentPath, type Segment } from "./segment.ts"

/** A buffer that grew beyond this is not kept. */
const KEPT_BYTES = 1 << 20

export interface WalSetup {
  readonly files: Files
  readonly directory: string
  readonly segmentBytes: number
  readonly format: FormatKeeper
  readonly segments: Segment[]
  readonly file: OpenFile
  readonly summary: LogSummary
}

export interface Pending {
  readonly ms: number
  readonly wanting: string | null
  readonly lacks: "room" | "descriptors" | null
}

/** Persists that become durable together. */
interface Batch {
  readonly writer: ByteWriter
  /** The last Persist in it, or null if there is none. */
  seq: number | null
  highest: number
  trims: boolean
  /** The summary of the log after this batch. */
  after: LogSummary
}

/**
 * resting: nothing to do. working: a batch is outstanding. blocked: the batch waits for room on the disk, or for a file
 * descriptor. stopped: nothing more is written or reported.
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
  /** A write to the disk is outstanding: the file must stay open, even after a stop. */
  private underway = false
  /** When the present batch was begun, while it is not durable. */
  private since = 0
  /** What the present batch waits for, if it cannot be written now, as text. */
  private wanting: string | null = null
  private lacks: Pending["lacks"] = null
  /** The next batch, to which new Persists are added; `current` is being written. */
  private filling: Batch
  private current: Batch
  /** The summary of the log on disk. */
  private durable: LogSummary
  private trimming: Promise<void> | null = null
  private handlers: StorageHandlers | null = null
  private whenIdle: (() => void)[] = []
  private readonly full: () => void
  private readonly waiting: (text: string) => void
  /** A segment that is created and durable, but not listed in FORMAT yet: listing is tried again. */
  private prepared: { readonly file: OpenFile; readonly segment: Segment } | null = null
  /** Durations of durable writes, in seconds. */
  readonly syncTimes = new Histogram()
  private syncs = 0
  private bytesWritten = 0

  /**
   * `full` is called when the disk refused a write for lack of room, `waiting` with any other reason why a batch waits.
   */
  constructor(setup: WalSetup, full: () => void, waiting: (text: string) => void) {
    const segment = setup.segments.at(-1)
    if (segment === undefined) throw new Error("a log has at least one segment")
    this.setup = setup
    this.segments = setup.segments
    this.file = setup.file
    this.segment = segment
    this.durable = setup.summary
    this.filling = newBatch(new ByteWriter(), setup.summary)
    this.current = newBatch(new ByteWriter(), setup.summary)
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
  /** True from the moment when a batch found no space until a batch is durable again. */
  get blocked(): boolean {
    return this.short
  }
  /** How long the oldest batch has been waiting to become durable, and what it waits for if that is not the disk. */
  get pending(): Pending {
    return this.phase === "working" || this.phase === "blocked"
      ? { ms: performance.now() - this.since, wanting: this.wanting, lacks: this.lacks }
      : { ms: 0, wanting: null, lacks: null }
  }
  /**
   * Checks whether the log may still be written. A file of the log is missing only if it is listed both before and
   * after the check.
   */
  get files(): readonly string[] {
    return this.phase === "stopped" ? [] : this.segments.map(({ number }) => segmentPath(this.setup.directory, number))
  }

  stop(error: StorageError): void {
    if (this.phase === "stopped") return
    this.phase = "stopped"
    this.settle()
    this.handlers?.failed(error)
  }

  /** Waits until everything handed over is durable, unless it cannot be written. */
  async close(): Promise<void> {
    if (this.underway || this.scheduled) await new Promise<void>((resolve) => this.whenIdle.push(resolve))
    this.phase = "stopped"
    await this.trimming
    await this.prepared?.file.close()
    await this.file.close()
  }

  /** How far the log is durable. */
  get synced(): Synced {
    return { segment: this.segment.number, bytes: this.segment.bytes }
  }
  /** `syncMs`: the total duration of all syncs. */
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
    if (batch.writer.length === LOG_FRAME_HEADER) {
      // Nothing to write; the answer still comes in a later turn.
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
      } else if (isDiskFull(cause)) {
        // Cuts the file back to its durable length: a later frame must not follow half of this one. If the sync failed
        // because there was no space, the bytes that it left are cut off and written again, so a later sync never makes
        // up for a failed one.
        file.truncate(offset).then(
          () => this.refused(cause),
          () => this.refused(new WriteFailed({ file: path, cause })),
        )
      } else {
        // A write and a sync cannot be told apart here, so the error counts as the worse one. Recovery removes what is
        // torn.
        this.refused(new SyncFailed({ file: path, cause }))
      }
    })
  }

  /** The batch is not durable. Either the log on disk is unchanged, or the disk cannot be trusted any more. */
  private readonly refused = (cause: unknown): void => {
    this.underway = false
    if ((isDiskFull(cause) || isOutOfDescriptors(cause)) && this.phase === "working") {
      const first = !this.short
      this.phase = "blocked"
      this.short = true
      this.lacks = isDiskFull(cause) ? "room" : "descriptors"
      this.wanting = isDiskFull(cause)
        ? `the disk under ${this.setup.directory} is full, so the log waits. ${adviceFor(cause)}. Nothing is lost: the write is tried again every second.`
        : `${this.setup.directory}: the next file of the log cannot be made. ${adviceFor(cause)}. Nothing is lost: it is tried again every second.`
      if (isDiskFull(cause)) this.full()
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

  /**
   * Creates the next segment, lists it in FORMAT and continues in it. Nothing is acknowledged from it before it is
   * listed.
   */
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

  /** Removes segments at the front whose entries the durable base covers: first from FORMAT, then from the disk. */
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
      // A file that stays behind is no longer listed; the next start removes it.
      for (const { number } of gone) await files.remove(segmentPath(directory, number)).catch(() => undefined)
    }
    this.trimming = drop()
      .catch((cause: unknown) => {
        if (isDiskFull(cause)) this.full()
        else if (!isOutOfDescriptors(cause)) this.stop(failureOf(directory, cause))
      })
      .finally(() => {
        this.trimming = null
      })
  }
}

/** A file that is missing in a directory in use was removed by somebody else. */
export const failureOf = (directory: string, cause: unknown): StorageError => {
  const root = cause instanceof SyncFailed || cause instanceof WriteFailed ? cause.cause : cause
  if (errnoOf(root) === "ENOENT")
    return new DirectoryGone({ directory, missing: root instanceof Error ? root.message : String(root) })
  return cause instanceof SyncFailed || cause instanceof WriteFailed
    ? cause
    : new WriteFailed({ file: directory, cause })
}

const newBatch = (writer: ByteWriter, after: LogSummary): Batch => {
  beginFrame(writer)
  return { writer, seq: null, highest: 0, trims: false, after }
}
const emptied = (writer: ByteWriter): ByteWriter => {
  if (writer.length > KEPT_BYTES) return new ByteWriter()
  writer.reset()
  return writer
}
