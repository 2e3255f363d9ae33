/** A batch in the making: what its commands have written so far, over what LevelDB holds. */
import type { Store } from "./replica.ts"
import type { Item } from "./view.ts"

export interface Change {
  readonly key: Buffer
  /** null: deleted. */
  readonly item: Item | null
}

export class Overlay implements Store {
  /** By the key's bytes as Latin-1: the last write of a key is the only one that LevelDB sees. */
  readonly changes = new Map<string, Change>()
  generation: number
  private readonly read: (generation: number, key: Buffer) => Item | undefined
  private readonly first: number
  constructor(generation: number, read: (generation: number, key: Buffer) => Item | undefined) {
    this.generation = generation
    this.first = generation
    this.read = read
  }
  get(key: Buffer): Item | undefined {
    const change = this.changes.get(key.toString("latin1"))
    if (change !== undefined) return change.item ?? undefined
    // A generation that began in this batch has nothing in LevelDB yet.
    return this.generation === this.first ? this.read(this.generation, key) : undefined
  }
  put(key: Buffer, item: Item): void {
    this.changes.set(key.toString("latin1"), { key, item })
  }
  delete(key: Buffer): void {
    this.changes.set(key.toString("latin1"), { key, item: null })
  }
  clear(): void {
    this.changes.clear()
    this.generation++
  }
}
