/** Tables of small integers in typed arrays: the data that the search touches for each transition. */

/** For indexes that are in range by construction. */
export const at = (array: Int32Array, index: number): number => array[index] as number

const mix = (hash: number, value: number): number => {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}
export const rangeHash = (values: Int32Array, from: number, length: number): number => {
  let hash = length
  for (let i = from; i < from + length; i++) hash = mix(hash, at(values, i))
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** A list that grows. */
export interface IntList {
  data: Int32Array
  length: number
}
export const makeList = (): IntList => ({ data: new Int32Array(1024), length: 0 })
export const push = (list: IntList, value: number): void => {
  if (list.length === list.data.length) {
    const grown = new Int32Array(list.data.length * 2)
    grown.set(list.data)
    list.data = grown
  }
  list.data[list.length++] = value
}
/** A list in which every place not yet written holds `empty`. */
export const put = (list: IntList, index: number, value: number, empty: number): void => {
  if (index >= list.data.length) {
    const grown = new Int32Array(Math.max(list.data.length * 2, index + 1)).fill(empty, list.length)
    grown.set(list.data.subarray(0, list.length))
    list.data = grown
  }
  if (index >= list.length) {
    list.data.fill(empty, list.length, index)
    list.length = index + 1
  }
  list.data[index] = value
}
export const peek = (list: IntList, index: number, empty: number): number =>
  index < list.length ? at(list.data, index) : empty

/** Items as numbers, by a text that only equal items share. */
export class Interned<T> {
  readonly items: T[] = []
  private readonly ids = new Map<string, number>()

  idOf(text: string, item: T): number {
    const known = this.ids.get(text)
    if (known !== undefined) return known
    this.ids.set(text, this.items.length)
    return this.items.push(item) - 1
  }
}

/** Tuples of any length, each stored once: equal tuples have equal ids. */
export class Tuples {
  private readonly starts = makeList()
  readonly data = makeList()
  private readonly signatures = makeList()
  private slots = new Int32Array(1024)

  constructor() {
    push(this.starts, 0)
  }
  get size(): number {
    return this.starts.length - 1
  }
  start(id: number): number {
    return at(this.starts.data, id)
  }
  end(id: number): number {
    return at(this.starts.data, id + 1)
  }
  /** A bit for each value, shared by many: the signature of a tuple contains the bits of all its values. */
  signatureOf(id: number): number {
    while (this.signatures.length <= id) {
      const next = this.signatures.length
      let signature = 0
      for (let i = this.start(next), end = this.end(next); i < end; i++)
        signature |= 1 << (Math.imul(at(this.data.data, i), 0x9e3779b1) >>> 27)
      push(this.signatures, signature)
    }
    return at(this.signatures.data, id)
  }
  /** For two ascending tuples: every value of `a` is in `b`. */
  isSubset(a: number, b: number): boolean {
    const { data } = this.data
    let j = this.start(b)
    const until = this.end(b)
    for (let i = this.start(a), end = this.end(a); i < end; i++) {
      const value = at(data, i)
      while (j < until && at(data, j) < value) j++
      if (j === until || at(data, j) !== value) return false
    }
    return true
  }
  /** The id of `values[0 .. length)`; a new one is `size` before the call. */
  intern(values: Int32Array, length: number): number {
    if (this.size * 2 >= this.slots.length) this.rehash()
    const mask = this.slots.length - 1
    let slot = rangeHash(values, 0, length) & mask
    for (;;) {
      const found = at(this.slots, slot) - 1
      if (found < 0) break
      if (this.equals(found, values, length)) return found
      slot = (slot + 1) & mask
    }
    const id = this.size
    for (let i = 0; i < length; i++) push(this.data, at(values, i))
    push(this.starts, this.data.length)
    this.slots[slot] = id + 1
    return id
  }
  private equals(id: number, values: Int32Array, length: number): boolean {
    const from = this.start(id)
    if (this.end(id) - from !== length) return false
    for (let i = 0; i < length; i++) if (at(this.data.data, from + i) !== at(values, i)) return false
    return true
  }
  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 2)
    const mask = slots.length - 1
    for (let id = 0; id < this.size; id++) {
      const from = this.start(id)
      let slot = rangeHash(this.data.data, from, this.end(id) - from) & mask
      while (at(slots, slot) !== 0) slot = (slot + 1) & mask
      slots[slot] = id + 1
    }
    this.slots = slots
  }
  get bytes(): number {
    return 4 * (this.starts.data.length + this.data.data.length + this.slots.length)
  }
}

