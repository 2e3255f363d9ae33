/**
 * Remembers removed keys, for the WATCH of a key that does not exist: a key that was set and removed since looks the
 * same as before. A removal is recorded by the place of the key, in one of 65,536 parts, with the index of the entry.
 * For a key with a deadline that is done when the deadline is set, because each node removes expired keys at its own
 * time. So this takes little memory, whatever the number of keys, and is the same on every node. Two keys of one part
 * cannot be distinguished, and a FLUSHALL counts as a removal of every key: such a watch fails as if its key had
 * changed. (For FLUSHALL a node spares its own clients: when it executes one, it knows which of their watches stay
 * valid, see FlushListener.)
 */
import { placeOf } from "./place.ts"

/** Divides places into 2^48 / 2^32 parts. */
const PART = 2 ** 32
/** The part that stands for all parts, used by FLUSHALL. */
const ALL = 2 ** 16

const partOf = (key: Uint8Array): number => Math.floor(placeOf(key) / PART)

/** Versions of keys are log indexes, which never become this large: versions from here on stand for absent keys. */
const ABSENT = 2 ** 47
/** The version for a watch of a key that does not exist after entry `index`. */
export const absentAfter = (index: number): number => ABSENT + index
export const isAbsentVersion = (version: number): boolean => version >= ABSENT
/** No key has this version: a watch of it fails. */
export const NO_VERSION = ABSENT - 1

export type Removal = readonly [part: number, index: number]

export class Removals {
  private readonly last: Map<number, number>
  private readonly dirty = new Set<number>()
  private readonly undos: (readonly [part: number, before: number | undefined])[] = []
  constructor(last: Iterable<Removal> = []) {
    this.last = new Map(last)
  }
  /** Entry `index` removes the key, or sets a deadline that removes it later. */
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
  /** Whether the watch of a key that does not exist still holds. Version 0 demands only that it does not exist. */
  fits(key: Uint8Array, version: number): boolean {
    if (version < ABSENT) return version === 0
    const since = version - ABSENT
    return (this.last.get(partOf(key)) ?? 0) <= since && (this.last.get(ALL) ?? 0) <= since
  }
  /** From here on records can be undone, until the next `begin`. */
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
  /** The records since the last `written`. */
  *changes(): Generator<Removal, void> {
    for (const part of this.dirty) {
      const index = this.last.get(part)
      if (index !== undefined) yield [part, index]
    }
  }
  written(): void {
    this.dirty.clear()
  }
  /** All records, in order. */
  all(): Removal[] {
    return [...this.last].sort(([a], [b]) => a - b)
  }
}
