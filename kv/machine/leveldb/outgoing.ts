/** A pinned image that is sent to a peer: made from a LevelDB snapshot on demand, one chunk at a time. */
import type { LogBase } from "../../../core/index.ts"
import type { SnapshotImage } from "../../../interpreters/contract.ts"
import { type LevelDb, READ_BYTES, READ_COUNT, readValue } from "./database.ts"
import { CHUNK, ImageWriter } from "../image.ts"
import { DATA, decodeRecord, encodeRecord, generationRange, userKey } from "../layout.ts"
import type { Removal } from "../removals.ts"
import type { Session } from "../sessions.ts"
import { SerialTasks, Slices } from "../slices.ts"

export interface PinnedSnapshot {
  readonly db: LevelDb
  readonly snapshot: ReturnType<LevelDb["snapshot"]>
  readonly base: LogBase
  readonly generation: number
  readonly sessions: readonly Session[]
  readonly removals: readonly Removal[]
  /** Called with each damaged record. */
  readonly damaged: (thrown: unknown) => void
}

const iterate = ({ db, snapshot, generation }: PinnedSnapshot) =>
  db.iterator<Buffer, Buffer>({ ...generationRange(DATA, generation), snapshot, highWaterMarkBytes: READ_BYTES })

/** One pass over the image. Bytes can only be read forwards: an earlier offset needs a new pass. */
class Pass {
  /** Offset of the first byte of `pending`. */
  at = 0
  private pending: Buffer = Buffer.alloc(0)
  private readonly writer = new ImageWriter()
  private readonly iterator: ReturnType<typeof iterate>
  private readonly pinned: PinnedSnapshot
  private page: readonly (readonly [Buffer, Buffer])[] = []
  private done = 0
  private session = -1
  private ended = false
  constructor(pinned: PinnedSnapshot) {
    this.pinned = pinned
    this.iterator = iterate(pinned)
  }
  close(): Promise<void> {
    return this.iterator.close()
  }
  async next(): Promise<{ readonly bytes: Buffer; readonly last: boolean }> {
    const slices = new Slices()
    while (!this.ended && this.pending.length < CHUNK) {
      await this.more(slices)
      const made = this.writer.take()
      this.pending = this.pending.length === 0 ? made : Buffer.concat([this.pending, made])
    }
    const bytes = this.pending.subarray(0, CHUNK)
    this.pending = this.pending.subarray(bytes.length)
    this.at += bytes.length
    return { bytes, last: this.ended && this.pending.length === 0 }
  }
  private async more(slices: Slices): Promise<void> {
    const { base, removals, sessions } = this.pinned
    if (this.session < 0) {
      this.writer.begin(base)
      this.writer.removals(removals)
      this.session = 0
    }
    while (this.session < sessions.length && this.writer.length < CHUNK) {
      const session = sessions[this.session++]
      if (session !== undefined) this.writer.session(session)
      if (slices.due()) await slices.giveWay()
    }
    if (this.session < sessions.length) return
    if (this.done === this.page.length) {
      this.page = await this.iterator.nextv(READ_COUNT)
      this.done = 0
    }
    // A page of small records may refer to large values: a chunk's worth of those at most.
    while (this.done < this.page.length && this.writer.length < CHUNK) {
      const record = this.page[this.done++]
      if (record !== undefined) this.data(record)
      if (slices.due() || (this.writer.length > CHUNK && slices.overdue())) await slices.giveWay()
    }
    if (this.page.length > 0) return
    this.writer.end()
    this.ended = true
  }
  private data([key, record]: readonly [Buffer, Buffer]): void {
    const { base, db, generation, snapshot } = this.pinned
    const name = userKey(key)
    const item = decodeRecord(name, record)
    if (item.expiry !== 0 && item.expiry <= base.time) return
    this.writer.data(
      name,
      item.value === null ? encodeRecord(name, item, readValue(db, generation, name, item, { snapshot })) : record,
    )
  }
}

export const imageOf = (pinned: PinnedSnapshot, id: string, released: () => void): SnapshotImage => {
  const tasks = new SerialTasks()
  let pass: Pass | null = null
  let previous: { readonly offset: number; readonly bytes: Buffer; readonly last: boolean } | null = null
  let closed = false

  const read = async (offset: number): Promise<{ readonly bytes: Uint8Array; readonly last: boolean }> => {
    if (closed) throw new Error(`snapshot image ${id} is closed`)
    if (previous?.offset === offset) return previous
    if (pass === null || offset < pass.at) {
      await pass?.close()
      pass = new Pass(pinned)
    }
    // Chunks are cut at the same offsets in every pass; a request for another offset gets the rest of the chunk that
    // contains it.
    for (;;) {
      const start = pass.at
      const { bytes, last } = await pass.next()
      if (offset < pass.at || last) {
        previous = { offset, bytes: bytes.subarray(offset - start), last }
        return previous
      }
    }
  }
  const close = async (): Promise<void> => {
    if (closed) return
    closed = true
    released()
    await pass?.close()
    await pinned.snapshot.close()
  }
  return {
    snapshot: { ...pinned.base, id },
    read: (offset) =>
      tasks.run(() =>
        read(offset).catch((thrown: unknown) => {
          if (!closed) pinned.damaged(thrown)
          throw thrown
        }),
      ),
    close: () => tasks.run(close),
  }
}
