/** Damage is told from a torn write, and named; nothing acknowledged is dropped in silence. */
import { recordClaim } from "../core/index.ts"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeFormat, LOG_FORMAT, unstartedFormat } from "../interpreters/file/identity.ts"
import { encodeHead } from "../interpreters/file/segment.ts"
import { memoryDisk, type MemoryDisk } from "./disk.ts"
import { appended, baseAt, command, configuration, DIRECTORY, member, openStorage, persistOf } from "./file-log.ts"

const FORMAT = `${DIRECTORY}/FORMAT`
const segments = (disk: MemoryDisk): string[] =>
  disk
    .names()
    .filter((name) => name.includes("wal-"))
    .sort()
const only = (disk: MemoryDisk): string => segments(disk).at(-1) ?? ""

/** Each Persist durable before the next: one frame each. Killed: the length of the log was not written down at the end. */
const filled = async (frames: number, segmentBytes = 1 << 20, size = 100, killed = false): Promise<MemoryDisk> => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files, segmentBytes })
  for (let seq = 0; seq < frames; seq++) {
    opened.storage.persist(appended(seq, seq + 1, 1, size))
    await opened.durable(seq)
  }
  const left = disk.crash("nothing")
  await opened.close()
  return killed ? left : disk
}
const reopened = async (disk: MemoryDisk): Promise<readonly number[]> => {
  const opened = await openStorage({ files: disk.files })
  await opened.close()
  return opened.storage.stored.entries.map(({ index }) => index)
}
const refusal = (disk: MemoryDisk, options = {}): Promise<unknown> =>
  openStorage({ files: disk.files, ...options }).then(
    async ({ close }) => close(),
    (error: unknown) => error,
  )

test("a file that ends inside the last record is cut, wherever it ends", async () => {
  const disk = await filled(3, 1 << 20, 2000, true)
  const path = only(disk)
  const whole = disk.content(path)
  const frame = (whole.length - 512) / 3
  for (let cut = 1; cut <= frame; cut += 37) {
    disk.overwrite(path, whole.subarray(0, whole.length - cut))
    expect(await reopened(disk)).toEqual([1, 2])
    expect(disk.content(path).length).toBe(512 + 2 * frame)
  }
})

test("a last record with a sector that was never written is cut", async () => {
  const disk = await filled(3, 1 << 20, 2000, true)
  const path = only(disk)
  const whole = disk.content(path)
  const frame = (whole.length - 512) / 3
  for (let at = whole.length - frame; at < whole.length; at += 512) {
    disk.overwrite(path, Buffer.from(whole).fill(0, at, at + 512))
    expect(await reopened(disk)).toEqual([1, 2])
  }
  disk.overwrite(path, Buffer.concat([whole, Buffer.alloc(3000)]))
  expect(await reopened(disk)).toEqual([1, 2, 3])
})

test("a last record whose content has zero sectors is told from one that is torn", async () => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files })
  opened.storage.persist(
    persistOf(0, { entries: [command(1, 1, Buffer.concat([Buffer.alloc(2000), Buffer.alloc(600, 1)]))] }),
  )
  await opened.durable(0)
  const killed = disk.crash("nothing")
  await opened.close()
  const path = only(disk)
  const whole = disk.content(path)
  expect(await reopened(disk)).toEqual([1])
  disk.flip(path, whole.length - 520, 3)
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", file: path, offset: 512 })
  killed.overwrite(path, Buffer.from(whole).fill(0, whole.length - 512))
  expect(await reopened(killed)).toEqual([])
})

/** Where the records of the last segment end, from the first (the head) on. */
const ends = (bytes: Buffer): number[] => {
  const found: number[] = []
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) found.push(at + bytes.readUInt32BE(at))
  return found
}

test("a log cut at the end of a record is named, if it was stopped cleanly: whichever record, and after more segments", async () => {
  for (const segmentBytes of [1 << 20, 2048]) {
    const disk = await filled(12, segmentBytes)
    const path = only(disk)
    const whole = disk.content(path)
    for (const end of ends(whole).slice(0, -1)) {
      disk.overwrite(path, whole.subarray(0, end))
      expect(await refusal(disk)).toMatchObject({ _tag: "LogCutShort", file: path, found: end, synced: whole.length })
      expect(disk.content(path).length, "nothing is changed").toBe(end)
    }
    disk.overwrite(path, whole)
    expect(await reopened(disk)).toHaveLength(12)
  }
})

test("a log cut to less than it held as it was last opened is named, also after a kill", async () => {
  const disk = await filled(3, 1 << 20, 100, true)
  const opened = await openStorage({ files: disk.files })
  opened.storage.persist(appended(0, 4, 1))
  await opened.durable(0)
  const killed = disk.crash("nothing")
  await opened.close()
  const path = only(killed)
  const whole = killed.content(path)
  const [head = 0, one = 0, two = 0, three = 0] = ends(whole)
  for (const end of [head, one, two]) {
    killed.overwrite(path, whole.subarray(0, end))
    expect(await refusal(killed)).toMatchObject({ _tag: "LogCutShort", found: end, synced: three })
  }
  // Nothing on this disk tells that there was more; peers and the state machine may.
  killed.overwrite(path, whole.subarray(0, three))
  expect(await reopened(killed)).toEqual([1, 2, 3])
})

