/** What the disk refuses is never acknowledged; what cannot be trusted any more is not tried again. */
import { expect, test } from "vitest"
import { writingThenSyncing, type Files } from "../interpreters/file/files.ts"
import { diskError, memoryDisk, troubled, type MemoryDisk, type Operation, type Trouble } from "./disk.ts"
import { appended, baseAt, openStorage, persistOf, type Opened } from "./file-log.ts"
import { until } from "./tcp.nodes.ts"
import { turns } from "./waiting.ts"

const wal = ({ path }: Operation): boolean => path.includes("wal-")

/** The storage has looked at its disk a few times more, which is when it tries again, and what it did then is done. */
const looks = async (disk: MemoryDisk, count = 3): Promise<void> => {
  const before = disk.renewals
  await until("it has looked at its disk", () => disk.renewals >= before + count)
  await turns(20)
}

/** A storage whose disk can be given trouble at any time, and what it was asked meanwhile. */
const onTroubledDisk = async (options = {}) => {
  const disk = memoryDisk()
  const asked: Operation[] = []
  let trouble: Trouble = () => null
  const files = troubled(disk.files, (operation) => {
    asked.push(operation)
    return trouble(operation)
  })
  const opened: Opened = await openStorage({ files, watchInterval: 5, ...options })
  const give = (now: Trouble): void => {
    trouble = now
    asked.length = 0
  }
  /** What a crash of the machine would leave. */
  const durableIndexes = async (): Promise<readonly number[]> => {
    const again = await openStorage({ files: disk.crash("nothing").files })
    await again.close()
    return again.storage.stored.entries.map(({ index }) => index)
  }
  return { disk, opened, give, asked, durableIndexes }
}

test("a failed sync stops the storage: no acknowledgement, no second sync", async () => {
  const { opened, give, asked, durableIndexes } = await onTroubledDisk()
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  give((operation) => (operation.kind === "datasync" ? diskError("EIO") : null))
  opened.storage.persist(appended(1, 2, 1))
  await expect(opened.durable(1)).rejects.toMatchObject({ _tag: "SyncFailed" })
  give(() => null)
  opened.storage.persist(appended(2, 3, 1))
  await turns(50)
  expect(opened.acknowledged()).toBe(0)
  expect(asked).toEqual([])
  await opened.close()
  expect(await durableIndexes()).toEqual([1])
})

test("a failed write counts as a failed sync: the storage stops and touches the file no more; the next start cuts it back", async () => {
  const { disk, opened, give, asked, durableIndexes } = await onTroubledDisk()
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  const path = disk.names().find((name) => name.includes("wal-")) ?? ""
  const size = disk.content(path).length
  give((operation) => (operation.kind === "write" ? diskError("EIO") : null))
  opened.storage.persist(appended(1, 2, 50))
  await expect(opened.durable(1)).rejects.toMatchObject({ _tag: "SyncFailed", file: path })
  expect(asked.map(({ kind }) => kind)).toEqual(["write"])
  expect(disk.content(path).length).toBeGreaterThan(size)
  await opened.close()
  expect(await durableIndexes()).toEqual([1])
  const left = disk.crash("everything")
  const again = await openStorage({ files: left.files })
  await again.close()
  expect(again.storage.stored.entries.map(({ index }) => index)).toEqual([1])
  expect(left.content(path).length).toBe(size)
})

test("a disk without room, whether the write or the sync finds out: back to what is durable, then all of it anew", async () => {
  for (const short of ["write", "datasync"] as const) {
    const { opened, give, asked, durableIndexes } = await onTroubledDisk()
    opened.storage.persist(appended(0, 1, 1))
    await opened.durable(0)
    let left = 1
    give(({ kind }) => (kind === short && left-- > 0 ? diskError("ENOSPC") : null))
    opened.storage.persist(appended(1, 2, 50))
    await opened.durable(1)
    const failed = short === "write" ? ["write"] : ["write", "datasync"]
    expect(asked.map(({ kind }) => kind)).toEqual([...failed, "truncate", "write", "datasync"])
    expect([opened.failed(), opened.space()[0]]).toEqual([null, true])
    await opened.close()
    expect((await durableIndexes()).length).toBe(51)
  }
})

test("space stays low while the disk takes its time over the retry", async () => {
  const disk = memoryDisk()
  let answer = (): void => undefined
  let refusing = false
  const files: Files = {
    ...disk.files,
    open: async (path, mode) => {
      const file = await disk.files.open(path, mode)
      return writingThenSyncing({
        ...file,
        write: (bytes, position, done) => {
          if (!refusing) file.write(bytes, position, done)
          else {
            refusing = false
            answer = () => done(diskError("ENOSPC"), 0)
          }
        },
      })
    },
  }
  const opened = await openStorage({ files, watchInterval: 5 })
  refusing = true
  opened.storage.persist(appended(0, 1, 1))
  await until("the write is under way", () => !refusing)
  refusing = true
  answer()
  // Tried again, and not answered yet.
  await expect.poll(() => refusing).toBe(false)
  await looks(disk)
  expect(opened.space()).toEqual([true])
  answer()
  await opened.durable(0)
  await expect.poll(() => opened.space()).toEqual([true, false])
  await opened.close()
})

test("a write that the disk takes in pieces goes on where it stopped, and is synced at its end", async () => {
  const disk = memoryDisk()
  let pieces = 0
  const piecemeal: Files = {
    ...disk.files,
    open: async (path, mode) => {
      const file = await disk.files.open(path, mode)
      return writingThenSyncing({
        ...file,
        write: (bytes, position, done) => {
          pieces++
          file.write(bytes.subarray(0, 700), position, done)
        },
      })
    },
  }
  const opened = await openStorage({ files: piecemeal })
  pieces = 0
  opened.storage.persist(appended(0, 1, 20))
  await opened.durable(0)
  expect(pieces).toBeGreaterThan(3)
  const again = await openStorage({ files: disk.crash("nothing").files })
  expect(again.storage.stored.entries.length).toBe(20)
  await again.close()
  await opened.close()
})

