/**
 * Damage to files that were closed. What is guaranteed, and tested here at many random places:
 * - a flipped bit or missing stretch in a table, a manifest or one of the small files is noticed when the machine opens:
 *   position() is null and nothing is served;
 * - in a LevelDB log the writes before it stand, those from it on are gone, and the position says so: the Raft log
 *   applies them again. It never lies before the last takeSnapshot;
 * - so whatever the position says, the state is exactly the one after that entry.
 */
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ClassicLevel } from "classic-level"
import type { Entry } from "../core/index.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { FORMAT, dataKey, encodeIdentity, identityKey, markerKey } from "../kv/machine/layout.ts"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { openMachine } from "../kv/machine/index.ts"
import { full } from "./cluster.ts"
import { seeded } from "./disk.ts"
import { type Held, Log, buffers, digest, open, removeTemporary, temporary, transfer } from "./machine.kit.ts"

afterAll(removeTemporary)

const log = new Log()
const fill = (into: Log): void => {
  for (let i = 0; i < 900; i++) into.call(i % 7 === 0 ? "APPEND" : "SET", `key:${(i * 37) % 400}`, `${i}-`.repeat(20))
}
/** The digest after each entry, from the twin. */
const digests: string[] = []
beforeAll(() => {
  fill(log)
  const twin = new MemoryMachine()
  digests.push(twin.digest())
  for (const entry of log.entries) {
    twin.applyNow([entry])
    digests.push(twin.digest())
  }
})

const current = (held: Held): string =>
  join(held.directory, readFileSync(join(held.directory, "current"), "utf8").trim())
const CHECKPOINT = 500
/** Closed, with tables through entry 500 and a log of the rest. */
const closed = async (): Promise<Held> => {
  const held = await open(temporary(), { writeAfter: 0 })
  for (let i = 0; i < CHECKPOINT; i += 25) await held.apply(log.entries.slice(i, i + 25))
  await held.machine.takeSnapshot()
  for (let i = CHECKPOINT; i < log.entries.length; i += 25) await held.apply(log.entries.slice(i, i + 25))
  await held.close()
  return held
}
const flip = (path: string, at: number, bit: number): void => {
  const fd = openSync(path, "r+")
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ (1 << bit)
  writeSync(fd, byte, 0, 1, at)
  closeSync(fd)
}
/** The largest first. */
const filesOf = (directory: string, ending: RegExp): string[] =>
  readdirSync(directory)
    .filter((name) => ending.test(name))
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)
/** The one thing that must hold whatever was done to the files. */
const honest = async (held: Held): Promise<number | null> => {
  const index = held.index()
  if (index === null) {
    expect(await held.get("GET", "key:1")).toMatch(/^-REBUILDING/)
    expect(held.machine.stats().damaged).toMatch(/damaged/)
    await expect(held.machine.openSnapshot()).rejects.toThrow(/damaged/)
    return null
  }
  expect(index).toBeGreaterThanOrEqual(CHECKPOINT)
  expect(await digest(held)).toBe(digests[index])
  await held.apply(log.entries.slice(index))
  expect(await digest(held)).toBe(digests.at(-1))
  return index
}

