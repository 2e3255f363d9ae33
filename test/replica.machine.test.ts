/** The state machine of a replica: what it writes it reads again, what it executes it executes once, and what is damaged is refused. */
import * as fc from "fast-check"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { emptyConfiguration, type Entry } from "../core/index.ts"
import { directorySnapshotStore } from "../interpreters/node/snapshotStore.ts"
import { concat, fromBase64, textOf as decoded, toBase64, utf8 } from "../interpreters/octets.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { encodeReplicaCommand, type CommandBody, type ReplicaCommand } from "../interpreters/replica/machine/command.ts"
import { jsonCodec, type Machine } from "../interpreters/replica/machine/definition.ts"
import type { ExecutionReport } from "../interpreters/replica/machine/execution.ts"
import { Executor } from "../interpreters/replica/machine/executor.ts"
import { MAX_KEPT_OUTCOME_BYTES } from "../interpreters/replica/machine/sessionTable.ts"
import { openReplicaMachine, type ReplicaMachine } from "../interpreters/replica/machine/machine.ts"
import { LineReader, linesOf, StateNotPlain } from "../interpreters/replica/machine/slices.ts"
import { memoryStore, type SnapshotStore } from "../interpreters/replica/machine/store.ts"

const directories: string[] = []
const directory = (): string => {
  const made = mkdtempSync(join(tmpdir(), "stepraft-replica-"))
  directories.push(made)
  return made
}
afterEach(() => {
  for (const made of directories.splice(0)) rmSync(made, { recursive: true, force: true })
})

const read = (lines: Iterable<string>): unknown => {
  const reader = new LineReader()
  for (const line of lines) reader.push(line.slice(0, -1))
  return reader.value()
}

test("bytes are joined, and written as text and base64, as by Node's Buffer", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 9 }),
      fc.string({ unit: "binary" }),
      (bytes, more, text) => {
        expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"))
        expect(fromBase64(toBase64(bytes))).toEqual(bytes)
        expect(concat([bytes, more])).toEqual(new Uint8Array(Buffer.concat([bytes, more])))
        expect(decoded(utf8(`\ufeff${text}`))).toBe(Buffer.from(`\ufeff${text}`).toString())
      },
    ),
  )
})

describe("slices", () => {
  test("what is plain is read as it was written", () => {
    const wide = fc
      .array(fc.jsonValue(), { minLength: 0, maxLength: 400 })
      .map((parts) => ({ wide: parts, again: { "=": parts, "": -0, __proto: 1, "}": [parts] } }))
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), wide), (value) => {
        expect(read(linesOf(value))).toStrictEqual(value)
      }),
      { numRuns: 200 },
    )
    const own = JSON.parse(`{"__proto__":${JSON.stringify(Array.from({ length: 300 }, (_, i) => i))}}`) as unknown
    expect(JSON.stringify(read(linesOf(own)))).toBe(JSON.stringify(own))
  })
  test.each([
    ["a Map", { a: [1, { b: new Map() }] }, "state.a[1].b"],
    ["a Date", { at: new Date(0) }, "state.at"],
    ["NaN", { n: [Number.NaN] }, "state.n[0]"],
    ["undefined", { n: [undefined] }, "state.n[0]"],
    ["a bigint", { n: 1n }, "state.n"],
    ["behind much else", { before: Array.from({ length: 1000 }, (_, i) => i), n: Number.POSITIVE_INFINITY }, "state.n"],
  ])("%s is refused, by its place", (_, value, path) => {
    expect(() => read(linesOf(value))).toThrow(
      expect.objectContaining({ name: "StateNotPlain", path }) as StateNotPlain,
    )
  })
})

// ------------------------------------------------------------------------------------------- a machine

