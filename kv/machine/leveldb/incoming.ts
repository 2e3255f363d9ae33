/** A snapshot that is being received: each chunk is written to a new LevelDB directory as it arrives. */
import type { LogBase, SnapshotRef } from "../../../core/index.ts"
import { MalformedBytes } from "../../../interpreters/bytes.ts"
import { INLINE } from "../cost.ts"
import { type LevelDb, openLevel, putItem, sealDatabase, syncDirectory } from "./database.ts"
import type { Directories } from "./directories.ts"
import { SnapshotInvalid, isDamage } from "./errors.ts"
import { ImageReader, type ImageRecord } from "../image.ts"
import { deadlineKey, encodeRemoval, type StateIdentity, removalKey } from "../layout.ts"
import { writeSession } from "./sessionRecords.ts"
import { Slices } from "../slices.ts"

export class Incoming {
  readonly id: string
  readonly name: string
  /** Offset of the next expected byte. */
  offset = 0
  private complete = false
  private base: LogBase | null = null
  private large = false
  private readonly db: LevelDb
  private readonly reader = new ImageReader()
  private constructor(id: string, name: string, db: LevelDb) {
    this.id = id
    this.name = name
    this.db = db
  }
  static async begin(directories: Directories, id: string): Promise<Incoming> {
    const name = directories.fresh()
    return new Incoming(id, name, await openLevel(directories.path(name), true))
  }

  async store(bytes: Buffer, last: boolean): Promise<void> {
    const slices = new Slices()
    const batch = this.db.batch()
    try {
      for (const record of this.reader.push(bytes)) {
        this.put(batch, record)
        if (slices.due()) await slices.giveWay()
      }
    } catch (thrown) {
      await batch.close()
      if (thrown instanceof MalformedBytes || isDamage(thrown))
        throw new SnapshotInvalid({ id: this.id, found: "a record fails its checks", cause: thrown })
      throw thrown
    }
    await batch.write()
    this.offset += bytes.length
    this.complete = last
  }
  private put(batch: ReturnType<LevelDb["batch"]>, record: ImageRecord): void {
    switch (record.type) {
      case "header":
        this.base = record.base
        break
      case "session":
        writeSession(batch, record.session, record.session.lowest, [])
        break
      case "removals":
        for (const [part, index] of record.removals) batch.put(removalKey(part), encodeRemoval(part, index))
        break
      case "data":
        putItem(batch, 0, record.key, record.item, false)
        if (record.item.length > INLINE) this.large = true
        if (record.item.expiry !== 0) batch.put(deadlineKey(0, record.item.expiry, record.key), EMPTY)
        break
    }
  }

  /**
   * The complete snapshot is checked and durable under the node's own identity, but not current yet. `as`: the position
   * that it gets, if not its own.
   */
  async finish(
    snapshot: Pick<SnapshotRef, "index" | "term">,
    identity: StateIdentity,
    root: string,
    as?: LogBase,
  ): Promise<LevelDb> {
    const { base } = this
    if (!this.complete || !this.reader.complete() || base === null)
      throw new SnapshotInvalid({ id: this.id, found: "it is not all here" })
    if (base.index !== snapshot.index || base.term !== snapshot.term) {
      throw new SnapshotInvalid({
        id: this.id,
        found: `it ends at entry ${base.index} of term ${base.term}, but the leader announced entry ${snapshot.index} of term ${snapshot.term}`,
      })
    }
    await sealDatabase(this.db, identity, as ?? base, this.large)
    await syncDirectory(root)
    return this.db
  }
  async abandon(directories: Directories): Promise<void> {
    await this.db.close()
    await directories.remove(this.name)
  }
}

const EMPTY = Buffer.alloc(0)
