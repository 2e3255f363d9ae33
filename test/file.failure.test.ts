/** What the disk refuses is never acknowledged; what cannot be trusted any more is not tried again. */
import { expect, test } from "vitest"
import { setTimeout as sleep } from "node:timers/promises"
import { diskError, memoryDisk, troubled, type Operation, type Trouble } from "./disk.ts"
import { appended, baseAt, openStorage, persistOf, type Opened } from "./file-log.ts"

const wal = ({ path }: Operation): boolean => path.includes("wal-")

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
  await sleep(30)
  expect(opened.acknowledged()).toBe(0)
  expect(asked).toEqual([])
  await opened.close()
  expect(await durableIndexes()).toEqual([1])
})

test("a failed write is cut back, and stops the storage", async () => {
  const { disk, opened, give, asked, durableIndexes } = await onTroubledDisk()
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  const path = disk.names().find((name) => name.includes("wal-")) ?? ""
  const size = disk.content(path).length
  give((operation) => (operation.kind === "write" ? diskError("EIO") : null))
  opened.storage.persist(appended(1, 2, 50))
  await expect(opened.durable(1)).rejects.toMatchObject({ _tag: "WriteFailed", file: path })
  expect(asked.map(({ kind }) => kind)).toEqual(["write", "truncate"])
  expect(disk.content(path).length).toBe(size)
  await opened.close()
  expect(await durableIndexes()).toEqual([1])
})

test("a full disk holds everything up, says so, and goes on once there is room", async () => {
  const { disk, opened, give, durableIndexes } = await onTroubledDisk()
  give((operation) => (operation.kind === "write" && wal(operation) ? diskError("ENOSPC") : null))
  opened.storage.persist(appended(0, 1, 2))
  opened.storage.persist(appended(1, 3, 2))
  await sleep(40)
  opened.storage.persist(appended(2, 5, 2))
  expect(opened.acknowledged()).toBe(-1)
  expect(opened.failed()).toBe(null)
  expect(opened.space()).toEqual([true])
  expect(await durableIndexes()).toEqual([])
  give(() => null)
  await opened.durable(2)
  await sleep(20)
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
  const { opened, give, durableIndexes } = await onTroubledDisk()
  give(({ kind }) => (kind === "write" ? diskError("ENOSPC") : null))
  opened.storage.persist(appended(0, 1, 2))
  await sleep(20)
  await opened.close()
  expect(await durableIndexes()).toEqual([])
})

test("no room for the next segment: it is made once there is room", async () => {
  for (const place of ["wal-000000000002", "FORMAT.new"]) {
    const { opened, give, durableIndexes } = await onTroubledDisk({ segmentBytes: 1024 })
    give(({ kind, path }) => (kind === "write" && path.includes(place) ? diskError("ENOSPC") : null))
    opened.storage.persist(appended(0, 1, 1))
    await opened.durable(0)
    opened.storage.persist(appended(1, 2, 1))
    await sleep(30)
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
  await sleep(30)
  expect(opened.space()).toEqual([true])
  disk.free = 150
  await sleep(30)
  expect(opened.space()).toEqual([true])
  disk.free = 250
  await sleep(30)
  expect(opened.space()).toEqual([true, false])
  disk.free = 150
  await sleep(30)
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
  await sleep(20)
  expect(segments()).toBeGreaterThanOrEqual(6)
  give(() => null)
  await opened.durable(6)
  await sleep(40)
  expect(segments()).toBe(1)
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
