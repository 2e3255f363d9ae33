/** Snapshots: the same bytes again, the same state at the other end, and nothing half done. */
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { MemoryMachine, imageDigest } from "../kv/machine/index.ts"
import {
  type Held,
  Log,
  buffers,
  bytesOf,
  digest,
  open,
  plain,
  removeTemporary,
  temporary,
  transfer,
} from "./machine.kit.ts"

afterAll(removeTemporary)

const filled = async (count: number, size = 300): Promise<{ held: Held; log: Log }> => {
  const held = await open(temporary())
  const log = new Log()
  for (let i = 0; i < count; i++)
    log.call("SET", `key:${i}`, `${i}:`.repeat(size / 4), ...(i % 3 === 0 ? ["EX", String(100 + i)] : []))
  log.call("SET", "gone", "x", "PX", "1")
  log.call("SET", "huge", "h".repeat(700_000))
  log.time += 10
  log.call("GET", "huge")
  await held.apply(log.entries)
  return { held, log }
}

describe("snapshots", () => {
  test("a snapshot makes an equal machine: data, versions, deadlines, sessions, kept replies, position", async () => {
    const { held, log } = await filled(3000)
    const other = await open(temporary(), { node: "n2" })
    await transfer(held, other)
    expect(await digest(other)).toBe(await digest(held))
    expect(other.machine.position()).toEqual(held.machine.position())
    expect(other.machine.earliestDeadline()).toBe(1_100_000)
    expect(other.restored).toBe(1)
    expect([held.machine.beginsAt(), other.machine.beginsAt()], "where the data begin").toEqual([0, other.index()])
    const begins = other.machine.beginsAt()
    const before = log.entries.length
    log.call("APPEND", "key:7", "!")
    log.time += 200_000
    log.add({ type: "Tick" })
    await held.apply(log.from(before))
    await other.apply(log.from(before))
    expect(await digest(other)).toBe(await digest(held))
    const { directory } = other
    const then = await digest(other)
    await other.close()
    const again = await open(directory, { node: "n2" })
    expect(await digest(again)).toBe(then)
    expect(again.machine.beginsAt(), "also after more was executed, and a start").toBe(begins)
    await again.close()
    await held.close()
  })
  test("the twin and LevelDB write the same image and read each other's", async () => {
    const { held, log } = await filled(200)
    const twin = new MemoryMachine()
    twin.applyNow(log.entries)
    const image = await held.machine.openSnapshot()
    const chunks = await bytesOf(image)
    await image.close()
    expect(imageDigest(chunks)).toBe(twin.digest())
    const copy = new MemoryMachine()
    copy.restoreNow(chunks)
    expect(copy.digest()).toBe(twin.digest())
    expect(plain(copy.read(buffers("GET", "key:1")))).toBe("1:".repeat(75))
    await held.close()
  })
  test("an image stays as it was pinned while the machine goes on; the same offset gives the same bytes, backwards too", async () => {
    const { held, log } = await filled(4000)
    const image = await held.machine.openSnapshot()
    const first = await bytesOf(image)
    const before = log.entries.length
    log.call("FLUSHALL")
    log.call("SET", "key:1", "other")
    await held.apply(log.from(before))
    const second = await bytesOf(image)
    expect(second.map((chunk) => chunk.length)).toEqual(first.map((chunk) => chunk.length))
    expect(imageDigest(second)).toBe(imageDigest(first))
    const offsets = first.map((_, i) => first.slice(0, i).reduce((sum, chunk) => sum + chunk.length, 0))
    for (const i of [3, 3, 1, 0, first.length - 1, 2, 2]) {
      const { bytes, last } = await image.read(offsets[i] ?? 0)
      expect(Buffer.compare(Buffer.from(bytes), first[i] ?? Buffer.alloc(0))).toBe(0)
      expect(last).toBe(i === first.length - 1)
    }
    for (const chunk of first) expect(chunk.length).toBeLessThanOrEqual(256 << 10)
    await image.close()
    await expect(image.read(0)).rejects.toThrow("closed")
    await held.close()
  })
  test("an interrupted transfer is resumed: repeated, misplaced and foreign chunks do no harm", async () => {
    const { held } = await filled(4000)
    const other = await open(temporary(), { node: "n2" })
    const image = await held.machine.openSnapshot()
    const chunks = await bytesOf(image)
    const { snapshot } = image
    const store = (offset: number, bytes: Buffer, last = false): Promise<number> =>
      other.machine.storeChunk(snapshot, offset, bytes, last)
    const [a = Buffer.alloc(0), b = Buffer.alloc(0)] = chunks
    expect(await store(a.length, b)).toBe(0)
    expect(await store(0, a)).toBe(a.length)
    expect(await store(a.length, b)).toBe(a.length + b.length)
    expect(await store(a.length, b)).toBe(a.length + b.length)
    expect(await store(a.length + b.length + 9, b)).toBe(a.length + b.length)
    expect(await other.machine.storeChunk({ ...snapshot, id: "another" }, 77, b, false)).toBe(0)
    await expect(other.machine.restore(snapshot)).rejects.toThrow()
    // From the start, in other pieces.
    let offset = 0
    const whole = Buffer.concat(chunks)
    while (offset < whole.length) {
      const size = 1 + ((offset * 7919) % 300_000)
      const bytes = whole.subarray(offset, offset + size)
      offset = await store(offset, bytes, offset + bytes.length === whole.length)
    }
    await other.machine.restore(snapshot)
    expect(await digest(other)).toBe(await digest(held))
    await image.close()
    await other.close()
    await held.close()
  })
  test("a transfer with any flipped, missing or added byte is refused, and the earlier state stays", async () => {
    const { held } = await filled(50)
    const image = await held.machine.openSnapshot()
    const whole = Buffer.concat(await bytesOf(image))
    const { directory } = await filled(1).then(async (other) => {
      await other.held.close()
      return other.held
    })
    const other = await open(directory)
    const before = await digest(other)
    const attempt = async (bytes: Buffer): Promise<void> => {
      await other.machine.storeChunk(image.snapshot, 0, bytes, true)
      await other.machine.restore(image.snapshot)
    }
    for (let i = 0; i < 60; i++) {
      const at = i < 20 ? i : Math.floor((whole.length / 60) * i)
      const flipped = Buffer.from(whole)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (i % 8))
      await expect(attempt(flipped)).rejects.toThrow(/cannot be used/)
    }
    await expect(attempt(whole.subarray(0, whole.length - 1))).rejects.toThrow(/cannot be used/)
    await expect(attempt(Buffer.concat([whole, Buffer.from([0])]))).rejects.toThrow(/cannot be used/)
    await other.machine.storeChunk(image.snapshot, 0, whole, true)
    await expect(other.machine.restore({ ...image.snapshot, index: image.snapshot.index + 1 })).rejects.toThrow(
      /announced/,
    )
    expect(await digest(other)).toBe(before)
    expect(other.damages).toEqual([])
    await attempt(whole)
    expect(await digest(other)).toBe(await digest(held))
    await image.close()
    await other.close()
    await held.close()
  })
  test("bug-S1: an older snapshot does not replace a newer state", async () => {
    const { held, log } = await filled(10)
    const image = await held.machine.openSnapshot()
    const other = await open(temporary(), { node: "n2" })
    await transfer(held, other)
    const before = log.entries.length
    log.call("SET", "newer", "1")
    await other.apply(log.from(before))
    await other.machine.storeChunk(image.snapshot, 0, Buffer.concat(await bytesOf(image)), true)
    await expect(other.machine.restore(image.snapshot)).rejects.toThrow(/has executed/)
    expect(await other.get("GET", "newer")).toBe("1")
    await image.close()
    await other.close()
    await held.close()
  })
  test("a crash at any step of a restore leaves the old state or the new one, and nothing beside it", async () => {
    const { held } = await filled(100)
    const other = await open(temporary(), { node: "n2" })
    const log = new Log()
    log.call("SET", "old", "1")
    await other.apply(log.entries)
    const { directory } = other
    await other.close()
    const old = readFileSync(join(directory, "current"), "utf8")
    // Before the switch: a half-filled directory, and a pointer not yet renamed.
    let again = await open(directory, { node: "n2" })
    const image = await held.machine.openSnapshot()
    const whole = Buffer.concat(await bytesOf(image))
    await again.machine.storeChunk(image.snapshot, 0, whole.subarray(0, whole.length / 2), false)
    const half = readdirSync(directory).filter((name) => name.startsWith("db-") && `${name}\n` !== old)
    expect(half.length).toBe(1)
    await again.close()
    writeFileSync(join(directory, "db-000099"), "left over")
    writeFileSync(join(directory, "current.new"), "db-0")
    again = await open(directory, { node: "n2" })
    expect(await again.get("GET", "old")).toBe("1")
    expect(readdirSync(directory).sort()).toEqual(["current", old.trim()].sort())
    // After the switch: the old directory is still there.
    await transfer(held, again)
    const now = await digest(again)
    await again.close()
    renameSync(join(directory, readFileSync(join(directory, "current"), "utf8").trim()), join(directory, "db-000200"))
    writeFileSync(join(directory, "current"), "db-000200\n")
    again = await open(directory, { node: "n2" })
    expect(await digest(again)).toBe(now)
    expect(readdirSync(directory).length).toBe(2)
    await image.close()
    await again.close()
    await held.close()
  })
  test("takeSnapshot answers with what is durable while batches go on", async () => {
    const held = await open(temporary())
    const log = new Log()
    for (let i = 0; i < 2000; i++) log.call("SET", `k${i}`, "v".repeat(100))
    let done = 0
    const taken: number[] = []
    const taking = (async () => {
      for (let i = 0; i < 5; i++) taken.push((await held.machine.takeSnapshot()).index)
    })()
    while (done < log.entries.length) {
      await held.apply(log.entries.slice(done, done + 50))
      done += 50
    }
    await taking
    expect(taken).toEqual([...taken].sort((a, b) => a - b))
    expect((await held.machine.takeSnapshot()).index).toBe(2001)
    await held.close()
    const again = await open(held.directory)
    expect(again.index()).toBe(2001)
    await again.close()
  })
  test("what takeSnapshot promised is in tables: LevelDB's log may vanish", async () => {
    const held = await open(temporary())
    const log = new Log()
    for (let i = 0; i < 500; i++) log.call("SET", `k${i}`, "v".repeat(100))
    await held.apply(log.entries.slice(0, 400))
    const { index } = await held.machine.takeSnapshot()
    await held.apply(log.entries.slice(400))
    await held.close()
    const directory = join(held.directory, readFileSync(join(held.directory, "current"), "utf8").trim())
    for (const name of readdirSync(directory)) if (name.endsWith(".log")) rmSync(join(directory, name))
    expect(existsSync(directory)).toBe(true)
    const again = await open(held.directory)
    expect(again.index()).toBe(index)
    await again.apply(log.entries.slice(index))
    expect(await again.get("GET", "k499")).toBe("v".repeat(100))
    await again.close()
  })
})
