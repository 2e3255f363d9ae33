/** The real files: what makes a durable write durable. (What a missing sync costs: file.crash.test.ts.) */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, constants } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { nodeFiles } from "../interpreters/file/index.ts"
import { appended, openStorage } from "./file-log.ts"

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stepraft-durable-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Flags of the descriptors that this process has open on `path`, as the kernel has them. */
const flagsOf = (path: string): readonly number[] =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== path) return []
      return [Number.parseInt(/^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "", 8)]
    } catch {
      return []
    }
  })

test.runIf(process.platform === "linux")(
  "the segment in use is open with O_DSYNC: made, made by a roll, and reopened",
  async () => {
    const directory = join(folder, "n1")
    const inUse = async (
      opened: Awaited<ReturnType<typeof openStorage>>,
      first: number,
      count: number,
    ): Promise<void> => {
      for (let i = 0; i < count; i++) {
        opened.storage.persist(appended(i, first + i, 1))
        await opened.durable(i)
        const segments = readdirSync(directory)
          .filter((name) => name.startsWith("wal-"))
          .sort()
        const flags = flagsOf(join(directory, segments.at(-1) ?? ""))
        expect(flags.length).toBe(1)
        expect((flags[0] ?? 0) & constants.O_DSYNC).toBe(constants.O_DSYNC)
      }
    }
    const opened = await openStorage({ directory, segmentBytes: 1024 })
    await inUse(opened, 1, 3)
    expect(opened.storage.stats().segments).toBe(3)
    await opened.close()
    const again = await openStorage({ directory })
    expect(again.storage.stored.entries.map(({ index }) => index)).toEqual([1, 2, 3])
    await inUse(again, 4, 1)
    await again.close()
  },
)

test("a durable write puts all its bytes in their place", async () => {
  const path = join(folder, "file")
  const file = await nodeFiles.open(path, "create")
  const write = (text: string, position: number, to = file): Promise<void> =>
    new Promise((resolve, reject) =>
      to.writeDurable(Buffer.from(text), position, (error) => (error === null ? resolve() : reject(error))),
    )
  await write("abcdef", 0)
  await write("XY", 2)
  await write("end", 6)
  await file.close()
  expect(readFileSync(path, "utf8")).toBe("abXYefend")
  const unwritable = await nodeFiles.open(path, "read")
  await expect(write("late", 0, unwritable)).rejects.toBeInstanceOf(Error)
  await unwritable.close()
  expect(readFileSync(path, "utf8")).toBe("abXYefend")
})