interface Tally {
  readonly counts: Record<string, number>
}
type Count = { readonly add: string; readonly by: number } | { readonly fail: string } | { readonly reset: true }
const tally: Machine<Tally, Count, number> = {
  initial: { counts: {} },
  apply: (state, command, { become }) => {
    if ("reset" in command) {
      become({ counts: {} })
      return 0
    }
    if ("fail" in command) {
      state.counts[command.fail] = -1
      throw new Error(command.fail)
    }
    return (state.counts[command.add] = (state.counts[command.add] ?? 0) + command.by)
  },
}
const body = (command: Count): CommandBody => ({ type: "command", bytes: jsonCodec<Count>().encode(command) })

/** The log, as far as it is made up here: each entry follows the one before. */
class LogOf {
  readonly entries: Entry[] = []
  add(command: ReplicaCommand | null): Entry {
    const index = this.entries.length + 1
    const common = { index, term: 1 + Math.floor(index / 7), time: index * 10, chain: index * 31 }
    const entry: Entry =
      command === null
        ? { ...common, kind: "noop" }
        : { ...common, kind: "command", payload: payloadOf(encodeReplicaCommand(command)) }
    this.entries.push(entry)
    return entry
  }
}
const opening = (owner: string, secret = "s"): ReplicaCommand => ({ type: "Open", owner, secret })
const execute = (session: number, sequence: number, command: Count, lowest = 1): ReplicaCommand => ({
  type: "Execute",
  session,
  sequence,
  lowest,
  body: body(command),
})
const textOf = (told: ExecutionReport | null): unknown =>
  told?.type === "executed" && told.outcome.type === "result"
    ? JSON.parse(Buffer.from(told.outcome.bytes).toString())
    : told?.type === "executed"
      ? told.outcome.type
      : (told?.type ?? null)

