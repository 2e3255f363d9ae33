/** Items by log index that can be dropped at both ends, so that the history of a world that runs for days stays small. */
export interface IndexWindow<T> {
  readonly get: (index: number) => T | undefined
  /** An item below the kept range is ignored. */
  readonly set: (index: number, item: T) => void
  /** Allows everything below `index` to be dropped. */
  readonly dropBelow: (index: number) => void
  readonly size: () => number
}

/** Dropping moves all items, so it waits until enough can be dropped. */
const WORTH = 1024

export const makeIndexWindow = <T>(): IndexWindow<T> => {
  let first = 0
  const items: (T | undefined)[] = []
  return {
    get: (index) => items[index - first],
    set: (index, item) => {
      if (items.length === 0) first = index
      if (index < first) return
      while (items.length < index - first) items.push(undefined)
      items[index - first] = item
    },
    dropBelow: (index) => {
      const count = Math.min(index - first, items.length)
      if (count < WORTH) return
      items.splice(0, count)
      first += count
    },
    size: () => items.length,
  }
}
