/** A directory that is taken away while a node uses it: noticed, named, and nothing claimed that is not so. */
import { chmod, mkdtemp, mkdir, readdir, rename, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { nodeFiles } from "../interpreters/file/index.ts"
import { diskError, memoryDisk } from "./disk.ts"
import { appended, openStorage, persistOf } from "./file-log.ts"

let parent = ""
let directory = ""
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "stepraft-gone-"))
  directory = join(parent, "log")
})
afterEach(() => rm(parent, { recursive: true, force: true }))

const remove = (pattern: RegExp) => async (): Promise<void> => {
  for (const name of await readdir(directory)) if (pattern.test(name)) await rm(join(directory, name))
}
const away = (): Promise<void> => rename(directory, `${directory}-away`)
test.each([
  ["removed", () => rm(directory, { recursive: true }), "DirectoryGone", /it is not there|missing/],
  ["moved away", away, "DirectoryGone", /it is not there|missing/],
  ["emptied of its log", remove(/^wal-/), "DirectoryGone", /wal-000000000001 is missing/],
  ["emptied of its identity", remove(/^FORMAT$/), "DirectoryGone", /FORMAT is missing/],
  [
    "replaced by another",
    async () => {
      await away()
      await (await openStorage({ directory, name: "n1", files: { ...nodeFiles } })).close()
    },
    "DirectoryGone",
    /another directory is in its place|it is not there|missing/,
  ],
  ["robbed of its lock alone", remove(/^LOCK\./), "LockLost", /The log is still there/],
])("a directory that is %s stops the node by name", async (_, harm, tag, why) => {
  const opened = await openStorage({ directory, watchInterval: 5 })
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  await harm()
  await expect
    .poll(() => opened.failed(), { timeout: 30_000 })
    .toMatchObject({ _tag: tag, message: expect.stringMatching(why) as string })
  if (tag === "DirectoryGone") expect(opened.failed()?.message).toMatch(/is gone with it/)
  const listed = async (): Promise<readonly string[]> =>
    (await readdir(directory).catch(() => [])).filter((name) => !name.startsWith("LOCK."))
  const before = await listed()
  await opened.close()
  expect(await listed(), "nothing was written into what stands there now").toEqual(before)
})

test("a log that cannot go on because its directory is gone says that, whoever notices first", async () => {
  const opened = await openStorage({ directory, watchInterval: 3_600_000, segmentBytes: 1024 })
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  await rm(directory, { recursive: true })
  opened.storage.persist(appended(1, 2, 1))
  await expect(opened.durable(1)).rejects.toMatchObject({ _tag: "DirectoryGone" })
  await opened.close()
})

test("directories are their owner's alone, also one that was there before; so are the files", async () => {
  await mkdir(directory)
  await chmod(directory, 0o755)
  const opened = await openStorage({ directory: join(directory, "deep", "log") })
  const again = await openStorage({ directory })
  opened.storage.persist(persistOf(0, {}))
  const modes = async (path: string): Promise<readonly string[]> => {
    const { mode } = await stat(path)
    const own = (mode & 0o777).toString(8)
    const inner =
      (mode & 0o40000) === 0 ? [] : await Promise.all((await readdir(path)).map((name) => modes(join(path, name))))
    return [own, ...inner.flat()]
  }
  expect(new Set(await modes(directory))).toEqual(new Set(["700", "600"]))
  await opened.close()
  await again.close()
})

test("a lock that cannot be renewed is told, once, and is no reason to end at once", async () => {
  const disk = memoryDisk()
  const told: string[] = []
  let touchable = true
  const files = {
    ...disk.files,
    touch: (path: string) => (touchable ? disk.files.touch(path) : Promise.reject(diskError("EIO"))),
  }
  const opened = await openStorage({ files, watchInterval: 5, waiting: (text) => told.push(text) })
  touchable = false
  await expect.poll(() => told.length, { timeout: 30_000 }).toBe(1)
  expect(told[0]).toMatch(/the lock cannot be renewed \(EIO/)
  expect(opened.failed()).toBeNull()
  touchable = true
  await opened.close()
})
