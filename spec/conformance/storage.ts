/** Checks that a Storage keeps its contract (interpreters/contract.ts). */
import { origin, type Entry, type HardState, type LogBase, type Persist } from "../../core/index.ts"
import type { Storage, Stored } from "../../interpreters/contract.ts"
import { makeRandom, type Random } from "../../interpreters/simulation/index.ts"
import {
  failCheck,
  checksOf,
  demand,
  demandEqual,
  plainText,
  requireStaging,
  eventLoopTurns,
  until,
  type ConformanceOptions,
  type ConformanceCheck,
} from "./check.ts"
import {
  randomBytesOf,
  entryAfter,
  extremes,
  memberNamed,
  logPositionOf,
  someConfiguration,
  type Content,
  type LogPosition,
} from "./entries.ts"

/** One disk, directory, database, or other place on which the storage is opened. */
export interface StorageSubject {
  /** The first time it is empty; later it holds what the last storage left. */
  readonly open: () => Promise<Storage>
  /** Stops the open storage cleanly. */
  readonly close: () => Promise<void>
  /** The machine of the open storage loses power: whatever is not durable may be gone. */
  readonly crash?: () => Promise<void>
  /** Makes the next write fail. */
  readonly fail?: () => void
  /** Called when the subject is no longer needed, open or not. */
  readonly dispose: () => Promise<void>
}

/** What a storage must hold, by the plainest implementation of the contract. */
interface Model {
  readonly hardState: HardState
  readonly base: LogBase
  readonly entries: readonly Entry[]
}
const NOTHING: Model = { hardState: { term: 0, vote: null }, base: origin, entries: [] }
const after = (model: Model, { hardState, truncateFrom, base, entries }: Persist): Model => {
  let kept = truncateFrom === null ? model.entries : model.entries.filter(({ index }) => index < truncateFrom)
  if (base !== null)
    kept = (kept.at(-1)?.index ?? model.base.index) >= base.index ? kept.filter(({ index }) => index > base.index) : []
  return { hardState: hardState ?? model.hardState, base: base ?? model.base, entries: [...kept, ...entries] }
}
const lastOf = ({ base, entries }: Model): LogPosition => entries.at(-1) ?? base

const contentOf = (random: Random): Content => {
  const choice = random.below(8)
  if (choice === 0) return { kind: "noop" }
  if (choice === 1) return { kind: "configuration", configuration: someConfiguration }
  return { kind: "command", bytes: randomBytesOf(random, random.below(10) === 0 ? 3000 : random.below(60)) }
}

/**
 * The next Persist as a running server would write it: appends, votes, overwritten tails, trimmed logs, installed
 * snapshots.
 */
const nextPersist = (random: Random, model: Model, seq: number): Persist => {
  const one = { type: "Persist" as const, seq }
  const { hardState, base, entries } = model
  const last = lastOf(model)
  const newTerm: HardState | null =
    random.below(4) === 0
      ? {
          term: Math.max(hardState.term, last.term) + random.below(3),
          vote: random.below(2) === 0 ? memberNamed("a") : null,
        }
      : null
  const term = Math.max(newTerm?.term ?? hardState.term, last.term)
  const run = (from: LogPosition, count: number): Entry[] => {
    const out: Entry[] = []
    let before = from
    for (let i = 0; i < count; i++) {
      const entry = entryAfter(before, contentOf(random), term)
      out.push(entry)
      before = entry
    }
    return out
  }
  const choice = random.below(12)
  if (choice === 0) {
    // A snapshot from a peer, beyond the end of the log, or within a log that does not agree with it.
    const index = base.index + 1 + random.below(entries.length + 5)
    const installed: LogBase = {
      index,
      term,
      time: last.time + 1,
      chain: random.below(1000),
      configuration: someConfiguration,
    }
    return {
      ...one,
      hardState: newTerm,
      truncateFrom: index + 1,
      base: installed,
      entries: run(installed, random.below(2)),
    }
  }
  if (choice <= 2 && entries.length > 0) {
    const at = entries[random.below(entries.length)] ?? failCheck("no entry")
    return {
      ...one,
      hardState: newTerm,
      truncateFrom: null,
      base: { ...logPositionOf(at), configuration: someConfiguration },
      entries: run(last, random.below(3)),
    }
  }
  if (choice <= 5 && entries.length > 0) {
    const cut = random.below(entries.length)
    return {
      ...one,
      hardState: newTerm,
      truncateFrom: base.index + 1 + cut,
      base: null,
      entries: run(entries[cut - 1] ?? base, 1 + random.below(3)),
    }
  }
  return {
    ...one,
    hardState: newTerm,
    truncateFrom: null,
    base: null,
    entries: run(last, newTerm === null ? 1 + random.below(4) : random.below(3)),
  }
}

