/** A record in the middle of a node's log is damaged: it votes for nobody until the others have made it whole again. */
import { existsSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { defaultSettings, type Configuration, type Member } from "../core/index.ts"
import { nodeFiles, readFormat, type LogCorrupted } from "../interpreters/file/index.ts"
import { unstartedFormat, writeFormat } from "../interpreters/file/identity.ts"
import { createSegment } from "../interpreters/file/segment.ts"
import { setAside } from "../interpreters/node/repair.ts"
import { serveNode } from "../kv/node/index.ts"
import { temporaryFolder, until } from "./cluster.ts"
import { flipBit, lastSegment, recordsOf } from "./damage.ts"
import { withLocalCluster, type LocalNode } from "./node.help.ts"
import { turns } from "./waiting.ts"

const settings = { ...defaultSettings, heartbeat: 50, electionMin: 300, electionMax: 600 }
const damage = (node: LocalNode): void => {
  const segment = lastSegment(node.config.dataDir)
  const records = recordsOf(segment)
  flipBit(segment, (records[Math.floor(records.length / 2)]?.start ?? 0) + 40)
}
const failure = (node: LocalNode): Promise<{ readonly message: string }> =>
  Effect.runPromise(Effect.scoped(Effect.flip(serveNode(node.config, { log: (_, text) => node.lines.push(text) }))))

test("a damaged record: the node sets its directory aside, votes for nobody, and is made whole by the others, by no command; a second time it stops; nobody forms a new cluster of such", async () => {
  await withLocalCluster(
    3,
    async (cluster) => {
      const [n1, n2, n3] = cluster.nodes as [LocalNode, LocalNode, LocalNode]
      await cluster.startAll()
      await cluster.leader()
      const client = await cluster.connect(n1)
      for (let i = 0; i < 30; i++) await client.call("INCR", "n")
      const { incarnation, cluster: id } = n2.status()
      await n2.stop()
      await n3.stop()
      await until("nobody leads", () => n1.status().role === "preCandidate")
      damage(n2)
      const wal = lastSegment(n2.config.dataDir)
      const damaged = readFileSync(wal)

      // As a crash leaves it that comes before the log begins anew: all is set aside, and is so once.
      const format = await readFormat(nodeFiles, `${n2.config.dataDir}/log`)
      if (format === null) throw new Error("no FORMAT")
      const found = { file: "wal", offset: 1, reason: "a test" } as LogCorrupted
      expect(
        await setAside(
          n2.config.dataDir,
          () => 2,
          () => undefined,
        )(found, format),
      ).toBe(true)

      // Two of three are there, but it does not count.
      await n2.start()
      await until("it is known to have begun anew", () => n2.status().role === "amnesiac")
      await until("it has asked the other one", () => n2.lines.some((line) => line.includes("no leader is known")))
      await turns(50)
      expect(n2.status().health).toMatch(
        /^the log of n2 was damaged, so it started again with an empty one .* It asks them by itself/,
      )
      expect(n1.status().leader).toBeNull()
      expect(n2.status()).toMatchObject({ cluster: id, term: 0, lastIndex: 0 })
      expect(n2.status().incarnation).not.toBe(incarnation)
      // Every byte is kept.
      expect(readFileSync(wal.replace("/log/", "/damaged/log/"))).toEqual(damaged)
      expect(existsSync(`${n2.config.dataDir}/damaged/state/current`)).toBe(true)

      // Over a restart it goes on with that, once a majority is there.
      await n2.stop()
      await n2.start()
      await n3.start()
      await until("it votes again", () => n2.lines.some((line) => line.includes("n2 is whole again")))
      // What the others have given again is not kept twice.
      expect(["state", "log"].map((part) => existsSync(`${n2.config.dataDir}/damaged/${part}`))).toEqual([false, true])
      const again = await cluster.connect(n2)
      await until("it serves", async () => (await again.call("GET", "n").catch(() => null)) === "30")
      await n3.stop()
      await until("its vote counts", async () => (await client.call("INCR", "n").catch(() => null)) === 31)

      // A disk that does it again is to be replaced.
      await n2.stop()
      damage(n2)
      expect((await failure(n2)).message).toMatch(/is damaged at offset \d+/)
      expect(n2.lines.join("\n")).toContain("this disk has damaged two")

      // All logs are damaged: nobody forms a new cluster of those that began anew, and all is kept.
      renameSync(`${n2.config.dataDir}/damaged`, `${n2.config.dataDir}/damaged.1`)
      await n1.stop()
      for (const node of [n1, n3]) damage(node)
      await cluster.startAll()
      await until("each has asked the others", () =>
        cluster.nodes.every(
          (node) =>
            node.status().peers.every(({ connected }) => connected) &&
            node.lines.some((line) => line.includes("waits to become a member")),
        ),
      )
      for (const node of cluster.nodes) {
        expect(node.status()).toMatchObject({ role: "amnesiac", cluster: id, leader: null, term: 0 })
        expect(existsSync(`${node.config.dataDir}/damaged/log/FORMAT`)).toBe(true)
      }
    },
    { settings },
  )
})

test("alone, a node with a damaged record stops by name and keeps all: there is nobody to mend it from", async () => {
  await withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const node = await cluster.leader()
    const client = await cluster.connect(node)
    for (let i = 0; i < 10; i++) await client.call("INCR", "n")
    await node.stop()
    damage(node)
    expect((await failure(node)).message).toMatch(/is damaged at offset \d+/)
    expect(existsSync(`${node.config.dataDir}/damaged`)).toBe(false)
  })
})

test("what is set aside says how it is taken in again: a learner as a learner; the only voter is not set aside, for its log is all that is left", async () => {
  const folder = temporaryFolder("stepraft-aside-")
  const member = (name: string): Member => ({ name, incarnation: name.repeat(16) })
  const [n1, n2, n4] = [member("1"), member("2"), member("4")]
  const configuration = (voters: readonly Member[], learners: readonly Member[] = []): Configuration => ({
    voters,
    outgoing: [],
    learners,
  })
  const asideOf = async (self: Member, now: Configuration, lastIndex = 5): Promise<string | null> => {
    const data = join(folder, `${self.name}.${now.voters.length}.${lastIndex}`)
    const base = { index: 5, term: 1, time: 0, chain: 0, configuration: now }
    const directory = join(data, "log")
    await nodeFiles.makeDirectory(directory)
    const summary = { hardState: { term: 1, vote: null }, base, lastIndex }
    await (await createSegment(nodeFiles, directory, 1, summary)).file.close()
    await writeFormat(nodeFiles, directory, { ...unstartedFormat({ self, cluster: "c", founding: now }), last: 1 })
    const format = await readFormat(nodeFiles, join(data, "log"))
    if (format === null) throw new Error("no FORMAT")
    const kept = await setAside(
      data,
      () => 2,
      () => undefined,
    )({ file: "wal", offset: 1, reason: "a test" } as LogCorrupted, format)
    return kept ? readFileSync(join(data, "damaged", "REPAIRING"), "utf8") : null
  }
  expect(await asideOf(n1, configuration([n1, n2]))).toBe("")
  expect(await asideOf(n4, configuration([n1, n2], [n4]))).toBe("learner")
  // Of the last two nothing but the base can be read: entries are missing after it, or do not follow it.
  for (const lastIndex of [5, 9, 3]) expect(await asideOf(n1, configuration([n1]), lastIndex)).toBeNull()
  expect(await asideOf(n4, configuration([n1, n2], [n4]), 3)).toBe("learner")
})
