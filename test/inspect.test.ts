/** Directories looked at offline: what is damaged and where, as a start would find it, and nothing is changed. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { inspectLog, LogCorrupted, LogCutShort, SegmentMissing } from "../interpreters/file/index.ts"
import { checkImage } from "../kv/backup/file.ts"
import { imagePieces, logIn, nodeDirectory, openState } from "../kv/backup/node-directory.ts"
import { chained } from "./chained.ts"
import { flipBit, levelFiles } from "./damage.ts"
import { memoryDisk, type MemoryDisk } from "./disk.ts"
import { command, DIRECTORY, openStorage, persistOf, plain } from "./file-log.ts"
import { withLocalCluster } from "./node.help.ts"

/** Three files of a few records each. */
const written = async (): Promise<MemoryDisk> => {
  const disk = memoryDisk()
  const { close, durable, storage } = await openStorage({ files: disk.files, segmentBytes: 4096 })
  const entries = chained(Array.from({ length: 12 }, (_, i) => command(i + 1, 1, Buffer.alloc(700, i + 1))))
  for (const [i, entry] of entries.entries()) {
    storage.persist(persistOf(i, { entries: [entry], ...(i === 0 ? { hardState: { term: 1, vote: null } } : {}) }))
    await durable(i)
  }
  await close()
  return disk
}
const imprint = (disk: MemoryDisk): string =>
  JSON.stringify(disk.names().map((name) => [name, disk.content(name).toString("base64")]))

test("a whole log is read as a start would read it", async () => {
  const disk = await written()
  const before = imprint(disk)
  const found = await inspectLog(disk.files, DIRECTORY)
  expect(imprint(disk)).toBe(before)
  expect(found?.damage).toEqual([])
  expect(found?.segments.map(({ first, last }) => [first, last])).toEqual(
    expect.arrayContaining([[1, expect.any(Number)]]),
  )
  const { storage, close } = await openStorage({ files: disk.files })
  expect(found?.stored === null || found === null ? "" : plain(found.stored)).toBe(plain(storage.stored))
  await close()
})

test("damage anywhere in the log is told with the file and the offset that a start would name, and where whole records begin again", async () => {
  const whole = await written()
  const segments = whole
    .names()
    .filter((name) => /wal-/.test(name))
    .sort()
  expect(segments.length).toBeGreaterThan(2)
  let resumed = 0
  for (const [nth, file] of segments.entries()) {
    const { length } = whole.content(file)
    for (let at = 3; at < length; at += 401) {
      const disk = whole.crash("everything")
      disk.flip(file, at, at % 8)
      const before = imprint(disk)
      const [damage] = (await inspectLog(disk.files, DIRECTORY))?.damage ?? []
      expect(imprint(disk)).toBe(before)
      const start = await openStorage({ files: disk.files }).then(
        async ({ close }) => close().then(() => null),
        (error: unknown) => error,
      )
      expect(start).toBeInstanceOf(LogCorrupted)
      expect([damage?.file, damage?.offset, damage?.reason]).toEqual(
        start instanceof LogCorrupted ? [start.file, start.offset, start.reason] : [],
      )
      expect(damage?.offset).toBeLessThanOrEqual(at)
      if (damage?.resumes != null) {
        resumed += 1
        expect(damage.resumes).toBeGreaterThan(at)
      } else expect(nth === segments.length - 1 || at > length - 2048).toBe(true)
    }
  }
  expect(resumed).toBeGreaterThan(10)
})

test("a missing file, a cut end and two damages at once are each told; a torn last record is none", async () => {
  const whole = await written()
  const segments = whole
    .names()
    .filter((name) => /wal-/.test(name))
    .sort()
  const [first = "", second = ""] = segments
  const last = segments.at(-1) ?? ""
  const damageOf = async (disk: MemoryDisk) =>
    (await inspectLog(disk.files, DIRECTORY))?.damage.map(({ file, reason }) => `${file}: ${reason}`)
  const startOf = (disk: MemoryDisk): Promise<unknown> =>
    openStorage({ files: disk.files }).then(
      ({ close }) => close(),
      (error: unknown) => error,
    )

  const missing = whole.crash("everything")
  missing.remove(second)
  expect(await damageOf(missing)).toEqual([`${second}: it is gone`])
  expect(await startOf(missing)).toBeInstanceOf(SegmentMissing)

  const cut = whole.crash("everything")
  const bytes = cut.content(last)
  cut.overwrite(last, bytes.subarray(0, 1024))
  expect(await damageOf(cut)).toEqual([expect.stringMatching(/durable through offset/) as string])
  expect(await startOf(cut)).toBeInstanceOf(LogCutShort)

  const twice = whole.crash("everything")
  twice.flip(first, 1500, 1)
  twice.flip(last, 700, 1)
  expect(await damageOf(twice)).toEqual([
    expect.stringContaining(first) as string,
    expect.stringContaining(last) as string,
  ])

  const torn = whole.crash("everything")
  torn.overwrite(last, Buffer.concat([torn.content(last), Buffer.alloc(100)]))
  const found = await inspectLog(torn.files, DIRECTORY)
  expect([found?.damage, found?.segments.at(-1)?.tornAt]).toEqual([[], torn.content(last).length - 100])
})

const treeOf = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .map((name) => {
      const path = join(folder, name)
      const stats = statSync(path)
      return stats.isDirectory()
        ? `${name} ${stats.mtimeMs}`
        : `${name} ${stats.mtimeMs} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`
    })

test("a node's directory: refused by name while it runs; afterwards read without any change; damaged tables are named", () =>
  withLocalCluster(1, async (cluster) => {
    const [node] = cluster.nodes
    if (node === undefined) throw new Error("no node")
    const { dataDir, id } = node.config
    await cluster.startAll()
    await cluster.leader()
    const client = await cluster.connect(node)
    for (let i = 0; i < 20; i++) await client.call("SET", `k${i}`, "x".repeat(1000))
    await expect(nodeDirectory(dataDir)).rejects.toMatchObject({ _tag: "DirectoryLocked" })
    await node.running?.machine()?.takeSnapshot()
    await node.stop()

    const before = treeOf(dataDir)
    const at = await nodeDirectory(dataDir)
    const { format, stored } = await logIn(at)
    const identity = { cluster: format.identity.cluster ?? "", node: id }
    const state = await openState(at, identity)
    expect(state.damage).toEqual([])
    expect(state.position?.index).toBe(stored?.entries.at(-1)?.index)
    if (state.machine !== null) expect(await checkImage("", imagePieces(state.machine))).toMatchObject({ keys: 20 })
    await state.close()
    expect(treeOf(dataDir)).toEqual(before)

    const table = levelFiles(dataDir).find((name) => name.endsWith(".ldb")) ?? ""
    flipBit(table, 100)
    const damaged = await openState(at, identity)
    expect([damaged.position, damaged.damage]).toEqual([
      null,
      [expect.stringMatching(/a block at offset 0 of \d+\.ldb fails its checksum/) as string],
    ])
    await damaged.close()
  }))