const deepFreeze = (value: unknown): void => {
  // The bytes of typed arrays cannot be frozen, so they are compared afterwards.
  if (typeof value !== "object" || value === null || value instanceof Uint8Array || Object.isFrozen(value)) return
  Object.freeze(value)
  Object.values(value).forEach(deepFreeze)
}

/** An open storage, and everything that it has reported. */
class Opened {
  readonly storage: Storage
  readonly stored: Stored
  readonly reports: number[] = []
  readonly failures: Error[] = []
  constructor(storage: Storage) {
    this.storage = storage
    const { hardState, base, entries } = storage.stored
    this.stored = { hardState, base, entries: [...entries] }
    storage.attach({ persisted: (seq) => this.reports.push(seq), failed: (error) => this.failures.push(error) })
  }
  get reported(): number {
    return this.reports.at(-1) ?? 0
  }
  async settled(seq: number): Promise<void> {
    await until(
      `Persist ${seq} is reported (the last one reported is ${this.reported})`,
      () => this.reported >= seq || this.failures.length > 0,
    )
    demand(this.failures.length === 0, () => `it failed: ${this.failures[0]?.message ?? ""}`)
  }
}

const demandStored = (what: string, found: Stored, { hardState, base, entries }: Model): void => {
  demandEqual(`${what}: the hard state`, found.hardState, hardState)
  demandEqual(`${what}: the base`, found.base, base)
  demandEqual(
    `${what}: the indexes`,
    found.entries.map(({ index }) => index),
    entries.map(({ index }) => index),
  )
  entries.forEach((entry, i) => demandEqual(`${what}: entry ${entry.index}`, found.entries[i], entry))
}
const sameStored = ({ hardState, base, entries }: Stored, model: Model): boolean =>
  entries.length === model.entries.length && plainText({ hardState, base, entries }) === plainText(model)

