/** Checks that a StateMachine keeps its contract (interpreters/contract.ts). */
import { origin, type Configuration, type Entry, type Index, type LogBase, type SnapshotRef } from "../../core/index.ts"
import type { SnapshotImage, StateMachine } from "../../interpreters/contract.ts"
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
import { entryAfter, memberNamed, logPositionOf } from "./entries.ts"

/** One place in which a state machine keeps its data. */
export interface StateMachineSubject {
  /** The first time it is empty; later it holds what the last machine left. */
  readonly open: () => Promise<StateMachine>
  /** Stops the open machine cleanly. */
  readonly close: () => Promise<void>
  /** Ends the process of the open machine abruptly. */
  readonly crash?: () => Promise<void>
  /** A digest of everything replicated in the open machine: equal states have equal digests, on every node. */
  readonly digest: () => Promise<string>
  /** Called when the subject is no longer needed, open or not. */
  readonly dispose: () => Promise<void>
}
export interface StateMachineKit {
  /** Makes a new subject, which has executed nothing. */
  readonly make: () => Promise<StateMachineSubject>
  /**
   * Command number n of a log, for n = 1, 2, 3, …: always the same bytes. The first is entry 1 of its log. Together they
   * should do all that commands can do to the state: add, change, remove. A few kB each make snapshots of many chunks.
   */
  readonly command: (n: number) => Uint8Array
}

const COUNT = 72
const configurations: readonly Configuration[] = [
  { voters: [memberNamed("a"), memberNamed("b")], outgoing: [memberNamed("a")], learners: [] },
  { voters: [memberNamed("a"), memberNamed("ü")], outgoing: [], learners: [memberNamed("c")] },
]
const makeLog = (command: StateMachineKit["command"]): readonly Entry[] => {
  const entries: Entry[] = []
  let commands = 0
  for (let index = 1; index <= COUNT; index++) {
    const content =
      index % 7 === 5
        ? { kind: "noop" as const }
        : index % 17 === 11
          ? {
              kind: "configuration" as const,
              configuration: configurations[index % 2] ?? failCheck("no configuration"),
            }
          : { kind: "command" as const, bytes: command(++commands) }
    entries.push(
      entryAfter(entries.at(-1) ?? { ...origin, time: 1_700_000_000_000 }, content, 1 + Math.floor(index / 20)),
    )
  }
  return entries
}
const positionAfter = (log: readonly Entry[], index: Index): LogBase => {
  const last = log[index - 1]
  if (last === undefined) return origin
  const configuration = log.slice(0, index).findLast((entry) => entry.kind === "configuration")
  return {
    ...logPositionOf(last),
    configuration: configuration?.kind === "configuration" ? configuration.configuration : origin.configuration,
  }
}

/** An open machine, and what it has reported. */
class Opened {
  readonly machine: StateMachine
  readonly applied: Index[] = []
  readonly complaints: Error[] = []
  constructor(machine: StateMachine) {
    this.machine = machine
    machine.attach({
      applied: (index) => this.applied.push(index),
      damaged: (error) => this.complaints.push(error),
      failed: (error) => this.complaints.push(error),
    })
  }
  get index(): Index {
    const position = this.machine.position()
    return position?.index ?? failCheck("its position is null, although nothing was damaged")
  }
  well(): void {
    demand(this.complaints.length === 0, () => `it reported ${this.complaints[0]?.message ?? ""}`)
  }
  async apply(entries: readonly Entry[]): Promise<void> {
    const last = entries.at(-1)
    if (last === undefined) return
    const before = this.applied.length
    this.machine.apply(entries)
    await until(`entry ${last.index} is executed`, () => this.applied.length > before || this.complaints.length > 0)
    this.well()
    demandEqual("what `applied` was told", this.applied.at(-1), last.index)
  }
  /** Applies entries in batches of random length. */
  async applyThrough(log: readonly Entry[], last: Index, random: Random, longest = 9): Promise<void> {
    for (let at = this.index; at < last; at = this.index)
      await this.apply(log.slice(at, Math.min(last, at + 1 + random.below(longest))))
  }
}

const chunksOf = async (image: SnapshotImage): Promise<Uint8Array[]> => {
  const chunks: Uint8Array[] = []
  for (let offset = 0; ;) {
    const { bytes, last } = await image.read(offset)
    // The driver sends a chunk before it asks for the next one, so the machine may reuse its memory.
    chunks.push(bytes.slice())
    offset += bytes.length
    if (last) return chunks
    demand(bytes.length > 0, () => `the chunk at ${offset} is empty, and not the last`)
  }
}
const storeAll = async (to: StateMachine, snapshot: SnapshotRef, chunks: readonly Uint8Array[]): Promise<void> => {
  let offset = 0
  for (const [i, chunk] of chunks.entries()) {
    const next = await to.storeChunk(snapshot, offset, chunk, i === chunks.length - 1)
    demandEqual(`the offset expected after chunk ${i + 1} of ${chunks.length}`, next, offset + chunk.length)
    offset = next
  }
}
const rejects = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => false,
    () => true,
  )

