/** What is going to happen, by virtual time; what falls on the same moment happens in the order it was planned. */
export interface Agenda<T> {
  readonly add: (at: number, item: T) => void
  readonly next: () => { readonly at: number; readonly item: T } | undefined
  readonly peek: () => number | undefined
  readonly size: () => number
}

interface Slot<T> {
  readonly at: number
  readonly order: number
  readonly item: T
}

/** A binary heap. */
export const makeAgenda = <T>(): Agenda<T> => {
  const heap: Slot<T>[] = []
  let order = 0
  const before = (a: Slot<T>, b: Slot<T>): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
  const up = (slot: Slot<T>): void => {
    let at = heap.length
    heap.push(slot)
    while (at > 0) {
      const parentAt = (at - 1) >> 1
      const parent = heap[parentAt]
      if (parent === undefined || before(parent, slot)) break
      heap[at] = parent
      at = parentAt
    }
    heap[at] = slot
  }
  const down = (slot: Slot<T>): void => {
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      const least = right !== undefined && left !== undefined && before(right, left) ? right : left
      if (least === undefined || before(slot, least)) break
      heap[at] = least
      at = least === left ? 2 * at + 1 : 2 * at + 2
    }
    heap[at] = slot
  }
  return {
    add: (at, item) => up({ at, order: order++, item }),
    next: () => {
      const first = heap[0]
      const last = heap.pop()
      if (first === undefined || last === undefined) return undefined
      if (heap.length > 0) down(last)
      return { at: first.at, item: first.item }
    },
    peek: () => heap[0]?.at,
    size: () => heap.length,
  }
}
