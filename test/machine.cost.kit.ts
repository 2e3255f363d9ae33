/**
 * Helpers of the tests of costs: LevelDB and the in-memory machine as a pair, stores that fail or count, random calls.
 */
import { origin } from "../core/index.ts"
import * as fc from "fast-check"
import { expect } from "vitest"
import type { CommandEntry } from "../core/index.ts"
import { INLINE, MAX_ENTRY_COST, MAX_VALUE, CostMeter } from "../kv/machine/cost.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { type MachineOutcome, KvExecutor, type RecordStore } from "../kv/machine/executor.ts"
import { Sessions } from "../kv/machine/sessions.ts"
import type { Item } from "../kv/machine/commands/view.ts"
import type { Reply } from "../kv/types.ts"
import { type Held, buffers, digest, entryOf, open, plain, secretFor, temporary } from "./machine.kit.ts"

/** The same entries for both machines; afterwards they must hold the same. */
export type Words = readonly (string | Uint8Array)[]
export class Pair {
  readonly twin = new MemoryMachine()
  held: Held
  private index = 0
  private sequence = 0
  private constructor(held: Held) {
    this.held = held
  }
  static async make(): Promise<Pair> {
    const pair = new Pair(await open(temporary(), { writeAfter: 0 }))
    await pair.apply([entryOf(++pair.index, 1000, { type: "OpenSession", owner: "o", secret: secretFor("t") })])
    return pair
  }
  entry(exec: boolean, calls: readonly Words[], watches: readonly (readonly [string, number])[] = []): CommandEntry {
    this.sequence++
    const watched = watches.map(([key, version]) => ({ key: Buffer.from(key), version }))
    return entryOf(++this.index, 1000, {
      type: "Execute",
      session: 1,
      secret: secretFor("t"),
      sequence: this.sequence,
      lowest: this.sequence,
      exec,
      watches: watched,
      calls: calls.map((words) => buffers(...words)),
    })
  }
  async apply(entries: readonly CommandEntry[]): Promise<readonly unknown[]> {
    const replies = this.twin
      .applyNow(entries)
      .flatMap((outcome) => (outcome.type === "replied" ? [plain(outcome.reply)] : []))
    await this.held.apply(entries)
    expect(this.held.replies.splice(0).map(([, , reply]) => reply)).toEqual(replies)
    return replies
  }
  async call(...words: Words): Promise<unknown> {
    return (await this.apply([this.entry(false, [words])]))[0]
  }
  async exec(calls: readonly Words[], watches: readonly (readonly [string, number])[] = []): Promise<unknown> {
    return (await this.apply([this.entry(true, calls, watches)]))[0]
  }
  read(...words: readonly string[]): Promise<unknown> {
    return this.held.get(...words)
  }
  async same(): Promise<void> {
    expect(await digest(this.held)).toBe(this.twin.digest())
  }
  close(): Promise<void> {
    return this.held.close()
  }
}
export const times = <A>(count: number, make: (i: number) => A): A[] => Array.from({ length: count }, (_, i) => make(i))
export const big = Buffer.alloc(MAX_VALUE, "b")
export const tooLarge = (what: RegExp): unknown =>
  expect.stringMatching(new RegExp(`^-TOOLARGE .*${what.source}.* Nothing was executed\\.$`))
export const overEntry = tooLarge(new RegExp(`bytes or more .* at most ${MAX_ENTRY_COST} are allowed`))

