/**
 * The replicated log as a persistent value: every operation answers a new Log and leaves the old one as it was.
 *
 * Entries are kept in chunks that several Log values share. Appending writes into the shared last chunk if no other Log
 * has written there yet, so it is O(1) amortised with no copy per step; a Log never reads past its own length. Truncating
 * and trimming only move a bound. immer must not draft it: it is a class without [immerable].
 */
import type { Chain } from "./chain.ts"
import type { Entry, Index, LogBase, Term } from "./types.ts"

const CHUNK = 64

/** The size of an entry for limits: its payload plus a small constant. */
export const entryBytes = (entry: Entry): number => (entry.kind === "command" ? entry.payload.bytes.length + 48 : 96)

/** A chunk with the running byte count after each entry since the log began. */
interface Chunk {
  readonly entries: (Entry | undefined)[]
  readonly bytesThrough: number[]
}

export class Log {
  readonly base: LogBase
  readonly lastIndex: Index
  /** `chunks[0]` starts with the entry at `origin`. */
  private readonly chunks: Chunk[]
  private readonly origin: Index
  private readonly bytesBefore: number

  private constructor(base: LogBase, lastIndex: Index, chunks: Chunk[], origin: Index, bytesBefore: number) {
    this.base = base
    this.lastIndex = lastIndex
    this.chunks = chunks
    this.origin = origin
    this.bytesBefore = bytesBefore
  }

  static empty(base: LogBase): Log {
    return new Log(base, base.index, [], base.index + 1, 0)
  }

  static of(base: LogBase, entries: readonly Entry[]): Log {
    return Log.empty(base).append(entries)
  }

  get lastTerm(): Term {
    return this.termAt(this.lastIndex) ?? 0
  }
  get lastTime(): number {
    return this.lastIndex === this.base.index ? this.base.time : (this.entry(this.lastIndex)?.time ?? this.base.time)
  }
  /** Bytes (as limits count them) of the entries after the base. */
  get bytes(): number {
    return this.bytesThrough(this.lastIndex) - this.bytesBefore
  }

  /** The entry at `index`, or undefined if it is not held (trimmed, or not there yet). */
  entry(index: Index): Entry | undefined {
    if (index <= this.base.index || index > this.lastIndex) return undefined
    const offset = index - this.origin
    return this.chunks[Math.floor(offset / CHUNK)]?.entries[offset % CHUNK]
  }
  /** Known for every held entry and for the base itself. */
  termAt(index: Index): Term | undefined {
    return index === this.base.index ? this.base.term : this.entry(index)?.term
  }
  /** The same for the chained checksum. */
  chainAt(index: Index): Chain | undefined {
    return index === this.base.index ? this.base.chain : this.entry(index)?.chain
  }
  get lastChain(): Chain {
    return this.chainAt(this.lastIndex) ?? 0
  }
  /** Running byte count through `index`; differences of it are sizes of ranges. */
  bytesThrough(index: Index): number {
    if (index <= this.base.index) return this.bytesBefore
    const offset = index - this.origin
    return this.chunks[Math.floor(offset / CHUNK)]?.bytesThrough[offset % CHUNK] ?? this.bytesBefore
  }

  /** Entries from `first` through `last`, as many as fit `maxBytes`, but always at least one. */
  slice(first: Index, last: Index, maxBytes: number): readonly Entry[] {
    const out: Entry[] = []
    const end = Math.min(last, this.lastIndex)
    let bytes = 0
    for (let index = first; index <= end; index++) {
      const entry = this.entry(index)
      if (entry === undefined) break
      bytes += entryBytes(entry)
      if (bytes > maxBytes && out.length > 0) break
      out.push(entry)
    }
    return out
  }

  /** `entries` must continue the log: entries[0].index is lastIndex + 1. */
  append(entries: readonly Entry[]): Log {
    if (entries.length === 0) return this
    let { chunks } = this
    let length = this.lastIndex - this.origin + 1
    let bytes = this.bytesThrough(this.lastIndex)
    for (const entry of entries) {
      const slot = Math.floor(length / CHUNK)
      const place = length % CHUNK
      let chunk = chunks[slot]
      if (place === 0) {
        // Another Log has already continued from here: leave those chunks to it.
        if (chunks.length > slot) chunks = chunks.slice(0, slot)
        chunk = { entries: [], bytesThrough: [] }
        chunks.push(chunk)
      } else if (chunk === undefined) {
        throw new Error("a log lost a chunk")
      } else if (chunk.entries.length > place) {
        chunk = { entries: chunk.entries.slice(0, place), bytesThrough: chunk.bytesThrough.slice(0, place) }
        chunks = chunks.slice(0, slot)
        chunks.push(chunk)
      }
      bytes += entryBytes(entry)
      chunk.entries.push(entry)
      chunk.bytesThrough.push(bytes)
      length++
    }
    return new Log(this.base, this.lastIndex + entries.length, chunks, this.origin, this.bytesBefore)
  }

  /** Without the entries at `index` and after it. */
  truncateFrom(index: Index): Log {
    if (index > this.lastIndex) return this
    return new Log(this.base, Math.max(index - 1, this.base.index), this.chunks, this.origin, this.bytesBefore)
  }

  /** Without the entries through `base.index`, which this log holds. */
  trim(base: LogBase): Log {
    if (base.index <= this.base.index) return this
    if (base.index >= this.lastIndex) return Log.empty(base)
    const bytesBefore = this.bytesThrough(base.index)
    const gone = Math.floor((base.index + 1 - this.origin) / CHUNK)
    const origin = this.origin + gone * CHUNK
    // Copied, so that dropped entries become garbage: the first chunk may hold entries of several megabytes.
    const chunks = this.chunks.slice(gone)
    const first = chunks[0]
    if (first !== undefined) {
      const dropped = base.index + 1 - origin
      chunks[0] = { entries: first.entries.map((entry, i) => (i < dropped ? undefined : entry)), bytesThrough: first.bytesThrough.slice() }
    }
    return new Log(base, this.lastIndex, chunks, origin, bytesBefore)
  }

  /** All held entries, oldest first; for tests, recovery and the debugger. */
  toArray(): readonly Entry[] {
    return this.slice(this.base.index + 1, this.lastIndex, Number.POSITIVE_INFINITY)
  }
}
