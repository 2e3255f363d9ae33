/** defect-D4 of the mission: a save in two truncating writes, without rename, sync or a look at errors; all of it, each time. */
import { describe, expect, test } from "vitest"
import { diskError, memoryDisk, troubled, type Operation } from "./disk.ts"
import { appended, baseAt, member, openStorage, persistOf, plain, type Opened } from "./file-log.ts"

/** What a crash right now leaves of it. */
const reopened = async (files: Parameters<typeof troubled>[0]): Promise<string> => {
  const { storage, close } = await openStorage({ files })
  const found = plain(storage.stored)
  await close()
  return found
}
const saved = async (storage: Opened["storage"], durable: Opened["durable"], seq: number): Promise<void> => {
  storage.persist(persistOf(seq, { hardState: { term: 3, vote: member("n2") }, base: baseAt(8) }))
  await durable(seq)
}

describe("defect-D4: state and base are saved together, durably, or not at all", () => {
  test("a crash at any operation of a save leaves all of it or nothing of it", async () => {
    const disk = memoryDisk()
    const crashes: ReturnType<typeof disk.crash>[] = []
    let watching = false
    const files = troubled(disk.files, () => {
      if (watching) for (const keep of ["nothing", "everything", 1, 2, 3] as const) crashes.push(disk.crash(keep))
      return null
    })
    const { storage, close, durable } = await openStorage({ files })
    storage.persist(appended(0, 1, 10))
    await durable(0)
    const before = await reopened(disk.crash("nothing").files)
    watching = true
    await saved(storage, durable, 1)
    watching = false
    const after = await reopened(disk.crash("nothing").files)
    await close()
    expect(after).not.toBe(before)
    expect(crashes.length).toBeGreaterThanOrEqual(10)
    for (const crash of crashes) expect([before, after]).toContain(await reopened(crash.files))
  })

  test("it is not said to be saved before a sync, and a sync or write that fails is not passed over", async () => {
    for (const kind of ["datasync", "write"] as const) {
      let failing = false
      const seen: Operation["kind"][] = []
      const disk = memoryDisk()
      const files = troubled(disk.files, (operation) => {
        seen.push(operation.kind)
        return failing && operation.kind === kind ? diskError("EIO") : null
      })
      const { storage, close, durable, acknowledged, failed } = await openStorage({ files })
      storage.persist(appended(0, 1, 3))
      await durable(0)
      expect(seen).toContain("datasync")
      failing = true
      await expect(saved(storage, durable, 1)).rejects.toThrow()
      expect([acknowledged(), failed() === null]).toEqual([0, false])
      failing = false
      await close()
    }
  })

  test("a save writes what is new, not the whole log", async () => {
    const disk = memoryDisk()
    const { storage, close, durable } = await openStorage({ files: disk.files })
    const written = (): number => disk.names().reduce((bytes, name) => bytes + disk.content(name).length, 0)
    storage.persist(appended(0, 1, 200, 1000))
    await durable(0)
    const before = written()
    storage.persist(appended(1, 201, 1, 1000))
    await durable(1)
    expect(written() - before).toBeLessThan(4000)
    await close()
  })
})