describe("exactly once", () => {
  test("each number of a session is executed once, in order; a new session ends the one before it", () => {
    const log = new LogOf()
    const it = new Executor(tally)
    const run = (command: ReplicaCommand): unknown => textOf(it.execute(log.add(command)))
    expect(run(opening("a"))).toBe("opened")
    expect(run(execute(1, 2, { add: "x", by: 1 }))).toBe("early")
    expect(run(execute(1, 1, { add: "x", by: 1 }))).toBe(1)
    expect(run(execute(1, 1, { add: "x", by: 1 }))).toBe(1)
    expect(run(execute(1, 2, { fail: "x" }))).toBe("undone")
    expect(run(execute(1, 3, { add: "x", by: 1 }))).toBe(2)
    expect(run(execute(1, 2, { fail: "x" }))).toBe("undone")
    expect(run(execute(1, 4, { add: "y", by: 1 }, 4))).toBe(1)
    expect(run(execute(1, 1, { add: "x", by: 1 }))).toBe("forgotten")
    // The same opening again is the same session; another one ends it.
    expect(it.execute(log.add(opening("a")))).toMatchObject({ session: 1 })
    expect(run(execute(1, 5, { add: "x", by: 1 }))).toBe(3)
    expect(it.execute(log.add(opening("a", "t")))).toMatchObject({ session: log.entries.length })
    expect(run(execute(1, 6, { add: "x", by: 1 }))).toBe("ended")
    expect(it.state).toEqual({ counts: { x: 3, y: 1 } })
    expect(it.state.counts).not.toBe(tally.initial.counts)
  })

  test("a promise is no result: the command is undone", () => {
    const log = new LogOf()
    const it = new Executor<Tally, Count, unknown>({
      initial: tally.initial,
      apply: (state, command, context) => Promise.resolve(tally.apply(state, command, context)),
    })
    it.execute(log.add(opening("a")))
    expect(it.execute(log.add(execute(1, 1, { add: "x", by: 1 })))).toMatchObject({
      type: "executed",
      outcome: { type: "undone", text: expect.stringContaining("promise") as string },
    })
    expect(it.state).toBe(tally.initial)
  })

  test("what sessions keep is bounded by its bytes: the oldest results are forgotten, over a snapshot too", () => {
    const log = new LogOf()
    const large = "x".repeat(1 << 19)
    const machine: Machine<Tally, Count, string> = { initial: tally.initial, apply: () => large }
    let it = new Executor(machine)
    it.execute(log.add(opening("a")))
    for (let sequence = 1; sequence <= 80; sequence++) {
      it.execute(log.add(execute(1, sequence, { add: "x", by: 1 })))
      if (sequence === 50) it = new Executor(machine, { state: it.state, image: it.image() })
    }
    const kept = Array.from({ length: 80 }, (_, i) => it.outcomeOf(1, i + 1)).filter(
      (outcome) => outcome !== null && outcome !== "ended" && outcome.type === "result",
    )
    expect(kept.length * large.length).toBeLessThanOrEqual(MAX_KEPT_OUTCOME_BYTES)
    expect(kept.length).toBeGreaterThan(60)
    expect(it.outcomeOf(1, 1)).toEqual({ type: "forgotten" })
    // What has arrived makes room.
    it.execute(log.add(execute(1, 81, { add: "x", by: 1 }, 81)))
    for (let sequence = 82; sequence <= 140; sequence++)
      it.execute(log.add(execute(1, sequence, { add: "x", by: 1 }, 81)))
    expect(it.outcomeOf(1, 82)).toMatchObject({ type: "result" })
  })

  test("what is no command of this program changes nothing, and a server with other results is told from the leader's", () => {
    const log = new LogOf()
    const same = [new Executor(tally), new Executor(tally)] as const
    const other = new Executor<Tally, Count, number>({
      ...tally,
      apply: (state, command, context) => tally.apply(state, command, context) + (context.index === 3 ? 1 : 0),
    })
    for (const entry of [log.add(opening("a")), log.add(null), log.add(execute(1, 1, { add: "x", by: 1 }))])
      for (const it of [...same, other]) it.execute(entry)
    const broken: Entry = {
      kind: "command",
      index: 4,
      term: 1,
      time: 40,
      chain: 4,
      payload: payloadOf(new Uint8Array([9, 9])),
    }
    for (const it of [...same, other]) expect(it.execute(broken)).toBe(null)
    log.entries.push(broken)
    const { digest } = same[0]
    const compare = log.add({ type: "Compare", owner: "a", index: 3, digest })
    for (const it of same) expect(it.execute(compare)).toMatchObject({ through: 3, digest, own: digest })
    expect(other.execute(compare)).toMatchObject({
      through: 3,
      digest,
      own: expect.not.toSatisfy((own) => own === digest) as number,
    })
  })
})

const open = async (
  store: SnapshotStore,
  reports: string[] = [],
): Promise<{
  readonly machine: ReplicaMachine<Tally, Count, number>
  readonly run: (entries: readonly Entry[]) => Promise<void>
}> => {
  let id = 0
  const machine = await openReplicaMachine({
    machine: tally,
    store,
    newId: () => `id${id++}-${Math.floor(performance.now() * 1000)}`,
    report: (text) => reports.push(text),
  })
  let done: (() => void) | null = null
  machine.attach({
    applied: () => done?.(),
    damaged: (error) => {
      throw error
    },
    failed: (error) => {
      throw error
    },
  })
  return {
    machine,
    run: (entries) =>
      new Promise((resolve) => {
        if (entries.length === 0) return resolve()
        done = resolve
        machine.apply(entries)
      }),
  }
}
const some = (log: LogOf, count: number): readonly Entry[] => {
  if (log.entries.length === 0) log.add(opening("a"))
  const executed = log.entries.filter(({ kind }) => kind === "command").length - 1
  for (let i = 1; i <= count; i++)
    log.add(execute(1, executed + i, i % 5 === 0 ? { fail: "z" } : { add: `k${i % 400}`, by: i }))
  return log.entries
}

