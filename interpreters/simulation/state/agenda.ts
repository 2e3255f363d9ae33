/** Planned events by virtual time; those of the same moment in the order of planning. A binary heap in an array. */
import type { Planned } from "./types.ts"

const before = (a: Planned, b: Planned): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

const up = (heap: Planned[], slot: Planned, start: number): void => {
  let at = start
  while (at > 0) {
    const parentAt = (at - 1) >> 1
    const parent = heap[parentAt]
    if (parent === undefined || before(parent, slot)) break
    heap[at] = parent
    at = parentAt
  }
  heap[at] = slot
}

const down = (heap: Planned[], slot: Planned, start: number): number => {
  const { length } = heap
  let at = start
  for (;;) {
    let least = 2 * at + 1
    if (least >= length) break
    let child = heap[least]
    const right = least + 1 < length ? heap[least + 1] : undefined
    if (child !== undefined && right !== undefined && before(right, child)) {
      child = right
      least += 1
    }
    if (child === undefined || before(slot, child)) break
    heap[at] = child
    at = least
  }
  heap[at] = slot
  return at
}

export const addPlanned = (heap: Planned[], slot: Planned): void => {
  heap.push(slot)
  up(heap, slot, heap.length - 1)
}

/** Removes the event at `place`, by default the next one. */
export const takePlanned = (heap: Planned[], place = 0): Planned | undefined => {
  const taken = heap[place]
  const last = taken === undefined ? undefined : heap.pop()
  if (last === undefined) return undefined
  if (place < heap.length && down(heap, last, place) === place) up(heap, last, place)
  return taken
}