describe("flipped bits", () => {
  const random = seeded(1)
  test("in a table: every one is noticed before anything is served", async () => {
    let unnoticed = 0
    const flips = full ? 150 : 25
    for (let i = 0, held = await closed(), intact = true; i < flips; i++) {
      if (!intact) held = await closed()
      const [table = ""] = filesOf(current(held), /\.ldb$/)
      const { size } = statSync(table)
      const at = i < flips * 0.4 ? size - 1 - i : Math.floor(random() * size)
      flip(table, at, i % 8)
      const again = await open(held.directory)
      const index = await honest(again)
      // Padding between the handles and the magic number of the footer means nothing to anybody.
      if (index !== null) {
        unnoticed++
        expect(size - at).toBeLessThanOrEqual(48)
      }
      await again.close()
      intact = index === null
      if (intact) flip(table, at, i % 8)
    }
    expect(unnoticed).toBeLessThan(40)
  }, 120_000)
  test("in LevelDB's log: the writes before it stand, the position goes back, the log makes it good", async () => {
    let shortened = 0
    for (let i = 0; i < 25; i++) {
      const held = await closed()
      const [path = ""] = filesOf(current(held), /\.log$/)
      flip(path, Math.floor(random() * statSync(path).size), i % 8)
      const again = await open(held.directory)
      const index = await honest(again)
      expect(index).not.toBe(null)
      if (index !== log.entries.length) shortened++
      await again.close()
    }
    expect(shortened).toBe(25)
  }, 120_000)
  test("in the manifest or the pointers: noticed, or without consequence", async () => {
    for (let i = 0; i < 30; i++) {
      const held = await closed()
      const candidates = [...filesOf(current(held), /^(MANIFEST-|CURRENT)/), join(held.directory, "current")]
      const path = candidates[i % candidates.length] ?? ""
      flip(path, Math.floor(random() * statSync(path).size), i % 8)
      const again = await open(held.directory)
      await honest(again)
      await again.close()
    }
  }, 120_000)
  test("scrub says how much it has read, or what it has found; cut short by a stop, it says nothing", async () => {
    const held = await open(temporary())
    await held.apply(log.entries)
    await held.machine.takeSnapshot()
    const result = await held.machine.scrub()
    expect(result?.found).toBe(null)
    expect(result?.bytes).toBeGreaterThan(10_000)
    const cut = held.machine.scrub()
    await held.close()
    expect(await cut).toBe(null)
    expect(held.damages).toEqual([])
    const again = await open(held.directory)
    const [table = ""] = filesOf(current(again), /\.ldb$/)
    flip(table, 1000, 3)
    expect(await again.machine.scrub()).toMatchObject({ found: expect.stringContaining("checksum") as string })
    expect(again.damages).toHaveLength(1)
    expect(await again.machine.scrub(), "there is nothing left to read").toBe(null)
    await again.close()
  })
  test("in a table while the machine runs: no wrong value is served, and scrub finds it", async () => {
    const held = await open(temporary())
    await held.apply(log.entries)
    await held.machine.takeSnapshot()
    const [table = ""] = filesOf(current(held), /\.ldb$/)
    const { size } = statSync(table)
    for (let at = 100; at < size - 48; at += Math.ceil(size / 300)) flip(table, at, at % 8)
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    for (let i = 0; i < 400; i++) {
      const reply = await held.machine.read(buffers("GET", `key:${i}`))
      if (reply.type === "bulk") expect(reply).toEqual(twin.read(buffers("GET", `key:${i}`)))
    }
    await held.machine.scrub()
    expect(held.damages).toHaveLength(1)
    expect(held.damages[0]?.name).toBe("MachineDamaged")
    expect(held.index()).toBe(null)
    expect(await held.get("GET", "key:1")).toMatch(/^-REBUILDING/)
    expect(held.machine.version(Buffer.from("key:1"))).toBeGreaterThan(1e14)
    await held.close()
  })
})

describe("missing pieces", () => {
  test("a torn log end costs the last writes, nothing else", async () => {
    for (const cut of [1, 100, 5000, 40_000]) {
      const held = await closed()
      const [path = ""] = filesOf(current(held), /\.log$/)
      truncateSync(path, Math.max(0, statSync(path).size - cut))
      const again = await open(held.directory)
      expect(await honest(again)).toBeLessThan(log.entries.length)
      await again.close()
    }
  })
  test("CURRENT, a table, the manifest or the whole directory gone: no empty database in their place", async () => {
    for (const ending of [/^CURRENT$/, /\.ldb$/, /^MANIFEST/, /./]) {
      const held = await closed()
      for (const path of filesOf(current(held), ending)) rmSync(path)
      const left = filesOf(current(held), /\.ldb$/)
      const again = await open(held.directory)
      expect(await honest(again)).toBe(null)
      // Kept for whoever wants to look: a new database would have removed them as strangers.
      expect(filesOf(current(held), /\.ldb$/)).toEqual(expect.arrayContaining(left))
      await again.close()
    }
    const held = await closed()
    rmSync(current(held), { recursive: true })
    const again = await open(held.directory)
    expect(await honest(again)).toBe(null)
    await again.close()
  })
  test("a hole that LevelDB does not mention is found by the batch markers", async () => {
    const held = await closed()
    const db = new ClassicLevel<Buffer, Buffer>(current(held), {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      compression: false,
    })
    await db.del(markerKey(CHECKPOINT + 26))
    await db.close()
    const again = await open(held.directory)
    expect(await honest(again)).toBe(null)
    expect(again.machine.stats().damaged).toContain("entry 526")
    await again.close()
  })
  test("data of another node or cluster are not served", async () => {
    const held = await closed()
    for (const other of [{ node: "n2" }, { cluster: "d" }]) {
      const again = await open(held.directory, other)
      expect(again.index()).toBe(null)
      expect(again.machine.stats().damaged).toContain("belongs to node n1 of cluster c")
      await again.close()
    }
    const again = await open(held.directory)
    expect(again.index()).toBe(log.entries.length)
    await again.close()
  })
})

