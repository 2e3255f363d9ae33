/** What commands have written, on top of what lies below: LevelDB's content, or another overlay. */
import type { RecordStore } from "../executor.ts"
import type { Item } from "../commands/view.ts"

export interface KeyChange {
  readonly key: Buffer
  /** null: deleted. */
  readonly item: Item | null
}
/** What lies below: records as they were before. */
export interface StoredRecords {
  readonly get: (generation: number, key: Buffer) => Item | undefined
  readonly value: (generation: number, key: Buffer, item: Item) => Buffer
}
/** How to undo one step: the earlier change of a key, or all earlier changes. */
type Undo =
  | { readonly name: string; readonly before: KeyChange | undefined }
  | { readonly name: null; readonly all: Map<string, KeyChange>; readonly earliest: number }

export class Overlay implements RecordStore {
  /** By the key's bytes as Latin-1: LevelDB sees only the last write of a key. */
  changes = new Map<string, KeyChange>()
  generation: number
  /** No key expires before this time. (A command that was undone may have left it too early.) */
  earliest: number
  /** Only the first `steps` count; the others belong to earlier commands, and their slots are reused. */
  private readonly undos: Undo[] = []
  private steps = 0
  private readonly stored: StoredRecords
  private readonly first: number
  constructor(generation: number, earliest: number, stored: StoredRecords) {
    this.generation = generation
    this.earliest = earliest
    this.first = generation
    this.stored = stored
  }
  get(key: Buffer): Item | undefined {
    const change = this.changes.get(key.toString("latin1"))
    if (change !== undefined) return change.item ?? undefined
    // Nothing of a generation that began here lies below.
    return this.generation === this.first ? this.stored.get(this.generation, key) : undefined
  }
  value(key: Buffer, item: Item): Buffer {
    return item.value ?? this.stored.value(this.generation, key, item)
  }
  put(key: Buffer, item: Item): void {
    if (item.expiry !== 0 && item.expiry < this.earliest) this.earliest = item.expiry
    this.change(key, item)
  }
  delete(key: Buffer): void {
    this.change(key, null)
  }
  private change(key: Buffer, item: Item | null): void {
    const name = key.toString("latin1")
    this.undos[this.steps++] = { name, before: this.changes.get(name) }
    this.changes.set(name, { key, item })
  }
  clear(): void {
    this.undos[this.steps++] = { name: null, all: this.changes, earliest: this.earliest }
    this.changes = new Map()
    this.earliest = Infinity
    this.generation++
  }
  /** Takes over the changes of an overlay that was made on top of this one. */
  absorb(above: Overlay): void {
    this.earliest = above.earliest
    if (above.generation === this.generation) {
      for (const [name, change] of above.changes) this.changes.set(name, change)
      return
    }
    this.changes = above.changes
    this.generation = above.generation
  }
  begin(): void {
    this.steps = 0
  }
  undo(): void {
    while (this.steps > 0) {
      const undo = this.undos[--this.steps]
      if (undo === undefined) break
      if (undo.name === null) {
        this.changes = undo.all
        this.earliest = undo.earliest
        this.generation--
      } else if (undo.before === undefined) this.changes.delete(undo.name)
      else this.changes.set(undo.name, undo.before)
    }
  }
}

/** On top of another overlay: seen by nobody until that one absorbs it. */
export const overlayOn = (below: Overlay): Overlay =>
  new Overlay(below.generation, below.earliest, {
    get: (_, key) => below.get(key),
    value: (_, key, item) => below.value(key, item),
  })

/** The store of an executor is the current overlay: each call of `execute` begins with a new one. */
export const storeOf = (current: () => Overlay): RecordStore => ({
  get: (key) => current().get(key),
  value: (key, item) => current().value(key, item),
  put: (key, item) => current().put(key, item),
  delete: (key) => current().delete(key),
  clear: () => current().clear(),
  begin: () => current().begin(),
  undo: () => current().undo(),
})