const pairHash = (a: number, b: number): number => {
  let hash = mix(mix(2, a), b)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Pairs of integers (the first at least 0) to an integer. */
export class PairMap {
  private cells = new Int32Array(3 * 1024).fill(-1)
  private used = 0
  /** undefined is written as `missing`: a value that is never stored. */
  get(a: number, b: number, missing: number): number {
    const { cells } = this
    const capacity = cells.length / 3
    let cell = pairHash(a, b) & (capacity - 1)
    for (;;) {
      const place = cell * 3
      const key = at(cells, place)
      if (key === a && at(cells, place + 1) === b) return at(cells, place + 2)
      if (key === -1) return missing
      cell = (cell + 1) & (capacity - 1)
    }
  }
  set(a: number, b: number, value: number): void {
    if (this.used * 5 >= this.cells.length) this.grow()
    this.used++
    this.insert(this.cells, a, b, value)
  }
  private insert(cells: Int32Array, a: number, b: number, value: number): void {
    const capacity = cells.length / 3
    let cell = pairHash(a, b) & (capacity - 1)
    while (at(cells, cell * 3) !== -1) cell = (cell + 1) & (capacity - 1)
    cells[cell * 3] = a
    cells[cell * 3 + 1] = b
    cells[cell * 3 + 2] = value
  }
  private grow(): void {
    const old = this.cells
    const cells = new Int32Array(old.length * 2).fill(-1)
    for (let place = 0; place < old.length; place += 3)
      if (at(old, place) !== -1) this.insert(cells, at(old, place), at(old, place + 1), at(old, place + 2))
    this.cells = cells
  }
  get size(): number {
    return this.used
  }
  get bytes(): number {
    return 4 * this.cells.length
  }
}

const SEGMENT = 1 << 18
/** Records of one width, by the million, each stored once; ids are given in the order of arrival. */
export class Records {
  private readonly width: number
  private readonly segments: Int32Array[] = []
  private slots = new Int32Array(1 << 16)
  size = 0

  constructor(width: number) {
    this.width = width
  }
  field(id: number, i: number): number {
    return at(this.segments[id >>> 18] as Int32Array, (id & (SEGMENT - 1)) * this.width + i)
  }
  load(id: number, into: Int32Array): void {
    const segment = this.segments[id >>> 18] as Int32Array
    const from = (id & (SEGMENT - 1)) * this.width
    for (let i = 0; i < this.width; i++) into[i] = at(segment, from + i)
  }
  /** The id; a new one is `size` before the call. */
  intern(values: Int32Array): number {
    if (this.size * 5 >= this.slots.length * 3) this.rehash()
    const { width, segments } = this
    const mask = this.slots.length - 1
    let slot = rangeHash(values, 0, width) & mask
    for (;;) {
      const found = at(this.slots, slot) - 1
      if (found < 0) break
      const segment = segments[found >>> 18] as Int32Array
      const from = (found & (SEGMENT - 1)) * width
      let i = 0
      while (i < width && at(segment, from + i) === at(values, i)) i++
      if (i === width) return found
      slot = (slot + 1) & mask
    }
    const id = this.size++
    const place = id & (SEGMENT - 1)
    if (place === 0) segments.push(new Int32Array(SEGMENT * width))
    ;(segments[id >>> 18] as Int32Array).set(
      width === values.length ? values : values.subarray(0, width),
      place * width,
    )
    this.slots[slot] = id + 1
    return id
  }
  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 2)
    const mask = slots.length - 1
    for (let id = 0; id < this.size; id++) {
      let slot = rangeHash(this.segments[id >>> 18] as Int32Array, (id & (SEGMENT - 1)) * this.width, this.width) & mask
      while (at(slots, slot) !== 0) slot = (slot + 1) & mask
      slots[slot] = id + 1
    }
    this.slots = slots
  }
  get bytes(): number {
    return 4 * (this.slots.length + this.segments.length * SEGMENT * this.width)
  }
}