export const stateMachineConformance = (
  { make, command }: StateMachineKit,
  options: ConformanceOptions = {},
): readonly ConformanceCheck[] => {
  const { seed = 1 } = options
  const log = makeLog(command)
  const subjects = async (
    count: number,
    body: (...subjects: readonly StateMachineSubject[]) => Promise<void>,
  ): Promise<void> => {
    const made: StateMachineSubject[] = []
    try {
      for (let i = 0; i < count; i++) made.push(await make())
      await body(...made)
    } finally {
      for (const it of made) await it.dispose()
    }
  }
  const one = (body: (it: StateMachineSubject) => Promise<void>): Promise<void> =>
    subjects(1, (it) => (it === undefined ? failCheck("no subject") : body(it)))
  const two = (body: (a: StateMachineSubject, b: StateMachineSubject) => Promise<void>): Promise<void> =>
    subjects(2, (a, b) => (a === undefined || b === undefined ? failCheck("no subjects") : body(a, b)))
  /** The digest after exactly these entries, of a machine that did nothing else. Computed once for all checks. */
  const digests = new Map<Index, Promise<string>>()
  const digestAfter = (index: Index): Promise<string> => {
    const known = digests.get(index)
    if (known !== undefined) return known
    const made = (async () => {
      let digest = ""
      await one(async (it) => {
        const opened = new Opened(await it.open())
        if (index > 0) await opened.apply(log.slice(0, index))
        digest = await it.digest()
      })
      return digest
    })()
    digests.set(index, made)
    return made
  }
  /** Checks that the state is the one after exactly the entries through its position. */
  const demandAt = async (what: string, it: StateMachineSubject, opened: Opened): Promise<void> => {
    const { index } = opened
    demandEqual(`${what}: the position`, opened.machine.position(), positionAfter(log, index))
    const [found, wanted] = [await it.digest(), await digestAfter(index)]
    demand(found === wanted, () => `${what}: its state is not the one after exactly ${index} entries`)
    opened.well()
  }

  return checksOf(
    [
      {
        name: "a new machine has executed nothing",
        demands: "opened where nothing was ever executed, `position` is index 0, term 0",
        why: "the log hands over what follows the position: a machine that begins elsewhere misses entries or executes some twice",
        run: () =>
          one(async (it) => {
            const { index, term } = new Opened(await it.open()).machine.position() ?? failCheck("its position is null")
            demandEqual("its index and term", [index, term], [0, 0])
          }),
      },
      {
        name: "applied is called later, once for each apply",
        demands:
          "`apply` returns before any handler is called; then `applied` is called once, with the last index, and `position` is there",
        why: "the driver hands over one batch at a time: a second answer, or an early one, would release the next too soon",
        run: () =>
          one(async (it) => {
            const machine = await it.open()
            const told: Index[] = []
            let inside = true
            let early = false
            const called = (): void => {
              early ||= inside
            }
            machine.attach({ applied: (index) => (called(), told.push(index)), damaged: called, failed: called })
            machine.apply(log.slice(0, 3))
            inside = false
            await until("the entries are executed", () => told.length > 0)
            await eventLoopTurns()
            demand(!early, () => "a handler was called before `apply` had returned")
            demandEqual("what `applied` was told", told, [3])
            demandEqual("the position", machine.position(), positionAfter(log, 3))
          }),
      },
      {
        name: "equal entries give equal states",
        demands: "the state and the position are the same however the entries are cut into batches, after every batch",
        why: "every replica cuts the log in its own way, and cuts it anew after a restart",
        run: async () => {
          for (const longest of [1, 4, 30]) {
            await one(async (it) => {
              const random = makeRandom(seed * 100 + longest)
              const opened = new Opened(await it.open())
              for (const stop of [1, 12, 40, COUNT]) {
                await opened.applyThrough(log, stop, random, longest)
                await demandAt(`batches of at most ${longest}`, it, opened)
              }
            })
          }
        },
      },
      {
        name: "a restart executes nothing twice",
        demands:
          "closed and opened again, its state is the one after exactly the entries through its position, and it goes on from there",
        why: "an entry that is executed twice, or skipped, makes this replica differ from the others",
        run: () =>
          one(async (it) => {
            const random = makeRandom(seed + 3)
            let opened = new Opened(await it.open())
            for (const stop of [5, 6, 30, 55, COUNT]) {
              await opened.applyThrough(log, stop, random)
              if (stop === 30) await opened.machine.takeSnapshot()
              await it.close()
              opened = new Opened(await it.open())
              demand(
                opened.index <= stop,
                () => `the machine reopened at ${opened.index}, but only ${stop} entries were handed to it`,
              )
              await demandAt("opened again", it, opened)
            }
            await opened.applyThrough(log, COUNT, random)
            await demandAt("after the last entry", it, opened)
          }),
      },
      {
        name: "a crash leaves a state and its position",
        demands:
          "after a crash at any moment its state is the one after exactly the entries through its position; that is at least the one that takeSnapshot answered last",
        why: "data without their position are executed twice; a position without its data skips them; and the log before a snapshot's position is gone",
        run: async () => {
          for (let round = 0; round < 4; round++) {
            await one(async (it) => {
              const crash = requireStaging("crash", it.crash)
              const random = makeRandom(seed * 100 + round)
              let sure = 0
              let handed = 0
              for (let time = 0; time < 4; time++) {
                const opened = new Opened(await it.open())
                demand(
                  opened.index >= sure,
                  () => `takeSnapshot had answered ${sure}, and after a crash it is at ${opened.index}`,
                )
                demand(
                  opened.index <= handed,
                  () => `the machine is at ${opened.index}, but only ${handed} entries were handed to it`,
                )
                await demandAt("after a crash", it, opened)
                handed = Math.min(COUNT, opened.index + random.below(COUNT / 3))
                await opened.applyThrough(log, handed, random)
                if (random.below(2) === 0) sure = (await opened.machine.takeSnapshot()).index
                if (random.below(2) === 0 && handed < COUNT) {
                  const more = log.slice(handed, handed + 5)
                  opened.machine.apply(more)
                  handed += more.length
                  await eventLoopTurns(random.below(3))
                }
                await crash()
              }
            })
          }
        },
      },
      {
        name: "takeSnapshot answers where it is",
        demands: "takeSnapshot resolves with the position of what was executed by then, or later",
        why: "the log is trimmed up to there",
        run: () =>
          one(async (it) => {
            const opened = new Opened(await it.open())
            await opened.applyThrough(log, 20, makeRandom(seed))
            demandEqual("the position", await opened.machine.takeSnapshot(), positionAfter(log, 20))
          }),
      },
      {
        name: "a snapshot carries everything",
        demands:
          "an image that is read and stored in another machine, new or behind, restores state and position there; both go on alike",
        why: "a follower that is too far behind has nothing else",
        run: async () => {
          for (const behind of [0, 9]) {
            await two(async (from, to) => {
              const random = makeRandom(seed + behind)
              const [a, b] = [new Opened(await from.open()), new Opened(await to.open())]
              await a.applyThrough(log, 35, random)
              await a.machine.takeSnapshot()
              await a.applyThrough(log, 50, random)
              await b.applyThrough(log, behind, random)
              const image = await a.machine.openSnapshot()
              const { id: _, ...base } = image.snapshot
              const { index } = base
              demand(
                index >= 35 && index <= 50,
                () => `takeSnapshot had answered 35 and 50 entries were executed, but the image is of entry ${index}`,
              )
              demandEqual("the image's position", base, positionAfter(log, index))
              await storeAll(b.machine, image.snapshot, await chunksOf(image))
              await image.close()
              await demandAt("before it is restored", to, b)
              await b.machine.restore(image.snapshot)
              demandEqual("the restored index", b.index, index)
              await demandAt("restored", to, b)
              await b.applyThrough(log, COUNT, random)
              await demandAt("gone on after it", to, b)
            })
          }
        },
      },
      {
        name: "an image stays as it was opened",
        demands:
          "what is executed, or made durable, while an image is open does not show in it; the same offset gives the same bytes again; images of different bytes have different ids",
        why: "chunks are sent again when they are lost, seconds or minutes later, by a machine that goes on",
        run: () =>
          two(async (from, to) => {
            const random = makeRandom(seed)
            const [a, b] = [new Opened(await from.open()), new Opened(await to.open())]
            await a.applyThrough(log, 30, random)
            const early = await a.machine.openSnapshot()
            const firstRead = await chunksOf(early)
            await a.applyThrough(log, COUNT, random)
            await a.machine.takeSnapshot()
            const late = await a.machine.openSnapshot()
            const same = plainText(firstRead) === plainText(await chunksOf(late))
            demand(
              same || early.snapshot.id !== late.snapshot.id,
              () => `two different images have the id ${early.snapshot.id}`,
            )
            const again = await chunksOf(early)
            demand(
              plainText(firstRead) === plainText(again),
              () => "the same offsets gave other bytes after more entries were executed",
            )
            await late.close()
            await storeAll(b.machine, early.snapshot, await chunksOf(early))
            await early.close()
            await b.machine.restore(early.snapshot)
            demandEqual("the restored index", b.index, early.snapshot.index)
            await demandAt("restored from the early image", to, b)
          }),
      },
      {
        name: "chunks are taken in order",
        demands:
          "storeChunk answers the offset expected next; a chunk that is not the expected one is not taken, and is answered so; offset 0 starts over; a chunk of another snapshot is not mixed in",
        why: "chunks come twice, late, and from transfers that were given up",
        run: () =>
          two(async (from, to) => {
            const [a, b] = [new Opened(await from.open()), new Opened(await to.open())]
            await a.applyThrough(log, 60, makeRandom(seed))
            const image = await a.machine.openSnapshot()
            const chunks = await chunksOf(image)
            const { snapshot } = image
            const whole = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
            const first = chunks[0] ?? failCheck("an image without a chunk")
            await storeAll(b.machine, snapshot, chunks)
            const half = Math.ceil(first.length / 2)
            demandEqual(
              "the offset after a start over",
              await b.machine.storeChunk(snapshot, 0, first.slice(0, half), false),
              half,
            )
            demandEqual(
              "the offset after a chunk from further on",
              await b.machine.storeChunk(snapshot, whole + 1, first, true),
              half,
            )
            const other = { ...snapshot, id: `${snapshot.id}-other` }
            const answered = await b.machine.storeChunk(other, half, first, false).catch(() => 0)
            demandEqual("the offset that a chunk of another snapshot is answered", answered, 0)
            await storeAll(b.machine, snapshot, chunks)
            await image.close()
            await b.machine.restore(snapshot)
            await demandAt("restored", to, b)
          }),
      },
      {
        name: "what does not check out changes nothing",
        demands:
          "restore rejects a snapshot that is not whole, is another one, or has a byte changed; state and position stay, and a good one can follow",
        why: "a replica that becomes half a snapshot serves something that never was",
        run: () =>
          two(async (from, to) => {
            const random = makeRandom(seed)
            const [a, b] = [new Opened(await from.open()), new Opened(await to.open())]
            await a.applyThrough(log, 60, random)
            await b.applyThrough(log, 8, random)
            const image = await a.machine.openSnapshot()
            const chunks = await chunksOf(image)
            const { snapshot } = image
            demand(
              await rejects(b.machine.restore(snapshot)),
              () => "a snapshot of which nothing had been stored was restored",
            )
            const last = chunks.at(-1) ?? failCheck("an image without a chunk")
            const cut = [...chunks.slice(0, -1), last.slice(0, -1)]
            let offset = 0
            for (const chunk of cut) offset = await b.machine.storeChunk(snapshot, offset, chunk, false)
            demand(
              await rejects(b.machine.restore(snapshot)),
              () => "a snapshot whose last chunk had not come was restored",
            )
            await demandAt("after a snapshot that was not whole", to, b)
            // The end is there and the length is right: only a checksum can find the error.
            for (let i = 0; i < 6; i++) {
              const at = random.below(chunks.length)
              const place = random.below(chunks[at]?.length ?? 1)
              const bad = chunks.map((chunk, j) =>
                j === at ? chunk.with(place, (chunk[place] ?? 0) ^ (1 << random.below(8))) : chunk,
              )
              const refused = await rejects(storeAll(b.machine, snapshot, bad).then(() => b.machine.restore(snapshot)))
              demand(refused, () => `a snapshot with a bit changed in byte ${place} of chunk ${at + 1} was restored`)
              await demandAt("after a damaged snapshot", to, b)
            }
            await storeAll(b.machine, snapshot, chunks)
            demand(
              await rejects(b.machine.restore({ ...snapshot, id: `${snapshot.id}-other` })),
              () => "a snapshot of another id was restored",
            )
            await storeAll(b.machine, snapshot, chunks)
            await image.close()
            await b.machine.restore(snapshot)
            await demandAt("after a good one", to, b)
          }),
      },
      {
        name: "what was restored survives a crash",
        demands: "once restore has resolved, a crash leaves the restored state, or one after it",
        why: "the leader stops sending it, and the log before it is gone",
        run: () =>
          two(async (from, to) => {
            const crash = requireStaging("crash", to.crash)
            const random = makeRandom(seed)
            const [a, b] = [new Opened(await from.open()), new Opened(await to.open())]
            await a.applyThrough(log, 60, random)
            await b.applyThrough(log, 8, random)
            const image = await a.machine.openSnapshot()
            await storeAll(b.machine, image.snapshot, await chunksOf(image))
            await image.close()
            await b.machine.restore(image.snapshot)
            await crash()
            const again = new Opened(await to.open())
            demandEqual("the index after the crash", again.index, image.snapshot.index)
            await demandAt("after the crash", to, again)
          }),
      },
    ],
    options,
  )
}
