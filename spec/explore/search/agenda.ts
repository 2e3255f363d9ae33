/** Decides which state is expanded next. */
import { at, makeList, push, type IntList } from "./tables.ts"

export interface Agenda {
  readonly size: number
  /** All states on lower levels are done; 0 if levels are not used. */
  readonly level: number
  readonly add: (id: number, level: number, weight: number) => void
  /** The id of the next state; -1: none is left. */
  readonly take: () => number
}

export const inOrderOfArrival = (): Agenda => {
  const arrivals = makeList()
  let taken = 0
  return {
    get size() {
      return arrivals.length - taken
    },
    level: 0,
    add: (id) => push(arrivals, id),
    take: () => (taken < arrivals.length ? at(arrivals.data, taken++) : -1),
  }
}

interface Level {
  /** By weight. */
  readonly buckets: IntList[]
  heaviest: number
  size: number
}

/** The lowest level first, and in it the heaviest state. */
export const heaviestOfLowest = (): Agenda => {
  const levels: Level[] = []
  let size = 0
  let lowest = 0
  const levelAt = (level: number): Level => {
    while (levels.length <= level) levels.push({ buckets: [], heaviest: 0, size: 0 })
    return levels[level] as Level
  }
  const bucketAt = (level: Level, weight: number): IntList => {
    while (level.buckets.length <= weight) level.buckets.push(makeList())
    return level.buckets[weight] as IntList
  }
  return {
    get size() {
      return size
    },
    get level() {
      return lowest
    },
    add: (id, level, weight) => {
      const here = levelAt(level)
      push(bucketAt(here, weight), id)
      here.heaviest = Math.max(here.heaviest, weight)
      here.size++
      lowest = Math.min(lowest, level)
      size++
    },
    take: () => {
      if (size === 0) return -1
      while (levelAt(lowest).size === 0) lowest++
      const here = levelAt(lowest)
      while (bucketAt(here, here.heaviest).length === 0) here.heaviest--
      const bucket = bucketAt(here, here.heaviest)
      here.size--
      size--
      return at(bucket.data, --bucket.length)
    },
  }
}
