/** The LevelDB machine, the in-memory twin and a naive model of the replicated store, over random logs. */
import * as fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import type { Command } from "../kv/types.ts"
import {
  buffers,
  digest,
  entryOf,
  Log,
  open,
  plain,
  removeTemporary,
  secretFor,
  temporary,
  type Held,
} from "./machine.kit.ts"

afterAll(removeTemporary)

/** Written from the commands' documentation, not from the code: strings and deadlines in a plain object. */
class Naive {
  data: Record<string, { value: string; until: number; version: number }> = Object.create(null)
  /** The last entry that wrote or removed the key. A FLUSHALL counts for all: who watches an absent key may be told that it changed. */
  private changed: Record<string, number> = Object.create(null)
  private at(key: string, now: number): { value: string; until: number; version: number } | undefined {
    const found = this.data[key]
    return found === undefined || found.until <= now ? undefined : found
  }
  run(words: readonly string[], now: number, version: number): unknown {
    const [name = "", key = "", a = "", b = ""] = words
    const old = this.at(key, now)
    const put = (value: string, until: number): void => {
      this.data[key] = { value, until, version }
      this.changed[key] = version
    }
    switch (name) {
      case "SET":
        if (b === "NX" && old !== undefined) return null
        put(a, b === "PX" ? now + Number(words[4]) : Infinity)
        return "+OK"
      case "GET":
        return old?.value ?? null
      case "APPEND":
        put((old?.value ?? "") + a, old?.until ?? Infinity)
        return (old?.value ?? "").length + a.length
      case "INCR": {
        const value =
          old === undefined ? 0 : /^(0|-?[1-9]\d*)$/.test(old.value) && old.value.length < 15 ? Number(old.value) : NaN
        if (Number.isNaN(value)) return "-ERR value is not an integer or out of range"
        put(String(value + 1), old?.until ?? Infinity)
        return value + 1
      }
      case "DEL":
        delete this.data[key]
        if (old !== undefined) this.changed[key] = version
        return old === undefined ? 0 : 1
      case "PEXPIRE":
        if (old === undefined) return 0
        put(old.value, now + Number(a))
        return 1
      case "PTTL":
        return old === undefined ? -2 : old.until === Infinity ? -1 : old.until - now
      case "CAS":
        if (old?.value !== a) return 0
        put(b, old.until)
        return 1
      case "FLUSHALL":
        this.data = Object.create(null)
        for (const name of KEYS) this.changed[name] = version
        return "+OK"
      default:
        throw new Error(`no such command: ${name}`)
    }
  }
  keys(now: number): string[] {
    return Object.keys(this.data)
      .filter((key) => this.at(key, now) !== undefined)
      .sort()
  }
  value(key: string, now: number): string | null {
    return this.at(key, now)?.value ?? null
  }
  version(key: string, now: number, index: number): number {
    return this.at(key, now)?.version ?? 2 ** 47 + index
  }
  /** Since the entry `index`, after which it was there or not. */
  differs(key: string, index: number, was: boolean, now: number): boolean {
    return (this.changed[key] ?? 0) > index || (this.at(key, now) !== undefined) !== was
  }
}

const KEYS = ["a", "b", "c", "dd", ""]
const key = fc.constantFrom(...KEYS)
const value = fc.oneof(fc.constantFrom("", "1", "x", "41"), fc.string({ maxLength: 6, unit: "binary-ascii" }))
const millis = fc.integer({ min: 1, max: 60 })
const words: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("SET"), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("SET"), key, value, fc.constant("PX"), millis.map(String)) },
  fc.tuple(fc.constant("SET"), key, value, fc.constant("NX")),
  fc.tuple(fc.constant("GET"), key),
  { weight: 3, arbitrary: fc.tuple(fc.constant("APPEND"), key, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("INCR"), key) },
  fc.tuple(fc.constant("DEL"), key),
  fc.tuple(fc.constant("PEXPIRE"), key, millis.map(String)),
  fc.tuple(fc.constant("PTTL"), key),
  fc.tuple(fc.constant("CAS"), key, value, value),
  { weight: 1, arbitrary: fc.constant(["FLUSHALL"]) },
)
/** What happens: commands (some of them sent twice, or out of order), time passing, batches ending, nodes restarting. */
const action = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("call" as const), words, repeat: fc.integer({ min: 0, max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), millis: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("watch" as const), key }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("exec" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("gap" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("openAgain" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("batch" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("checkpoint" as const) }) },
)

const compare = async (held: Held, twin: MemoryMachine, naive: Naive): Promise<void> => {
  const { machine } = held
  expect(machine.position()).toEqual(twin.position())
  const now = machine.now()
  expect(((await held.get("KEYS", "*")) as string[]).sort()).toEqual(naive.keys(now))
  expect(await held.get("DBSIZE")).toEqual(naive.keys(now).length)
  for (const name of KEYS) {
    expect(await held.get("GET", name)).toEqual(naive.value(name, now))
    expect(plain(twin.read(buffers("GET", name)))).toEqual(naive.value(name, now))
    expect(machine.version(Buffer.from(name))).toBe(naive.version(name, now, twin.position().index))
    expect(twin.version(Buffer.from(name))).toBe(machine.version(Buffer.from(name)))
  }
  expect(await digest(held)).toBe(twin.digest())
}