describe("the way back", () => {
  test("a damaged machine executes nothing, takes a snapshot, and is whole again, also after a restart", async () => {
    const healthy = await closed().then((held) => open(held.directory))
    const held = await closed()
    writeFileSync(join(current(held), "CURRENT"), "")
    let again = await open(held.directory)
    expect(again.index()).toBe(null)
    await expect(again.machine.takeSnapshot()).rejects.toThrow(/damaged/)
    again.machine.apply(log.entries.slice(0, 5))
    await transfer(healthy, again)
    expect(again.restored).toBe(1)
    expect(await digest(again)).toBe(digests.at(-1))
    expect(again.machine.stats().damaged).toBe(null)
    await again.close()
    again = await open(held.directory)
    expect(await digest(again)).toBe(digests.at(-1))
    expect(readdirSync(held.directory).length).toBe(2)
    await again.close()
    await healthy.close()
  })
  test("damage found while a batch is executed ends service; restored, the machine executes what follows, and again after a restart", async () => {
    const healthy = await closed().then((held) => open(held.directory))
    const held = await closed()
    const raw = new ClassicLevel<Buffer, Buffer>(current(held), {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      compression: false,
    })
    await raw.put(dataKey(0, Buffer.from("key:37")), Buffer.from("what was never written"))
    await raw.close()
    let again = await open(held.directory)
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    const more = new Log()
    fill(more)
    const next = (): Entry[] => {
      const from = more.entries.length
      more.call("APPEND", "key:74", "a")
      more.call("APPEND", "key:37", "b")
      more.call("SET", "key:74", "c")
      return more.from(from)
    }
    const first = next()
    await again.apply(first)
    expect([again.index(), again.damages.length, again.replies]).toEqual([null, 1, []])
    // Handed over all the same by one who does not know yet: nothing happens.
    again.machine.apply(first)
    await transfer(healthy, again)
    expect(again.index()).toBe(log.entries.length)
    for (const entries of [first, next()]) {
      await again.apply(entries)
      twin.applyNow(entries)
      expect(await digest(again)).toBe(twin.digest())
    }
    expect(again.replies.map(([, sequence]) => sequence)).toEqual([901, 902, 903, 904, 905, 906])
    await again.close()
    again = await open(held.directory)
    expect(await digest(again)).toBe(twin.digest())
    expect(again.damages).toEqual([])
    await again.close()
    await healthy.close()
  })
  test("data of another format are refused by name, and untouched", async () => {
    const held = await closed()
    const directory = current(held)
    const options = { keyEncoding: "buffer", valueEncoding: "buffer", compression: false } as const
    let raw = new ClassicLevel<Buffer, Buffer>(directory, options)
    const identity = encodeIdentity({ format: FORMAT - 1, cluster: "c", node: "n1" }, 0)
    await raw.put(identityKey, identity)
    await raw.close()
    await expect(open(held.directory)).rejects.toThrow(
      new RegExp(`are of format ${FORMAT - 1}; this version reads format ${FORMAT}. Nothing was touched`),
    )
    raw = new ClassicLevel<Buffer, Buffer>(directory, options)
    expect(await raw.get(identityKey)).toEqual(identity)
    await raw.close()
  })
  test("a directory in use is refused with a named error, and untouched", async () => {
    const held = await open(temporary())
    await held.apply(log.entries.slice(0, 10))
    const scope = Scope.makeUnsafe()
    const second = await Effect.runPromise(
      Effect.flip(openMachine({ directory: held.directory, cluster: "c", node: "n1" })).pipe(Scope.provide(scope)),
    )
    expect(second).toMatchObject({ _tag: "MachineLocked" })
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await held.apply(log.entries.slice(10, 20))
    expect(held.index()).toBe(20)
    await held.close()
    const again = await open(held.directory)
    expect(again.index()).toBe(20)
    await again.close()
  })
})
