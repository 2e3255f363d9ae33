/** core/log.ts against a plain array: branches from any earlier version, and no version ever changes. */
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { entryBytes, Log, type Entry, type LogBase } from "../core/index.ts"
import { voting } from "./server.ts"

/** What a Log is: the entries after a base. */
interface Model {
  readonly base: LogBase
  readonly entries: readonly Entry[]
}
type Operation =
  | { readonly type: "append"; readonly count: number; readonly size: number }
  | { readonly type: "truncate"; readonly share: number }
  | { readonly type: "trim"; readonly share: number }
interface Version {
  readonly log: Log
  readonly model: Model
}

const baseAt = (index: number, term: number): LogBase => ({
  index,
  term,
  time: index * 10,
  chain: index * 7,
  configuration: voting("abc"),
})
const lastOf = ({ base, entries }: Model): number => base.index + entries.length
const bytesOf = (entries: readonly Entry[]): number => entries.reduce((bytes, entry) => bytes + entryBytes(entry), 0)

let fresh = 1
const continuing = (model: Model, count: number, size: number): readonly Entry[] => {
  const term = (model.entries.at(-1)?.term ?? model.base.term) + (fresh % 3 === 0 ? 1 : 0)
  return Array.from({ length: count }, (_, i): Entry => {
    const at = { index: lastOf(model) + 1 + i, term, time: fresh * 10, chain: fresh }
    const id = fresh++
    return id % 7 === 0
      ? { kind: "noop", ...at }
      : { kind: "command", ...at, payload: { bytes: new Uint8Array(size), checksum: id } }
  })
}

const change = ({ log, model }: Version, operation: Operation): Version => {
  const at = (share: number): number => model.base.index + Math.floor(share * (model.entries.length + 2))
  switch (operation.type) {
    case "append": {
      const added = continuing(model, operation.count, operation.size)
      return { log: log.append(added), model: { base: model.base, entries: [...model.entries, ...added] } }
    }
    case "truncate": {
      const index = at(operation.share)
      return {
        log: log.truncateFrom(index),
        model: { base: model.base, entries: model.entries.filter((entry) => entry.index < index) },
      }
    }
    case "trim": {
      const index = at(operation.share)
      const base = baseAt(index, model.entries.find((entry) => entry.index === index)?.term ?? model.base.term)
      if (index <= model.base.index) return { log: log.trim(base), model }
      return { log: log.trim(base), model: { base, entries: model.entries.filter((entry) => entry.index > index) } }
    }
  }
}

const check = ({ log, model }: Version): void => {
  const { base, entries } = model
  const last = lastOf(model)
  expect([log.base.index, log.lastIndex, log.lastTerm]).toEqual([base.index, last, entries.at(-1)?.term ?? base.term])
  expect(log.last.time).toBe(entries.at(-1)?.time ?? base.time)
  expect(log.bytes).toBe(bytesOf(entries))
  const held = log.toArray()
  if (held.length !== entries.length || held.some((entry, i) => entry !== entries[i])) expect(held).toEqual(entries)
  expect([log.entry(base.index), log.entry(last + 1), log.termAt(base.index), log.termAt(last + 1)]).toEqual([
    undefined,
    undefined,
    base.term,
    undefined,
  ])
  let bytes = log.bytesThrough(base.index)
  for (const entry of entries) {
    bytes += entryBytes(entry)
    if (
      log.entry(entry.index) !== entry ||
      log.termAt(entry.index) !== entry.term ||
      log.bytesThrough(entry.index) !== bytes
    )
      expect(log.entry(entry.index)).toBe(entry)
  }
}

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    type: fc.constant("append" as const),
    count: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 50, max: 140 })),
    size: fc.nat(40),
  }),
  fc.record({ type: fc.constant("truncate" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ type: fc.constant("trim" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
)
/** Each step changes the newest version, or any earlier one. */
const steps = fc.array(fc.record({ from: fc.option(fc.nat(1000), { nil: undefined, freq: 2 }), operation }), {
  minLength: 1,
  maxLength: 12,
})

test("a log is its base and the entries after it, whatever is done, and earlier versions stay as they were", () => {
  fc.assert(
    fc.property(fc.nat(100), steps, (start, script) => {
      const base = baseAt(start, 3)
      const versions: Version[] = [{ log: Log.empty(base), model: { base, entries: [] } }]
      for (const { from, operation: what } of script) {
        const version = versions[from === undefined ? versions.length - 1 : from % versions.length]
        if (version !== undefined) versions.push(change(version, what))
      }
      for (const version of versions) check(version)
    }),
    { numRuns: 150 },
  )
})

test("a slice holds what fits, but always one entry, and ends where the log does", () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.integer({ min: 1, max: 90 }),
      fc.nat(100),
      fc.nat(100),
      fc.nat(1000),
      (start, count, skip, length, maxBytes) => {
        const model: Model = { base: baseAt(start, 1), entries: [] }
        const entries = continuing(model, count, 30)
        const log = Log.of(model.base, entries)
        const first = start + 1 + (skip % count)
        const wanted = entries.filter(({ index }) => index >= first && index <= first + length)
        const slice = log.slice(first, first + length, maxBytes)
        expect(slice).toEqual(wanted.slice(0, slice.length))
        expect(slice.length).toBeGreaterThan(0)
        if (slice.length > 1) expect(bytesOf(slice)).toBeLessThanOrEqual(maxBytes)
        const next = wanted[slice.length]
        if (next !== undefined) expect(bytesOf([...slice, next])).toBeGreaterThan(maxBytes)
      },
    ),
    { numRuns: 150 },
  )
})

test("what is not held cannot be sliced", () => {
  const log = Log.of(baseAt(5, 1), continuing({ base: baseAt(5, 1), entries: [] }, 3, 1))
  expect([log.slice(3, 8, 1000), log.slice(9, 12, 1000), log.slice(7, 6, 1000)]).toEqual([[], [], []])
  const long = log.append(continuing({ base: baseAt(8, 1), entries: [] }, 200, 1))
  for (const last of [0, 4, 5, 6, 70, 199]) expect(long.slice(200, last, 1000)).toEqual([])
})
