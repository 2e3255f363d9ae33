/** The overlay of a batch under construction: what its commands have written so far, on top of LevelDB's content. */
import type { RecordStore } from "../executor.ts"
import type { Item } from "../commands/view.ts"

export interface KeyChange {
  readonly key: Buffer
  /** null: deleted. */
  readonly item: Item | null
}
/** The content of LevelDB. */
export interface StoredRecords {
  readonly get: (generation: number, key: Buffer) => Item | undefined
  readonly value: (generation: number, key: Buffer, item: Item) => Buffer
}
/** How to undo one step: the earlier change of a key, or all earlier changes. */
type Undo =
  | { readonly name: string; readonly before: KeyChange | undefined }
  | { readonly name: null; readonly all: Map<string, KeyChange> }

export class Overlay implements RecordStore {
  /** By the key's bytes as Latin-1: LevelDB sees only the last write of a key. */
  changes = new Map<string, KeyChange>()
  generation: number
  /** Only the first `steps` count; the others belong to earlier commands, and their slots are reused. */
  private readonly undos: Undo[] = []
  private steps = 0
  private readonly stored: StoredRecords
  private readonly first: number
  constructor(generation: number, stored: StoredRecords) {
    this.generation = generation
    this.first = generation
    this.stored = stored
  }
  get(key: Buffer): Item | undefined {
    const change = this.changes.get(key.toString("latin1"))
    if (change !== undefined) return change.item ?? undefined
    // A generation that began in this batch has nothing in LevelDB yet.
    return this.generation === this.first ? this.stored.get(this.generation, key) : undefined
  }
  value(key: Buffer, item: Item): Buffer {
    return item.value ?? this.stored.value(this.generation, key, item)
  }
  put(key: Buffer, item: Item): void {
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
    this.undos[this.steps++] = { name: null, all: this.changes }
    this.changes = new Map()
    this.generation++
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
        this.generation--
      } else if (undo.before === undefined) this.changes.delete(undo.name)
      else this.changes.set(undo.name, undo.before)
    }
  }
}

/** The store of an executor is the current overlay: each batch begins with a new one. */
export const storeOf = (current: () => Overlay): RecordStore => ({
  get: (key) => current().get(key),
  value: (key, item) => current().value(key, item),
  put: (key, item) => current().put(key, item),
  delete: (key) => current().delete(key),
  clear: () => current().clear(),
  begin: () => current().begin(),
  undo: () => current().undo(),
})
