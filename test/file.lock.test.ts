/** One process per data directory: never two, and never none because of one that is dead. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { nodeFiles } from "../interpreters/file/index.ts"
import { takeLock } from "../interpreters/file/lock.ts"
import { until } from "./cluster.ts"
import { memoryDisk } from "./disk.ts"
import { appended, DIRECTORY, openStorage } from "./file-log.ts"

let directory = ""
let children: ChildProcess[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "stepraft-lock-"))
})
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL")
  children = []
  await rm(directory, { recursive: true })
})

const holder = async (): Promise<{ readonly child: ChildProcess; readonly said: string }> => {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", fileURLToPath(new URL("file-holder.ts", import.meta.url)), directory],
    { stdio: ["ignore", "pipe", "inherit"] },
  )
  children.push(child)
  let said = ""
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()))
  await until("it says how it went", () => said.includes("\n"))
  return { child, said: said.trim() }
}
const locks = async (): Promise<string[]> => (await readdir(directory)).filter((name) => name.startsWith("LOCK."))

test("a second process is refused by name, and a lock left by kill -9 is taken over", async () => {
  const { child, said } = await holder()
  expect(said).toBe("held")
  await expect(openStorage({ directory })).rejects.toMatchObject({
    _tag: "DirectoryLocked",
    message: expect.stringContaining(`pid ${child.pid}`) as string,
  })
  expect(await locks()).toHaveLength(1)
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
  expect(await locks()).toHaveLength(1)
  const opened = await openStorage({ directory })
  expect(await locks()).toHaveLength(1)
  await opened.close()
  expect(await locks()).toHaveLength(0)
}, 90_000)

test("of several processes that find the lock of a dead one, at most one goes on", async () => {
  const opened = await openStorage({ directory })
  const [name = ""] = await locks()
  await opened.close()
  await writeFile(join(directory, name.replace(/\d+\.\d+$/, "999999.12345")), "")
  const said = (await Promise.all([holder(), holder()])).map((one) => one.said)
  expect(said.filter((word) => word === "held").length).toBeLessThanOrEqual(1)
  expect(said.filter((word) => word === "DirectoryLocked").length).toBeGreaterThanOrEqual(1)
}, 90_000)

test("one process cannot open a directory twice", async () => {
  const opened = await openStorage({ directory })
  await expect(openStorage({ directory })).rejects.toMatchObject({ _tag: "DirectoryLocked" })
  await opened.close()
  await (await openStorage({ directory })).close()
})

test("an opening that fails gives the lock back", async () => {
  await (await openStorage({ directory })).close()
  await expect(openStorage({ directory, name: "n2" })).rejects.toMatchObject({ _tag: "WrongNode" })
  expect(await locks()).toHaveLength(0)
})

test("what must hold before a start is asked for under the lock, and before anything is read or written", async () => {
  const first = await openStorage({ directory })
  await first.close()
  const before = await readFile(join(directory, "FORMAT"))
  const refused = openStorage({
    directory,
    locked: async () => {
      await expect(takeLock(nodeFiles, directory)).rejects.toThrow(/in use|locked|running/i)
      throw new Error("not now")
    },
  })
  await expect(refused).rejects.toThrow(/not now/)
  expect(await readFile(join(directory, "FORMAT"))).toEqual(before)
  const again = await openStorage({ directory })
  await again.close()
})

test("a pid that belongs to another process by now does not hold the lock", async () => {
  const opened = await openStorage({ directory })
  const [name = ""] = await locks()
  await opened.close()
  const [prefix, world] = name.split(".")
  await writeFile(join(directory, `${prefix}.${world}.${process.ppid}.12345`), "")
  await (await openStorage({ directory })).close()
  await writeFile(join(directory, "LOCK.something else"), "")
  await expect(openStorage({ directory })).rejects.toMatchObject({ _tag: "DirectoryLocked" })
})

test("a lock of another machine or container holds as long as it shows signs of life", async () => {
  const foreign = join(directory, "LOCK.aaaaaaaaaaaa.1.1")
  await writeFile(foreign, "")
  let touched = Promise.resolve()
  const beat = setInterval(() => {
    touched = touched.then(() => nodeFiles.touch(foreign))
  }, 10)
  await expect(takeLock(nodeFiles, directory, 100)).rejects.toMatchObject({ _tag: "DirectoryLocked" })
  clearInterval(beat)
  await touched
  const lock = await takeLock(nodeFiles, directory, 100)
  expect(await locks()).toHaveLength(1)
  await lock.release()
})

test("a node whose lock is taken away stops", async () => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files, watchInterval: 5 })
  opened.storage.persist(appended(0, 1, 1))
  await opened.durable(0)
  disk.remove(disk.names().find((name) => name.startsWith(`${DIRECTORY}/LOCK.`)) ?? "")
  await until("it has noticed", () => opened.failed() !== null)
  expect(opened.failed()).toMatchObject({ _tag: "LockLost" })
  await opened.close()
})