test("a full disk holds everything up, says so, and goes on once there is room", async () => {
  const { disk, opened, give, durableIndexes } = await onTroubledDisk()
  give((operation) => (operation.kind === "write" && wal(operation) ? diskError("ENOSPC") : null))
  opened.storage.persist(appended(0, 1, 2))
  opened.storage.persist(appended(1, 3, 2))
  await looks(disk)
  opened.storage.persist(appended(2, 5, 2))
  expect(opened.acknowledged()).toBe(-1)
  expect(opened.failed()).toBe(null)
  expect(opened.space()).toEqual([true])
  expect(await durableIndexes()).toEqual([])
  give(() => null)
  await opened.durable(2)
  await until("there is room", () => opened.space().length > 1)
  expect(opened.space()).toEqual([true, false])
  await opened.close()
  expect(await durableIndexes()).toEqual([1, 2, 3, 4, 5, 6])
  expect(disk.free).toBeGreaterThan(0)
})

test("a full disk that cannot even be cut back stops the storage", async () => {
  const { opened, give } = await onTroubledDisk()
  give(({ kind }) => (kind === "write" ? diskError("ENOSPC") : kind === "truncate" ? diskError("EIO") : null))
  opened.storage.persist(appended(0, 1, 2))
  await expect(opened.durable(0)).rejects.toMatchObject({ _tag: "WriteFailed" })
  await opened.close()
})

test("closing a storage that waits for room gives up what was never acknowledged", async () => {
  const { disk, opened, give, durableIndexes } = await onTroubledDisk()
  give(({ kind }) => (kind === "write" ? diskError("ENOSPC") : null))
  opened.storage.persist(appended(0, 1, 2))
  await looks(disk)
  await opened.close()
  expect(await durableIndexes()).toEqual([])
})

test("no room for the next segment: it is made once there is room", async () => {
  for (const place of ["wal-000000000002", "FORMAT.new"]) {
    const { disk, opened, give, durableIndexes } = await onTroubledDisk({ segmentBytes: 1024 })
    give(({ kind, path }) => (kind === "write" && path.includes(place) ? diskError("ENOSPC") : null))
    opened.storage.persist(appended(0, 1, 1))
    await opened.durable(0)
    opened.storage.persist(appended(1, 2, 1))
    await looks(disk)
    expect([opened.acknowledged(), opened.failed(), opened.space()]).toEqual([0, null, [true]])
    give(() => null)
    await opened.durable(1)
    await opened.close()
    expect(await durableIndexes()).toEqual([1, 2])
  }
})

test("a directory that cannot be synced while a segment is made stops the storage, and the log is whole", async () => {
  const { opened, give, durableIndexes } = await onTroubledDisk({ segmentBytes: 1024 })
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  let syncs = 0
  give(({ kind }) => (kind === "syncDirectory" && ++syncs === 2 ? diskError("EIO") : null))
  opened.storage.persist(appended(1, 2, 1))
  await expect(opened.durable(1)).rejects.toMatchObject({ _tag: "SyncFailed" })
  await opened.close()
  expect(await durableIndexes()).toEqual([1])
})

test("free space is watched between two marks", async () => {
  const disk = memoryDisk()
  disk.free = 50
  const opened = await openStorage({ files: disk.files, watchInterval: 5, space: { lowWater: 100, highWater: 200 } })
  await looks(disk)
  expect(opened.space()).toEqual([true])
  disk.free = 150
  await looks(disk)
  expect(opened.space()).toEqual([true])
  disk.free = 250
  await looks(disk)
  expect(opened.space()).toEqual([true, false])
  disk.free = 150
  await looks(disk)
  expect(opened.space()).toEqual([true, false])
  await opened.close()
})

test("a trim that finds no room is made up for later", async () => {
  const { disk, opened, give } = await onTroubledDisk({ segmentBytes: 1024 })
  const segments = (): number => disk.names().filter((name) => name.includes("wal-")).length
  for (let seq = 0; seq < 6; seq++) {
    opened.storage.persist(appended(seq, seq + 1, 1))
    await opened.durable(seq)
  }
  expect(segments()).toBe(6)
  give(({ kind, path }) => (kind === "write" && path.includes("FORMAT") ? diskError("ENOSPC") : null))
  opened.storage.persist(persistOf(6, { base: baseAt(6) }))
  await looks(disk)
  expect(segments()).toBeGreaterThanOrEqual(6)
  give(() => null)
  await opened.durable(6)
  await until("it is made up for", () => segments() === 1)
  await opened.close()
})

test("a Persist that changes nothing is answered, in order, without a write", async () => {
  const { opened, asked, give } = await onTroubledDisk()
  give(() => null)
  opened.storage.persist(persistOf(0, {}))
  opened.storage.persist(persistOf(1, {}))
  expect(opened.acknowledged()).toBe(-1)
  await opened.durable(1)
  expect(asked).toEqual([])
  await opened.close()
})

test("closing waits for what was handed over", async () => {
  const { opened, durableIndexes } = await onTroubledDisk()
  opened.storage.persist(appended(0, 1, 3))
  await new Promise((resolve) => setImmediate(resolve))
  opened.storage.persist(appended(1, 4, 3))
  await opened.close()
  expect(opened.acknowledged()).toBe(1)
  expect(await durableIndexes()).toEqual([1, 2, 3, 4, 5, 6])
})
