/**
 * Which keys came and went: what the WATCH of a key that does not exist must know, for one that was set and removed since
 * is as absent as before. A removal is noted by where the key stands, in one of 65,536 parts, with the entry that made it;
 * a deadline is noted when it is set, for when an expired key is really removed is every node's own matter. So this takes
 * little, whatever the number of keys, and is the same on every node. Two keys of one part are not told apart, nor those
 * that a FLUSHALL removed from those that it did not: such a watch fails as if its key had changed. (A node's own clients
 * are spared the latter: as it executes a FLUSHALL it can say which of their watches go on, see FlushListener.)
 */
import { placeOf } from "./place.ts"

/** Of places: 2^48 / 2^32 parts. */
const PART = 2 ** 32
/** Stands for all parts: FLUSHALL. */
const ALL = 2 ** 16

const partOf = (key: Uint8Array): number => Math.floor(placeOf(key) / PART)

/** Versions of keys are indexes of the log, which never come so far. */
const ABSENT = 2 ** 47
/** What a watch must say of a key that does not exist after the entry `index`. */
export const absentAfter = (index: number): number => ABSENT + index
export const isAbsentVersion = (version: number): boolean => version >= ABSENT
/** What no key's version is: a watch of it fails. */
export const NO_VERSION = ABSENT - 1

export type Removal = readonly [part: number, index: number]

export class Removals {
  private readonly last: Map<number, number>
  private readonly dirty = new Set<number>()
  private readonly undos: (readonly [part: number, before: number | undefined])[] = []
  constructor(last: Iterable<Removal> = []) {
    this.last = new Map(last)
  }
  /** The entry `index` removes the key, or lets it be removed later. */
  note(key: Uint8Array, index: number): void {
    this.set(partOf(key), index)
  }
  noteAll(index: number): void {
    this.set(ALL, index)
  }
  private set(part: number, index: number): void {
    this.undos.push([part, this.last.get(part)])
    this.last.set(part, index)
    this.dirty.add(part)
  }
  /** Whether a key that does not exist is what the watch says: 0 asks for no more. */
  fits(key: Uint8Array, version: number): boolean {
    if (version < ABSENT) return version === 0
    const since = version - ABSENT
    return (this.last.get(partOf(key)) ?? 0) <= since && (this.last.get(ALL) ?? 0) <= since
  }
  /** From here on notes can be taken back, until the next `begin`. */
  begin(): void {
    this.undos.length = 0
  }
  undo(): void {
    for (let undo = this.undos.pop(); undo !== undefined; undo = this.undos.pop()) {
      const [part, before] = undo
      if (before === undefined) this.last.delete(part)
      else this.last.set(part, before)
    }
  }
  /** What was noted since the last `written`. */
  *changes(): Generator<Removal, void> {
    for (const part of this.dirty) {
      const index = this.last.get(part)
      if (index !== undefined) yield [part, index]
    }
  }
  written(): void {
    this.dirty.clear()
  }
  /** All of them, in order. */
  all(): Removal[] {
    return [...this.last].sort(([a], [b]) => a - b)
  }
}
