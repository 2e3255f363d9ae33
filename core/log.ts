/**
 * The replicated log as a persistent value: every operation answers a new Log and leaves the old one as it was.
 *
 * Entries are kept in chunks that several Log values share. Appending writes into the shared last chunk if no other Log
 * has written there yet, so it is O(1) amortised with no copy per step; a Log never reads past its own length. Truncating
 * and trimming only move a bound. immer must not draft it: it is a class without [immerable].
 */
import type { Chain, Entry, Index, LogBase, Term } from "./entry.ts"

/** 64 entries in a chunk, so that a place is a shift and a mask. */
const CHUNK_BITS = 6
const CHUNK = 1 << CHUNK_BITS
const PLACE = CHUNK - 1

/** The size of an entry for limits: its payload plus a small constant. */
export const entryBytes = (entry: Entry): number => (entry.kind === "command" ? entry.payload.bytes.length + 48 : 96)

/** A chunk with the running byte count after each entry since the log began. */
interface Chunk {
  readonly entries: Entry[]
  readonly bytesThrough: number[]
}
/** Takes the place of a trimmed entry. It lies before the base, so no caller ever gets it. */
const TRIMMED: Entry = { kind: "noop", index: 0, term: 0, time: 0, chain: 0 }

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

  /** The last entry, or the base if nothing follows it. */
  get last(): Entry | LogBase {
    return this.entry(this.lastIndex) ?? this.base
  }
  get lastTerm(): Term {
    return this.last.term
  }
  /** Bytes (as limits count them) of the entries after the base. */
  get bytes(): number {
    return this.bytesThrough(this.lastIndex) - this.bytesBefore
  }

  /** The entry at `index`, or undefined if it is not held (trimmed, or not there yet). */
  entry(index: Index): Entry | undefined {
    if (index <= this.base.index || index > this.lastIndex) return undefined
    const offset = index - this.origin
    return this.chunks[offset >>> CHUNK_BITS]?.entries[offset & PLACE]
  }
  /** The entry at `index`, or the base: what is known of every place that logs can be compared at. */
  at(index: Index): Entry | LogBase | undefined {
    return index === this.base.index ? this.base : this.entry(index)
  }
  termAt(index: Index): Term | undefined {
    return this.at(index)?.term
  }
  chainAt(index: Index): Chain | undefined {
    return this.at(index)?.chain
  }
  /** Running byte count through `index`; differences of it are sizes of ranges. */
  bytesThrough(index: Index): number {
    if (index <= this.base.index) return this.bytesBefore
    const offset = index - this.origin
    return this.chunks[offset >>> CHUNK_BITS]?.bytesThrough[offset & PLACE] ?? this.bytesBefore
  }

  /** Entries from `first` through `last`, as many as fit `maxBytes`, but always at least one. */
  slice(first: Index, last: Index, maxBytes: number): readonly Entry[] {
    if (first <= this.base.index || first > this.lastIndex || last < first) return []
    const end = this.lastWithin(first, Math.min(last, this.lastIndex), this.bytesThrough(first - 1) + maxBytes)
    // Whole ranges are copied at once: each entry is sliced several times on its way, so this is one of the hottest
    // functions.
    const from = first - this.origin
    const to = end - this.origin
    const lastChunk = to >>> CHUNK_BITS
    let slot = from >>> CHUNK_BITS
    if (slot === lastChunk) return this.stretch(slot, from & PLACE, (to & PLACE) + 1)
    const head = this.stretch(slot, from & PLACE, CHUNK)
    const rest: Entry[][] = []
    while (++slot < lastChunk) rest.push(this.chunks[slot]?.entries ?? [])
    rest.push(this.stretch(lastChunk, 0, (to & PLACE) + 1))
    return head.concat(...rest)
  }
  private stretch(slot: number, from: number, to: number): Entry[] {
    return this.chunks[slot]?.entries.slice(from, to) ?? []
  }
  /** The last index from `low` through `high` whose running byte count is at most `bytes`, or `low`. */
  private lastWithin(low: Index, high: Index, bytes: number): Index {
    if (this.bytesThrough(high) <= bytes) return high
    let [fits, exceeds] = [low, high]
    while (exceeds - fits > 1) {
      const middle = Math.floor((fits + exceeds) / 2)
      if (this.bytesThrough(middle) <= bytes) fits = middle
      else exceeds = middle
    }
    return fits
  }

  /** `entries` must continue the log: entries[0].index is lastIndex + 1. */
  append(entries: readonly Entry[]): Log {
    if (entries.length === 0) return this
    let { chunks } = this
    let length = this.lastIndex - this.origin + 1
    let bytes = this.bytesThrough(this.lastIndex)
    for (const entry of entries) {
      const slot = length >>> CHUNK_BITS
      const place = length & PLACE
      let chunk = chunks[slot]
      if (place === 0) {
        // Another Log has already continued from here: leave those chunks to it.
        if (chunks.length > slot) chunks = chunks.slice(0, slot)
        chunk = { entries: [], bytesThrough: [] }
        chunks.push(chunk)
      } else if (chunk === undefined) {
        throw new Error(`a fault of the log in memory: the chunk of entry ${entry.index} is missing`)
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

  /** This log without the entries at `index` and after it. */
  truncateFrom(index: Index): Log {
    if (index > this.lastIndex) return this
    return new Log(this.base, Math.max(index - 1, this.base.index), this.chunks, this.origin, this.bytesBefore)
  }

  /** This log without the entries through `base.index`, an entry that it holds. */
  trim(base: LogBase): Log {
    if (base.index <= this.base.index) return this
    if (base.index >= this.lastIndex) return Log.empty(base)
    const bytesBefore = this.bytesThrough(base.index)
    const gone = (base.index + 1 - this.origin) >>> CHUNK_BITS
    const origin = this.origin + gone * CHUNK
    // Copied, so that dropped entries become garbage: the first chunk may hold entries of several megabytes.
    const chunks = this.chunks.slice(gone)
    const first = chunks[0]
    if (first !== undefined) {
      const dropped = base.index + 1 - origin
      chunks[0] = {
        entries: first.entries.map((entry, i) => (i < dropped ? TRIMMED : entry)),
        bytesThrough: first.bytesThrough.slice(),
      }
    }
    return new Log(base, this.lastIndex, chunks, origin, bytesBefore)
  }

  /** All held entries, oldest first; for tests, recovery and the debugger. */
  toArray(): readonly Entry[] {
    const out: Entry[] = []
    for (let index = this.base.index + 1; index <= this.lastIndex; index++) {
      const entry = this.entry(index)
      if (entry !== undefined) out.push(entry)
    }
    return out
  }
}
