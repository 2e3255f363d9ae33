/** No file descriptors left: the log waits and goes on; and every errno is told with advice of its own. */
import { expect, test } from "vitest"
import {
  adviceFor,
  DiskFull,
  DirectoryUnusable,
  openingError,
  SyncFailed,
  WriteFailed,
} from "../interpreters/file/errors.ts"
import { diskError, memoryDisk, troubled, type Operation, type Trouble } from "./disk.ts"
import { appended, baseAt, openStorage, persistOf } from "./file-log.ts"
import { until } from "./cluster.ts"

const opening = ({ kind }: Operation): boolean => kind === "open" || kind === "syncDirectory"

for (const code of ["EMFILE", "ENFILE"] as const)
  test(`${code} wherever the next segment needs a file: nothing is acknowledged meanwhile, nothing ends, and all goes on`, async () => {
    // The segment, its name, FORMAT, its name; then each of them several times.
    for (const [spared, times] of [
      [0, 1],
      [1, 1],
      [2, 1],
      [3, 1],
      [0, 3],
      [1, 3],
      [2, 4],
      [3, 5],
    ] as const) {
      const disk = memoryDisk()
      let trouble: Trouble = () => null
      const told: string[] = []
      const opened = await openStorage({
        files: troubled(disk.files, (operation) => trouble(operation)),
        watchInterval: 5,
        segmentBytes: 2048,
        waiting: (text) => told.push(text),
      })
      opened.storage.persist(appended(0, 1, 1, 1500))
      await opened.durable(0)
      let good = spared
      let refused = 0
      trouble = (operation) => {
        if (!opening(operation) || good-- > 0) return null
        refused++
        return diskError(code)
      }
      opened.storage.persist(appended(1, 2, 1, 1500))
      await until("it is refused", () => refused >= times)
      expect(opened.acknowledged()).toBe(0)
      // Whoever is killed while it waits has lost nothing.
      for (const keep of ["nothing", "everything"] as const) {
        const left = await openStorage({ files: disk.crash(keep).files })
        expect(left.storage.stored.entries.map(({ index }) => index).slice(0, 1)).toEqual([1])
        await left.close()
      }
      trouble = () => null
      await opened.durable(1)
      expect([opened.failed(), opened.space()]).toEqual([null, []])
      expect(told).toHaveLength(1)
      expect(told[0]).toContain("no file descriptors left")
      opened.storage.persist(appended(2, 3, 1, 1500))
      await opened.durable(2)
      await opened.close()
      const again = await openStorage({ files: disk.crash("nothing").files })
      expect(again.storage.stored.entries.map(({ index }) => index)).toEqual([1, 2, 3])
      await again.close()
    }
  })

test("a trim that finds no descriptor is made later", async () => {
  const disk = memoryDisk()
  let trouble: Trouble = () => null
  const opened = await openStorage({
    files: troubled(disk.files, (operation) => trouble(operation)),
    watchInterval: 5,
    segmentBytes: 2048,
  })
  for (let i = 0; i < 4; i++) {
    opened.storage.persist(appended(i, i + 1, 1, 1500))
    await opened.durable(i)
  }
  const segments = (): number => disk.names().filter((name) => name.includes("wal-")).length
  const before = segments()
  let bad = 3
  trouble = (operation) =>
    operation.kind === "open" && operation.path.includes("FORMAT") && bad-- > 0 ? diskError("EMFILE") : null
  opened.storage.persist(persistOf(4, { base: baseAt(3) }))
  await opened.durable(4)
  await until("the trim was refused", () => bad <= 2)
  await until("the trim is made", () => segments() < before)
  expect(opened.failed()).toBeNull()
  await opened.close()
})

test("each errno has its own advice, and only a disk that may be broken is to be checked", () => {
  const coded = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code })
  const of = (code: string): readonly string[] => [
    new WriteFailed({ file: "f", cause: coded(code) }).message,
    new SyncFailed({ file: "f", cause: coded(code) }).message,
    openingError("d", coded(code)).message,
  ]
  for (const code of ["EMFILE", "ENFILE"])
    for (const text of of(code)) expect(text).toMatch(/file descriptors.*raise its limit/)
  for (const code of [
    "ENOSPC",
    "EDQUOT",
    "EACCES",
    "EPERM",
    "EROFS",
    "ENOENT",
    "ENOTDIR",
    "EFBIG",
    "ENOMEM",
    "EMFILE",
    "ENFILE",
  ])
    for (const text of of(code)) expect(text).not.toContain("Check the disk")
  for (const code of ["EIO", "ENXIO"]) for (const text of of(code)) expect(text).toContain("Check the disk")
  expect(openingError("d", coded("ENOSPC"))).toBeInstanceOf(DiskFull)
  expect(openingError("d", coded("EMFILE"))).toBeInstanceOf(DirectoryUnusable)
  expect(adviceFor("no error at all")).toBe("Check the disk")
})
