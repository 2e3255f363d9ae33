/** The chunks of a snapshot, in order: at most one is received at a time, into a database beside the current one. */
import type { Directories } from "./directories.ts"
import { SnapshotInvalid } from "./errors.ts"
import { Incoming } from "./incoming.ts"

export class Receiving {
  private incoming: Incoming | null = null
  private readonly directories: Directories
  constructor(directories: Directories) {
    this.directories = directories
  }
  /** Returns the offset that is expected next; a chunk at any other offset is ignored. Offset 0 starts over. */
  async store(id: string, offset: number, bytes: Uint8Array, last: boolean): Promise<number> {
    if (offset === 0) {
      await this.abandon()
      this.incoming = await Incoming.begin(this.directories, id)
    }
    const { incoming } = this
    if (incoming === null || incoming.id !== id) return 0
    if (offset !== incoming.offset) return incoming.offset
    try {
      await incoming.store(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), last)
    } catch (thrown) {
      await this.abandon()
      throw thrown
    }
    return incoming.offset
  }
  /** Hands over what was received. Throws SnapshotInvalid if it is not this snapshot. */
  take(id: string): Incoming {
    const { incoming } = this
    this.incoming = null
    if (incoming === null || incoming.id !== id) throw new SnapshotInvalid({ id, found: "it is not here" })
    return incoming
  }
  async abandon(): Promise<void> {
    const { incoming } = this
    this.incoming = null
    await incoming?.abandon(this.directories)
  }
}