/** A replica whose nth charge throws, once. `run`: SET a, INCR n in one EXEC, of that number. */
export const faulty = (at: number, fault: Error) => {
  let charges = 0
  class Faulty extends CostMeter {
    override charge(cost: number): void {
      if (++charges === at) throw fault
      super.charge(cost)
    }
  }
  const store = mapStore()
  const told: unknown[] = []
  const replica = new KvExecutor(store, origin, new Sessions(1000), (thrown) => told.push(thrown), new Faulty())
  replica.apply(entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }), [])
  const run = (sequence: number): Reply => {
    const outcomes: MachineOutcome[] = []
    const calls =
      sequence === 1
        ? [
            buffers("SET", "a", "x"),
            buffers("DEL", "b"),
            buffers("MSET", "c", "1", "d", "2"),
            buffers("APPEND", "a", "y"),
          ]
        : [buffers("SET", "a", "x"), buffers("INCR", "n")]
    replica.apply(
      entryOf(1 + sequence, 1, {
        type: "Execute",
        session: 1,
        secret: secretFor("t"),
        sequence,
        lowest: sequence,
        exec: true,
        watches: [],
        calls,
      }),
      outcomes,
    )
    const [outcome] = outcomes
    if (outcome?.type !== "replied") throw new Error("no answer")
    return outcome.reply
  }
  return { store, replica, told, run }
}

/** A store that counts how much is read from and written to it. */
export const mapStore = (): RecordStore & { items: Map<string, Item>; moved: number; fault: Error | null } => {
  let undos: (() => void)[] = []
  const name = (key: Buffer): string => key.toString("latin1")
  const store = {
    items: new Map<string, Item>(),
    moved: 0,
    fault: null as Error | null,
    get: (key: Buffer) => {
      if (store.fault !== null) throw store.fault
      const item = store.items.get(name(key))
      if (item !== undefined && item.length <= INLINE) store.moved += item.length
      return item
    },
    value: (_: Buffer, item: Item) => {
      if (item.length > INLINE) store.moved += item.length
      return item.value ?? Buffer.alloc(0)
    },
    put: (key: Buffer, item: Item) => {
      const { items } = store
      const before = items.get(name(key))
      undos.push(() => (before === undefined ? items.delete(name(key)) : items.set(name(key), before)))
      store.moved += key.length + (before?.value === item.value ? 0 : item.length)
      items.set(name(key), item)
    },
    delete: (key: Buffer) => {
      const { items } = store
      const before = items.get(name(key))
      if (before === undefined) return
      undos.push(() => items.set(name(key), before))
      items.delete(name(key))
    },
    clear: () => {
      const before = store.items
      undos.push(() => {
        store.items = before
      })
      store.items = new Map()
    },
    begin: () => {
      undos = []
    },
    undo: () => {
      for (const undo of undos.reverse()) undo()
    },
  }
  return store
}

export const key = fc.constantFrom("a", "b", "c", "d")
export const value = fc.oneof(
  fc.constantFrom("", "1", "17", "x".repeat(100)),
  fc.nat({ max: 20_000 }).map((size) => "v".repeat(size)),
)
export const call: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("SET"), key, value) },
  fc.tuple(fc.constant("SET"), key, value, fc.constantFrom("NX", "XX", "GET", "KEEPTTL")),
  fc.tuple(fc.constant("SET"), key, value, fc.constant("PX"), fc.constantFrom("1", "1000", "x", "9223372036854775807")),
  fc.tuple(
    fc.constantFrom(
      "GET",
      "GETDEL",
      "GETEX",
      "STRLEN",
      "INCR",
      "TTL",
      "PERSIST",
      "TYPE",
      "DEL",
      "UNLINK",
      "EXISTS",
      "nonsense",
    ),
    key,
  ),
  fc.tuple(fc.constantFrom("DEL", "EXISTS", "MGET"), key, key, key),
  fc.tuple(fc.constantFrom("APPEND", "GETSET", "SETNX"), key, value),
  fc.tuple(fc.constantFrom("GETEX"), key, fc.constantFrom("PERSIST", "EX"), fc.constantFrom("5", "0")),
  fc.tuple(fc.constantFrom("MSET", "MSETNX"), key, value, key, value),
  fc.tuple(fc.constant("CAS"), key, value, value),
  fc.tuple(fc.constant("EXPIRE"), key, fc.constantFrom("5", "-1", "z"), fc.constantFrom("NX", "GT", "y".repeat(9000))),
  fc.constant(["FLUSHALL"]),
)
export const entry = fc.record({ exec: fc.boolean(), calls: fc.array(call, { minLength: 1, maxLength: 8 }) })