/** `make` makes a new subject, on which nothing was ever written; each check uses one or more. */
export const storageConformance = (
  make: () => Promise<StorageSubject>,
  options: ConformanceOptions = {},
): readonly ConformanceCheck[] => {
  const { seed = 1 } = options
  const subject = async (body: (it: StorageSubject) => Promise<void>): Promise<void> => {
    const it = await make()
    try {
      await body(it)
    } finally {
      await it.dispose()
    }
  }
  const reopened = async (it: StorageSubject): Promise<Opened> => {
    await it.close()
    return new Opened(await it.open())
  }
  /** Hands over the Persists of one start. Returns the model after each of them, and first the one before all. */
  const life = (random: Random, opened: Opened, from: Model, count: number): Model[] => {
    const models = [from]
    for (let seq = 1; seq <= count; seq++) {
      const before = models[seq - 1] ?? from
      const persist = nextPersist(random, before, seq)
      opened.storage.persist(persist)
      models.push(after(before, persist))
    }
    return models
  }

  return checksOf(
    [
      {
        name: "new storage is empty",
        demands: "opened where nothing was ever written, `stored` is term 0, no vote, base 0 and no entries",
        why: "a server that begins with a vote or an entry that it never had can break both elections and logs",
        run: () => subject(async (it) => demandStored("new", new Opened(await it.open()).stored, NOTHING)),
      },
      {
        name: "handlers are called later",
        demands: "`attach` and `persist` return before any handler is called",
        why: "the driver executes the effects of one turn in order; a call in the middle would be handled half-way through it",
        run: () =>
          subject(async (it) => {
            const storage = await it.open()
            let inside = true
            let early = false
            const called = (): void => {
              early ||= inside
            }
            const reported: number[] = []
            storage.attach({ persisted: (seq) => (called(), reported.push(seq)), failed: called, space: called })
            storage.persist(nextPersist(makeRandom(seed), NOTHING, 1))
            inside = false
            await until("the Persist is reported", () => reported.includes(1))
            demand(!early, () => "a handler was called before `persist` had returned")
          }),
      },
      {
        name: "reports rise and cover everything",
        demands:
          "`persisted` is called with rising numbers, never with one that was not handed over, until the last one was reported",
        why: "the core takes persists off its list from the front; a number told too early claims a vote or an acknowledgement that a crash takes back",
        run: () =>
          subject(async (it) => {
            const opened = new Opened(await it.open())
            const random = makeRandom(seed)
            let model = NOTHING
            for (let seq = 1; seq <= 60; seq++) {
              const persist = nextPersist(random, model, seq)
              opened.storage.persist(persist)
              model = after(model, persist)
              demand(
                opened.reported <= seq,
                () => `${opened.reported} was reported when ${seq} was the last that had been handed over`,
              )
              if (random.below(3) === 0) await eventLoopTurns(1)
            }
            await opened.settled(60)
            await eventLoopTurns()
            demandEqual(
              "the order of reports",
              opened.reports,
              opened.reports.toSorted((a, b) => a - b).filter((seq, i, all) => seq !== all[i - 1]),
            )
          }),
      },
      {
        name: "all parts come back exactly",
        demands:
          "hard state, base and entries of every kind, empty and large payloads, any text in names, and the largest numbers are read back as they were handed over",
        why: "a number or a byte that comes back as another one is another log, and its chained checksum stops the server",
        run: () =>
          subject(async (it) => {
            let opened = new Opened(await it.open())
            const random = makeRandom(seed)
            const contents: Content[] = [
              { kind: "noop" },
              { kind: "configuration", configuration: someConfiguration },
              ...[0, 1, 511, 512, 513, 70_000, 1 << 20].map((size): Content => ({
                kind: "command",
                bytes: randomBytesOf(random, size),
              })),
            ]
            const entries: Entry[] = []
            for (const content of contents) entries.push(entryAfter(entries.at(-1) ?? origin, content, 3))
            let model = NOTHING
            let seq = 0
            const write = (persist: Omit<Persist, "type" | "seq">): void => {
              const whole: Persist = { type: "Persist", seq: ++seq, ...persist }
              opened.storage.persist(whole)
              model = after(model, whole)
            }
            write({
              hardState: { term: 3, vote: memberNamed("ünïcode ☃ 🚀", "") },
              truncateFrom: null,
              base: null,
              entries,
            })
            await opened.settled(seq)
            opened = await reopened(it)
            demandStored("every kind of entry", opened.stored, model)
            seq = 0
            for (const place of extremes) {
              const base: LogBase = { ...place, configuration: someConfiguration }
              write({
                hardState: { term: place.term, vote: null },
                truncateFrom: base.index + 1,
                base,
                entries: [
                  entryAfter(base, { kind: "command", bytes: randomBytesOf(random, 9) }, place.term, place.time),
                ],
              })
              await opened.settled(seq)
              opened = await reopened(it)
              demandStored("the largest numbers", opened.stored, model)
              seq = 0
            }
          }),
      },
      {
        name: "a clean stop keeps everything",
        demands:
          "after a close, what is opened again is the state after all Persists that were reported, however often and wherever it stops",
        why: "entries that were acknowledged count towards a majority",
        run: () =>
          subject(async (it) => {
            const random = makeRandom(seed + 7)
            let opened = new Opened(await it.open())
            let model = NOTHING
            for (let round = 0; round < 8; round++) {
              const models = life(random, opened, model, 1 + random.below(25))
              await opened.settled(models.length - 1)
              model = models.at(-1) ?? model
              opened = await reopened(it)
              demandStored(`stop ${round + 1}`, opened.stored, model)
            }
          }),
      },
      {
        name: "a crash leaves a prefix",
        demands:
          "after a crash at any moment, what is opened is the state after exactly one of the Persists: the last reported one or a later one, whole, with all before it",
        why: "a vote without its term, a tail that was to be cut, or a base without its log is a server that was never there; less than was reported is an acknowledgement broken",
        run: async () => {
          for (let round = 0; round < 12; round++) {
            await subject(async (it) => {
              const crash = requireStaging("crash", it.crash)
              const random = makeRandom(seed * 1000 + round)
              let model = NOTHING
              for (let time = 0; time < 4; time++) {
                const opened = new Opened(await it.open())
                demandStored("read again", opened.stored, model)
                const models = [model]
                const count = 1 + random.below(30)
                for (let seq = 1; seq <= count; seq++) {
                  const before = models.at(-1) ?? model
                  const persist = nextPersist(random, before, seq)
                  opened.storage.persist(persist)
                  models.push(after(before, persist))
                  if (random.below(4) === 0) await eventLoopTurns(1 + random.below(2))
                }
                if (random.below(3) === 0) await opened.settled(1 + random.below(count))
                const { reported } = opened
                await crash()
                const found = new Opened(await it.open()).stored
                await it.close()
                const survived = models.findLastIndex((each) => sameStored(found, each))
                demand(
                  survived >= 0,
                  () =>
                    `after a crash with ${reported} of ${count} Persists reported, the storage holds a state that no Persist left: ${plainText({ ...found, entries: found.entries.map(({ index, term }) => `${index}@${term}`) }).slice(0, 300)}`,
                )
                demand(
                  survived >= reported,
                  () => `Persist ${reported} was reported, and after a crash only ${survived} of ${count} are there`,
                )
                model = models[survived] ?? model
              }
            })
          }
        },
      },
      {
        name: "what waits is written together",
        demands: "200 Persists that are handed over at once take ten durable writes at most (stats().syncs)",
        why: "each durable write takes a millisecond or so: one by one, a hundred clients would wait for a hundred of them",
        run: () =>
          subject(async (it) => {
            const opened = new Opened(await it.open())
            const before = opened.storage.stats().syncs
            let last: LogPosition = origin
            for (let seq = 1; seq <= 200; seq++) {
              const entry = entryAfter(last, { kind: "command", bytes: new Uint8Array(16) }, 1)
              opened.storage.persist({
                type: "Persist",
                seq,
                hardState: null,
                truncateFrom: null,
                base: null,
                entries: [entry],
              })
              last = entry
            }
            await opened.settled(200)
            const syncs = opened.storage.stats().syncs - before
            demand(syncs >= 1, () => "200 Persists were reported, and no durable write was counted")
            demand(syncs <= 10, () => `200 Persists took ${syncs} durable writes`)
          }),
      },
      {
        name: "what is handed over stays as it is",
        demands: "neither a Persist nor the bytes in it are changed",
        why: "the same entries are on their way to followers and stand in the log in memory",
        run: () =>
          subject(async (it) => {
            const opened = new Opened(await it.open())
            const random = makeRandom(seed + 3)
            let model = NOTHING
            const handed: { readonly persist: Persist; readonly text: string }[] = []
            for (let seq = 1; seq <= 20; seq++) {
              const persist = nextPersist(random, model, seq)
              deepFreeze(persist)
              handed.push({ persist, text: plainText(persist) })
              opened.storage.persist(persist)
              model = after(model, persist)
            }
            await opened.settled(20)
            for (const { persist, text } of handed)
              demand(plainText(persist) === text, () => `Persist ${persist.seq} was changed`)
          }),
      },
      {
        name: "a failure is the last word",
        demands:
          "a write that fails is told once as `failed`; after that nothing is reported, and what is handed over changes nothing",
        why: "after a failed sync nobody knows what is on the disk: a report that comes later would be a guess",
        run: () =>
          subject(async (it) => {
            const fail = requireStaging("fail", it.fail)
            const opened = new Opened(await it.open())
            const random = makeRandom(seed + 5)
            const models = life(random, opened, NOTHING, 5)
            await opened.settled(5)
            fail()
            const before = models.at(-1) ?? NOTHING
            opened.storage.persist(nextPersist(random, before, 6))
            await until("the failure is told", () => opened.failures.length > 0)
            demand(opened.failures[0] instanceof Error, () => "`failed` was not given an Error")
            opened.storage.persist(nextPersist(random, before, 7))
            await eventLoopTurns(20)
            demandEqual("the number of failures told", opened.failures.length, 1)
            demand(opened.reported === 5, () => `${opened.reported} was reported after the failure`)
          }),
      },
    ],
    options,
  )
}