test("starts are counted, each with a word of its own, and starts of peers are remembered over lives", async () => {
  const disk = memoryDisk()
  const peer = member("n2")
  const start = { number: 2, words: [7, 8] }
  const lines: (readonly number[])[] = []
  for (const number of [1, 2, 3]) {
    const opened = await openStorage({ files: disk.files })
    expect(opened.storage.start).toMatchObject({
      number,
      words: [...(lines.at(-1) ?? []), opened.storage.start.words.at(-1)],
    })
    lines.push(opened.storage.start.words)
    if (number === 1) {
      expect(opened.storage.sightings.of(peer)).toBeNull()
      await new Promise((resolve) => opened.storage.sightings.record(peer, start, resolve))
      const sighting = opened.storage.sightings.of(peer)
      if (sighting !== null)
        recordClaim(sighting, {
          type: "AppendAccepted",
          term: 3,
          matchIndex: 12,
          verifiedIndex: 12,
          verifiedChain: 0,
          round: 1,
          condition: "ready",
          wall: 0,
          leaderTime: 0,
        })
    } else expect(opened.storage.sightings.of(peer)).toEqual({ member: peer, start, term: 3, index: 12 })
    await opened.close()
  }
  expect(new Set(lines.at(-1)).size).toBe(3)
})

test("a flipped bit anywhere in an acknowledged record stops the node, the last record not excepted", async () => {
  const disk = await filled(3, 1 << 20, 600)
  const path = only(disk)
  const whole = disk.content(path)
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (offset, bit) => {
      disk.overwrite(path, whole)
      disk.flip(path, offset, bit)
      const frame = offset < 512 ? 0 : 512 + Math.floor((offset - 512) / 1024) * 1024
      const error = await refusal(disk)
      expect(error).toMatchObject({ _tag: "LogCorrupted", file: path, offset: frame })
      expect(String(error)).toContain("This copy of the log cannot be trusted")
    }),
    { numRuns: 400 },
  )
})

test("a bit flipped in a sector that is zero but for that bit is not taken for a torn write", async () => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files })
  const bytes = Buffer.alloc(4000)
  bytes[2000] = 1
  opened.storage.persist(persistOf(0, { entries: [command(1, 1, bytes)] }))
  await opened.durable(0)
  await opened.close()
  disk.flip(only(disk), disk.content(only(disk)).indexOf(1, 1024), 0)
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", offset: 512 })
})

test("a record in the middle that is gone as a whole stops the node", async () => {
  const disk = await filled(3)
  disk.overwrite(only(disk), Buffer.from(disk.content(only(disk))).fill(0, 1024, 1536))
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", offset: 1024 })
})

test("a sector in the middle that reads as zeros stops the node", async () => {
  const disk = await filled(3, 1 << 20, 2000)
  disk.overwrite(only(disk), Buffer.from(disk.content(only(disk))).fill(0, 1024, 1536))
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", offset: 512 })
})

test("a log with entries missing between its base and its first segment stops the node", async () => {
  const disk = await filled(0)
  disk.overwrite(only(disk), encodeHead(1, { hardState: { term: 1, vote: null }, base: baseAt(3), lastIndex: 5 }))
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted" })
})

test("segments that FORMAT does not list are left over, and removed", async () => {
  const disk = await filled(40, 2048)
  const opened = await openStorage({ files: disk.files, segmentBytes: 2048 })
  const [first = ""] = segments(disk)
  const old = disk.content(first)
  opened.storage.persist(persistOf(0, { base: baseAt(35) }))
  await opened.durable(0)
  await opened.close()
  const listed = segments(disk)
  disk.overwrite(first, old)
  disk.overwrite(`${DIRECTORY}/wal-000000000099`, Buffer.alloc(700))
  expect(await reopened(disk)).toEqual([36, 37, 38, 39, 40])
  expect(segments(disk)).toEqual(listed)
})

test("a record that turns up in another place or in another segment is not taken for a good one", async () => {
  const disk = await filled(4, 2048)
  const [one = "", two = ""] = segments(disk)
  const moved = Buffer.from(disk.content(one))
  moved.copy(moved, 1024, 512, 1024)
  disk.overwrite(one, moved)
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", file: one, offset: 1024 })
  const other = await filled(4, 2048)
  other.overwrite(two, other.content(one))
  expect(await refusal(other)).toMatchObject({ _tag: "LogCorrupted", file: two, offset: 0 })
})