describe("one log, three stores", () => {
  test("LevelDB, twin and model agree after every batch, through restarts, retries and checkpoints", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 120, size: "max" }), async (actions) => {
        const directory = temporary()
        let held = await open(directory)
        let starts = 0
        const twin = new MemoryMachine()
        const naive = new Naive()
        const entries: Entry[] = []
        const expected: unknown[] = []
        const replies: unknown[] = []
        let time = 1000
        let session = 0
        let sequence = 0
        let applied = 0
        let watched: {
          readonly key: string
          readonly version: number
          readonly index: number
          readonly was: boolean
        } | null = null
        const add = (command: Command): void => {
          entries.push(entryOf(entries.length + 1, time, command))
        }
        const begin = (): void => {
          session = entries.length + 1
          add({ type: "OpenSession", owner: "me", secret: secretFor(`t${session}`) })
          sequence = 0
        }
        const flush = async (): Promise<void> => {
          const batch = entries.slice(applied)
          applied = entries.length
          if (batch.length === 0) return
          twin.applyNow(batch)
          await held.apply(batch)
          for (const [, , reply] of held.replies.splice(0)) replies.push(reply)
          expect(replies).toEqual(expected)
          await compare(held, twin, naive)
        }
        begin()
        for (const step of actions) {
          switch (step.do) {
            case "call": {
              sequence++
              const command: Command = {
                type: "Execute",
                session,
                secret: secretFor(`t${session}`),
                sequence,
                lowest: Math.max(1, sequence - 3),
                exec: false,
                watches: [],
                calls: [buffers(...step.words)],
              }
              add(command)
              const reply = naive.run(step.words, time, entries.length)
              expected.push(reply)
              // The same command again: the kept reply, no second effect.
              if (step.repeat === 0) {
                add(command)
                expected.push(reply)
              }
              break
            }
            case "watch":
              await flush()
              watched = {
                key: step.key,
                version: held.machine.version(Buffer.from(step.key)),
                index: applied,
                was: naive.value(step.key, time) !== null,
              }
              break
            case "exec": {
              if (watched === null) break
              const { key: name, version, index, was } = watched
              sequence++
              add({
                type: "Execute",
                session,
                secret: secretFor(`t${session}`),
                sequence,
                lowest: Math.max(1, sequence - 3),
                exec: true,
                watches: [{ key: Buffer.from(name), version }],
                calls: [buffers("GET", name)],
              })
              expected.push(naive.differs(name, index, was, time) ? null : [naive.value(name, time)])
              break
            }
            case "gap":
              add({
                type: "Execute",
                session,
                secret: secretFor(`t${session}`),
                sequence: sequence + 2,
                lowest: 1,
                exec: false,
                watches: [],
                calls: [buffers("APPEND", "a", "never")],
              })
              expected.push(`-OUTOFORDER sequence ${sequence + 1} comes next; nothing was executed`)
              break
            case "reopen": {
              const earlier = session
              add({ type: "CloseSession", session, secret: secretFor(`t${session}`) })
              begin()
              add({
                type: "Execute",
                session: earlier,
                secret: secretFor(`t${earlier}`),
                sequence: 1,
                lowest: 1,
                exec: false,
                watches: [],
                calls: [buffers("APPEND", "a", "never")],
              })
              expected.push(
                "-SESSIONEXPIRED the session is unknown, closed or expired, or this is not its key; nothing was executed",
              )
              break
            }
            // The opening proposed a second time: nothing changes.
            case "openAgain":
              add({ type: "OpenSession", owner: "me", secret: secretFor(`t${session}`) })
              break
            case "wait":
              time += step.millis
              add({ type: "Tick" })
              break
            case "batch":
              await flush()
              break
            case "checkpoint":
              expect(await held.machine.takeSnapshot()).toEqual(held.machine.position())
              break
            case "restart":
              await flush()
              await held.close()
              held = await open(directory, { writeAfter: starts++ % 2 === 0 ? 0 : 10 })
              expect(held.index()).toBe(applied)
              await compare(held, twin, naive)
              break
          }
        }
        await flush()
        await held.close()
        removeTemporary()
      }),
      { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 15 : 40, includeErrorInReport: true },
    )
  }, 120_000)

  test("the clone of a twin goes its own way", () => {
    const log = new Log()
    log.call("SET", "a", "1")
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    const clone = twin.clone()
    const before = twin.digest()
    log.call("APPEND", "a", "2")
    clone.applyNow(log.from(2))
    expect(twin.digest()).toBe(before)
    expect(plain(clone.read(buffers("GET", "a")))).toBe("12")
    twin.applyNow(log.from(2))
    expect(clone.digest()).toBe(twin.digest())
  })
})
