/** What the file system refuses is not damage, and what was taken away is neither. */
import { readdirSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, expect, test } from "vitest"
import { checkTables } from "../kv/machine/leveldb/files.ts"
import { openMachine } from "../kv/machine/index.ts"
import { Log, open, removeTemporary, temporary, type Held } from "./machine.kit.ts"

afterAll(removeTemporary)

const withTables = async (): Promise<Held> => {
  const held = await open(join(temporary(), "state"))
  const log = new Log()
  for (let i = 0; i < 50; i++) log.call("SET", `k${i}`, "v".repeat(100))
  await held.apply(log.entries)
  await held.machine.takeSnapshot()
  return held
}
const database = (held: Held): string => join(held.directory, "db-000001")
const table = (held: Held): string => {
  const name = readdirSync(database(held)).find((one) => one.endsWith(".ldb"))
  if (name === undefined) throw new Error("no table")
  return join(database(held), name)
}

test("a table that cannot be opened is not taken for one that was merged away: the node does not start, and sets nothing aside", async () => {
  const held = await withTables()
  await held.close()
  const path = table(held)
  rmSync(path)
  symlinkSync(path, path)
  await expect(checkTables(database(held))).rejects.toMatchObject({ code: "ELOOP" })
  const told: string[] = []
  const opening = openMachine({
    directory: held.directory,
    cluster: "c",
    node: "n1",
    startOver: (damage) => told.push(damage.message),
  })
  expect(await Effect.runPromise(Effect.flip(Effect.scoped(opening)))).toMatchObject({ _tag: "MachineUnusable" })
  expect(told).toEqual([])
  expect(readdirSync(held.directory)).toEqual(["current", "db-000001"])
})

test("a scrub that may not look says so, and the data go on being served", async () => {
  const held = await withTables()
  symlinkSync("000099.ldb", join(database(held), "000099.ldb"))
  await expect(held.machine.scrub()).rejects.toMatchObject({ code: "ELOOP" })
  expect(held.damages).toEqual([])
  expect(await held.get("GET", "k1")).toBe("v".repeat(100))
  await held.close()
})

test.each([
  ["removed", (at: string) => rmSync(at, { recursive: true })],
  ["moved", (at: string) => renameSync(at, `${at}-away`)],
])("data that are %s while they are in use end the node by name", async (_, harm) => {
  const held = await withTables()
  harm(held.directory)
  await expect.poll(() => held.failures[0], { timeout: 30_000 }).toMatchObject({ _tag: "MachineGone" })
  expect(held.failures[0]?.message).toMatch(/removed, moved or unmounted/)
  expect(held.failures[0]?.message).not.toMatch(/stays as it is/)
  await held.close()
})

test("the data's directory is its owner's alone", async () => {
  const held = await withTables()
  expect((statSync(held.directory).mode & 0o777).toString(8)).toBe("700")
  await held.close()
})