test("an earlier segment that ends early stops the node: only the last one can be torn", async () => {
  for (const cut of [1, 512, 700]) {
    const disk = await filled(9, 2048)
    const [first = "", second = ""] = segments(disk)
    disk.overwrite(first, disk.content(first).subarray(0, disk.content(first).length - cut))
    expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", file: cut === 512 ? second : first })
  }
})

test("a deleted segment is noticed: the first, one in the middle, the last", async () => {
  const count = segments(await filled(12, 2048)).length
  expect(count).toBeGreaterThan(3)
  for (let i = 0; i < count; i++) {
    const disk = await filled(12, 2048)
    const path = segments(disk)[i] ?? ""
    disk.remove(path)
    expect(await refusal(disk)).toMatchObject({ _tag: "SegmentMissing", file: path })
  }
})

test("an emptied last segment is noticed", async () => {
  const disk = await filled(12, 2048)
  disk.overwrite(only(disk), Buffer.alloc(0))
  expect(await refusal(disk)).toMatchObject({ _tag: "LogCorrupted", offset: 0 })
})

test("segments that the base covers are deleted, and what is left stands by itself", async () => {
  const disk = await filled(40, 2048)
  const before = segments(disk).length
  const opened = await openStorage({ files: disk.files, segmentBytes: 2048 })
  opened.storage.persist(persistOf(0, { hardState: { term: 7, vote: member("n3") }, base: baseAt(35) }))
  await opened.durable(0)
  await opened.close()
  const left = segments(disk)
  expect(left.length).toBeLessThan(before)
  expect(left.length).toBeLessThanOrEqual(3)
  const again = await openStorage({ files: disk.files })
  expect(again.storage.stored).toMatchObject({ hardState: { term: 7, vote: member("n3") }, base: baseAt(35) })
  expect(again.storage.stored.entries.map(({ index }) => index)).toEqual([36, 37, 38, 39, 40])
  await again.close()
  disk.remove(left[0] ?? "")
  expect(await refusal(disk)).toMatchObject({ _tag: "SegmentMissing" })
})

test("a batch larger than a segment gets one of its own", async () => {
  const disk = await filled(3, 2048, 10_000)
  expect(segments(disk).length).toBe(3)
  expect(await reopened(disk)).toEqual([1, 2, 3])
})

test("a log without FORMAT is not a fresh node", async () => {
  const disk = await filled(3)
  disk.remove(FORMAT)
  expect(await refusal(disk)).toMatchObject({ _tag: "IdentityUnreadable", file: FORMAT })
})

test("every flipped bit in FORMAT is noticed", async () => {
  const disk = await filled(1)
  const whole = disk.content(FORMAT)
  for (let offset = 0; offset < whole.length; offset++) {
    disk.overwrite(FORMAT, whole)
    disk.flip(FORMAT, offset, offset % 8)
    const error = await refusal(disk)
    expect(["IdentityUnreadable", "WrongFormat"]).toContain(error instanceof Error ? error.name : "none")
  }
  for (const length of [0, 10, whole.length - 1]) {
    disk.overwrite(FORMAT, whole.subarray(0, length))
    expect(await refusal(disk)).toMatchObject({ _tag: "IdentityUnreadable" })
  }
})

test("a directory of another node, cluster or version is refused by name", async () => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files })
  expect(opened.storage.identity).toMatchObject({ self: { name: "n1" }, cluster: null, founding: null })
  await Effect.runPromise(opened.storage.found("blue", configuration))
  await Effect.runPromise(opened.storage.found("blue", configuration))
  expect(opened.storage.stored.base).toEqual({ index: 0, term: 0, time: 0, chain: 0, configuration })
  expect(await Effect.runPromise(Effect.flip(opened.storage.found("red", configuration)))).toMatchObject({
    _tag: "WrongCluster",
  })
  const { identity } = opened.storage
  await opened.close()

  const again = await openStorage({ files: disk.files, cluster: "blue" })
  expect(again.storage.identity).toEqual(identity)
  expect(again.storage.stored.base.configuration).toEqual(configuration)
  await again.close()
  expect(await refusal(disk, { name: "n2" })).toMatchObject({ _tag: "WrongNode", wanted: "n2", found: "n1" })
  expect(await refusal(disk, { cluster: "red" })).toMatchObject({ _tag: "WrongCluster", wanted: "red", found: "blue" })
  for (const version of [LOG_FORMAT - 1, LOG_FORMAT + 1]) {
    disk.overwrite(FORMAT, encodeFormat({ ...unstartedFormat(identity), last: 1 }, version))
    expect(await refusal(disk)).toMatchObject({ _tag: "WrongFormat", found: version, known: "5" })
  }
})

test("two directories never get the same incarnation", async () => {
  const one = await openStorage({ files: memoryDisk().files })
  const two = await openStorage({ files: memoryDisk().files })
  expect(one.storage.identity.self.incarnation).not.toBe(two.storage.identity.self.incarnation)
  await one.close()
  await two.close()
})
