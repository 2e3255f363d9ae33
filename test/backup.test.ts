/** Backups: one state of the history, restored as another cluster in which nothing goes back that anybody may have seen. */
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { makeDirectory, requireOwner } from "../kv/backup/directory.ts"
import { BackupDamaged, AlreadyThere, OwnedByAnother } from "../kv/backup/errors.ts"
import { checkImage, openBackup } from "../kv/backup/file.ts"
import { saveBackup } from "../kv/backup/save.ts"
import { temporaryFolder } from "./cluster.ts"
import { withLocalCluster } from "./node.help.ts"
import { ErrorReply, type RespClient } from "./resp.ts"

const restore = async (file: string, data: string, skip: number): Promise<string> => {
  const backup = await openBackup(file)
  try {
    const { base } = await checkImage(file, backup.image())
    return (await makeDirectory({ data, name: "n1", image: backup.image(), base, term: base.term, skip })).cluster
  } finally {
    await backup.close()
  }
}
const tokenOf = async (client: RespClient, name: string): Promise<number> =>
  Number(((await client.call("LEASE", name, "me", "60000")) as readonly unknown[])[0])

test("a backup taken under load is one state of the history; restored it is a cluster of its own in which versions, fencing tokens and time go on", () =>
  withLocalCluster(1, async (cluster) => {
    const [node] = cluster.nodes
    if (node === undefined) throw new Error("no node")
    const folder = temporaryFolder()
    const file = join(folder, "a.backup")
    await cluster.startAll()
    await cluster.leader()
    const client = await cluster.connect(node)
    const key = (await client.call("STEPRAFT", "SESSION", "OPEN", "me")) as string
    await client.call("STEPRAFT", "DO", key, "1", "1", "SET", "large", "x".repeat(2 << 20))
    await client.call("SET", "later", "x", "PX", "600000")
    await client.call("SET", "gone", "x", "PX", "1")

    // Every transaction moves both: in each state of the history they agree.
    const control = { going: true, acknowledged: 0 }
    const writer = await cluster.connect(node)
    const load = (async (): Promise<void> => {
      for (let i = 1; control.going; i++) {
        await Promise.all([
          writer.call("MULTI"),
          writer.call("INCR", "count"),
          writer.call("APPEND", "tokens", "."),
          writer.call("EXEC"),
        ])
        control.acknowledged = i
      }
    })()
    await client.call("PING")
    const before = control.acknowledged
    const { about } = await saveBackup({ from: node.config.client, file, local: false, timeout: 30_000 })
    control.going = false
    await load
    expect(about).toMatchObject({ cluster: node.status().cluster, node: "n1", voters: ["n1"] })
    const token = await tokenOf(client, "late")
    const time = node.running?.machine()?.now() ?? Infinity
    await node.stop()

    const data = join(folder, "restored")
    chmodSync(folder, 0o755)
    const made = await restore(file, data, 1_000_000)
    // A directory that was there before is not ours to close.
    expect(statSync(folder).mode & 0o777).toBe(0o755)
    expect(made).not.toBe(about.cluster)
    await expect(restore(file, data, 0)).rejects.toBeInstanceOf(AlreadyThere)
    expect(readdirSync(folder).sort()).toEqual(["a.backup", "restored"])

    await node.start({ dataDir: data })
    await cluster.leader()
    expect(node.status().cluster).toBe(made)
    const again = await cluster.connect(node)
    const [count, tokens] = (await again.call("MGET", "count", "tokens")) as readonly (string | null)[]
    expect(Number(count ?? 0)).toBe((tokens ?? "").length)
    expect(Number(count ?? 0)).toBeGreaterThanOrEqual(before)
    expect(Number(count ?? 0)).toBeLessThanOrEqual(control.acknowledged)
    expect(await again.call("STRLEN", "large")).toBe(2 << 20)
    expect(await again.call("EXISTS", "gone", "late")).toBe(0)
    expect(await again.call("PTTL", "later")).toBeGreaterThan(0)
    // Given out after the backup by a history that is gone: never given out again.
    expect(await tokenOf(again, "late")).toBeGreaterThan(token)
    expect(node.running?.machine()?.now()).toBeGreaterThanOrEqual(time)
    const stale = await again.call("STEPRAFT", "DO", key, "2", "2", "SET", "large", "y")
    expect(stale).toBeInstanceOf(ErrorReply)
    expect((stale as ErrorReply).text).toMatch(/^SESSIONEXPIRED/)
  }))

test("root makes nothing in a folder of somebody else's, whose service could not open it", async () => {
  const path = temporaryFolder()
  const { uid } = statSync(path)
  await requireOwner(path)
  await requireOwner(path, 1 + uid)
  if (uid !== 0) return expect(requireOwner(path, 0)).rejects.toBeInstanceOf(OwnedByAnother)
  chownSync(path, 65_534, 65_534)
  const image = (async function* () {})()
  const base = { index: 1, term: 1, time: 1, chain: 1, configuration: { voters: [], outgoing: [], learners: [] } }
  const making = { name: "n1", image, base, term: 1, skip: 0 }
  const refused = /belongs to the user 65534, .*runuser -u/
  for (const data of [path, join(path, "data")])
    await expect(makeDirectory({ data, ...making })).rejects.toThrow(refused)
  await withLocalCluster(1, ({ node }) => expect(node("n1").start({ dataDir: path })).rejects.toThrow(refused))
  expect(readdirSync(path)).toEqual([])
})

test("a backup that was changed or cut anywhere is refused by name, and nothing is made of it", () =>
  withLocalCluster(1, async (cluster) => {
    const [node] = cluster.nodes
    if (node === undefined) throw new Error("no node")
    const folder = temporaryFolder()
    const file = join(folder, "a.backup")
    await cluster.startAll()
    await cluster.leader()
    const client = await cluster.connect(node)
    for (const key of ["a", "b"]) await client.call("SET", key, key)
    await saveBackup({ from: node.config.client, file, local: true, timeout: 30_000 })
    const whole = readFileSync(file)
    for (let at = 0; at < whole.length; at += 7) {
      const bent = Buffer.from(whole)
      bent[at] = (bent[at] ?? 0) ^ 1
      for (const bytes of [bent, whole.subarray(0, at)]) {
        writeFileSync(file, bytes)
        await expect(restore(file, join(folder, "restored"), 0), `at ${at}`).rejects.toBeInstanceOf(BackupDamaged)
      }
    }
    expect(existsSync(join(folder, "restored"))).toBe(false)
  }))