describe("snapshots", () => {
  test("a start goes on from the last snapshot; an image stays as it was; another machine becomes it", async () => {
    for (const store of [memoryStore(), directorySnapshotStore(directory())]) {
      const log = new LogOf()
      const { machine, run } = await open(store)
      await run(some(log, 500))
      const taking = (holder: string): ReplicaCommand => ({
        type: "Execute",
        session: 1,
        sequence: log.entries.length,
        lowest: 1,
        body: { type: "lease", request: { type: "take", name: "cron", holder, ttl: 60_000 } },
      })
      await run([log.add(taking("me"))])
      const base = await machine.takeSnapshot()
      expect(base).toMatchObject({
        index: log.entries.length,
        term: log.entries.at(-1)?.term,
        chain: log.entries.at(-1)?.chain,
        configuration: emptyConfiguration,
      })
      const image = await machine.openSnapshot()
      const at = log.entries.length
      await run(some(log, 50).slice(at))
      await machine.takeSnapshot()

      const target = await open(memoryStore())
      let chunks = 0
      for (let offset = 0, last = false; !last; chunks++) {
        const chunk = await image.read(offset)
        expect(Buffer.from((await image.read(offset)).bytes).equals(chunk.bytes)).toBe(true)
        offset = await target.machine.storeChunk(image.snapshot, offset, chunk.bytes, chunk.last)
        last = chunk.last
      }
      await image.close()
      expect(target.machine.position()?.index).toBe(0)
      await target.machine.restore(image.snapshot)
      expect(target.machine.position()).toEqual(base)
      await target.run(log.entries.slice(at))

      const another = log.add(taking("you"))
      const again = await open(store)
      expect(again.machine.position()).toEqual(machine.position())
      for (const { machine: it } of [again, target]) {
        expect(it.executor().state).toEqual(machine.executor().state)
        expect(it.executor().digest).toBe(machine.executor().digest)
        expect(it.executor().outcomeOf(1, 7)).toEqual(machine.executor().outcomeOf(1, 7))
        expect(it.executor().image()).toEqual(machine.executor().image())
        // Whoever held a lease holds it still.
        expect(textOf(it.executor().execute(another))).toMatchObject({ type: "taken", by: "me" })
      }
    }
  })

  test("a snapshot with any byte changed, cut or added is refused and kept for people", async () => {
    const home = directory()
    const file = join(home, "snapshot")
    const { machine, run } = await open(directorySnapshotStore(home))
    await run(some(new LogOf(), 40))
    await machine.takeSnapshot()
    expect(statSync(file).mode & 0o077).toBe(0)
    const good = readFileSync(file)
    const damages = fc.oneof(
      fc
        .nat(good.length - 1)
        .chain((at) =>
          fc
            .integer({ min: 1, max: 255 })
            .map((flip) => Buffer.from(good.map((byte, i) => (i === at ? byte ^ flip : byte)))),
        ),
      fc.nat(good.length - 1).map((length) => good.subarray(0, length)),
      fc.uint8Array({ minLength: 1, maxLength: 20 }).map((more) => Buffer.concat([good, more])),
    )
    await fc.assert(
      fc.asyncProperty(damages, async (bytes) => {
        writeFileSync(file, bytes)
        const reports: string[] = []
        const it = await open(directorySnapshotStore(home), reports)
        expect(it.machine.position()).toBe(null)
        expect(reports).toEqual([expect.stringContaining("snapshot.damaged")])
        expect(readFileSync(join(home, "snapshot.damaged")).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
    // A damaged one that is received is refused too, and the state stays.
    writeFileSync(file, good)
    const it = await open(directorySnapshotStore(home))
    const image = await it.machine.openSnapshot()
    const { bytes } = await image.read(0)
    await it.machine.storeChunk(
      image.snapshot,
      0,
      Buffer.from(bytes.map((byte, i) => (i === bytes.length - 30 ? byte ^ 1 : byte))),
      true,
    )
    await expect(it.machine.restore(image.snapshot)).rejects.toMatchObject({ name: "SnapshotDamaged" })
    expect(it.machine.position()?.index).toBe(41)
    await image.close()
  })
})
