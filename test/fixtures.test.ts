/**
 * What a published version has written opens for good: directories, snapshots, backups, traces, lists of users, configurations.
 * Each file in fixtures/ was written by the version that its name tells, and is never written again. STEPRAFT_GOLDEN=1 writes
 * the one of this version, if there is none; a version that writes something new adds one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { readTrace, stepLines, replayTrace } from "../interpreters/debugger/index.ts"
import { replicate } from "../interpreters/node/index.ts"
import type { Machine, Replica } from "../interpreters/replica/index.ts"
import { cluster as world, actionLine, headerLine, seconds } from "../interpreters/simulation/index.ts"
import { checkImage, openBackup } from "../kv/backup/file.ts"
import { saveBackup } from "../kv/backup/save.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { decodeConfig } from "../kv/node/config.ts"
import { parseUsers } from "../kv/server/users/file.ts"
import { freePort, temporaryFolder, until } from "./cluster.ts"
import { withLocalCluster, type LocalCluster } from "./node.help.ts"

const folder = join(import.meta.dirname, "fixtures")
/** Written by version 0.1: log format 5, data and image format 6, replica snapshot 1, backup 1, trace 1, users, configuration. */
const THIS = "0.1.gz"

// ------------------------------------------------------------------------ lines of text, compressed

/** Locks, and what LevelDB says for people. */
const LEFT_OUT = /^(LOCK|LOG|LOG\.old|lock.*)$/
const filesIn = (root: string, under = ""): readonly string[] =>
  readdirSync(join(root, under))
    .toSorted()
    .flatMap((name) => {
      const path = join(under, name)
      return statSync(join(root, path)).isDirectory() ? filesIn(root, path) : LEFT_OUT.test(name) ? [] : [path]
    })
const pack = (root: string): Buffer =>
  gzipSync(
    filesIn(root)
      .map((path) => `${path} ${readFileSync(join(root, path)).toString("hex")}`)
      .join("\n"),
  )
const unpack = (packed: Buffer): string => {
  const root = temporaryFolder("stepraft-fixture-")
  for (const line of gunzipSync(packed).toString().split("\n")) {
    const [path = "", bytes = ""] = line.split(" ")
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), Buffer.from(bytes, "hex"))
  }
  return root
}

// --------------------------------------------------------------------------------------- what is in it

/** A clock that has gone on for years ends no session and no key of a fixture. */
const AGES = 10 ** 13
const quick = { heartbeat: 10, electionMin: 20, electionMax: 40, snapshotBytes: 4000, trailingLogBytes: 500 }
const onStore = (data: string, body: (cluster: LocalCluster) => Promise<void>): Promise<void> =>
  withLocalCluster(
    1,
    async (cluster) => {
      const [node] = cluster.nodes
      await node?.start({ dataDir: data, settings: { ...node.config.settings, ...quick } })
      await cluster.leader()
      await body(cluster)
    },
    { sessionIdle: AGES },
  )

interface State {
  readonly notes: readonly string[]
  readonly count: number
}
const machine: Machine<State, string, number> = {
  initial: { notes: [], count: 0 },
  apply: (state, note) => {
    state.count += 1
    return state.notes.push(note)
  },
}
const open = async (data: string): Promise<Replica<State, string, number>> => {
  const replica = await replicate({
    id: "a",
    data,
    peers: { a: `127.0.0.1:${await freePort()}` },
    machine,
    log: () => undefined,
    settings: quick,
  })
  await replica.ready()
  return replica
}
const users = "ann admin nopass # she\nbob read -\n"
const configuration = {
  id: "n1",
  data: "d",
  client: "127.0.0.1:1",
  peer: "127.0.0.1:2",
  electionMin: 900,
  electionMax: 1000,
}

const write = async (): Promise<Buffer> => {
  const root = temporaryFolder("stepraft-fixture-")
  await onStore(join(root, "store"), async ({ nodes: [node], connect }) => {
    if (node === undefined) throw new Error("no node")
    const client = await connect(node)
    const key = (await client.call("STEPRAFT", "SESSION", "OPEN", "me")) as string
    writeFileSync(join(root, "session"), key)
    for (let i = 0; i < 60; i++) await client.call("SET", `k${i}`, "v".repeat(i))
    await client.call("SET", "large", "large".repeat(1000))
    await client.call("SET", "late", "x", "PX", String(AGES))
    await client.call("DEL", "k7")
    writeFileSync(join(root, "token"), JSON.stringify(await client.call("LEASE", "job", "me", String(AGES))))
    await client.call("STEPRAFT", "DO", key, "1", "1", "INCR", "counted")
    await client.call("STEPRAFT", "MEMBER", "LIST")
    await until("a snapshot was taken", () => node.status().snapshotIndex > 0)
    await saveBackup({ from: node.config.client, file: join(root, "backup"), local: false, timeout: 30_000 })
    const image = await node.running?.machine()?.openSnapshot()
    if (image === undefined) throw new Error("no machine")
    const pieces: Uint8Array[] = []
    for (let last = false, offset = 0; !last;) {
      const piece = await image.read(offset)
      pieces.push(piece.bytes)
      offset += piece.bytes.length
      last = piece.last
    }
    await image.close()
    writeFileSync(join(root, "image"), Buffer.concat(pieces))
  })
  const replica = await open(join(root, "replica"))
  for (let i = 0; i < 60; i++) await replica.execute(`note ${i}`)
  await until("a snapshot was taken", () => existsSync(join(root, "replica/state/snapshot")))
  await replica.close()

  const lines: string[] = []
  const c = world(3, { seed: 7, observe: (step) => void lines.push(...stepLines(step)) })
  c.one("x", 3)
  c.change(["n1", "n2"])
  c.one("y", 2)
  c.run(seconds(0.05))
  const script = c.script()
  writeFileSync(join(root, "trace"), [headerLine(script), ...script.actions.map(actionLine), ...lines, ""].join("\n"))
  writeFileSync(join(root, "users"), users)
  writeFileSync(join(root, "configuration.json"), JSON.stringify(configuration))
  return pack(root)
}

// ------------------------------------------------------------------------------------------ read again

test.runIf(process.env["STEPRAFT_GOLDEN"] !== undefined)(
  "the fixture of this version, if there is none",
  async () => {
    if (!existsSync(join(folder, THIS))) writeFileSync(join(folder, THIS), await write())
  },
  60_000,
)

test.each(readdirSync(folder).filter((name) => name.endsWith(".gz")))(
  "%s opens, with all that is in it",
  async (name) => {
    const root = unpack(readFileSync(join(folder, name)))
    const text = (path: string): string => readFileSync(join(root, path), "utf8")
    await onStore(join(root, "store"), async ({ nodes: [node], connect }) => {
      if (node === undefined) throw new Error("no node")
      const client = await connect(node)
      expect(await client.call("MGET", "k59", "k7", "late", "counted")).toEqual(["v".repeat(59), null, "x", "1"])
      expect([await client.call("GET", "large"), await client.call("DBSIZE")]).toEqual(["large".repeat(1000), 63])
      expect(Number(await client.call("PTTL", "late"))).toBeGreaterThan(0)
      // A session, the reply that it keeps, a fencing token, and the log that goes on.
      const key = text("session")
      expect(await client.call("STEPRAFT", "DO", key, "1", "1", "INCR", "counted")).toBe(1)
      expect(await client.call("STEPRAFT", "DO", key, "2", "1", "INCR", "counted")).toBe(2)
      expect(await client.call("LEASE", "job", "me", String(AGES))).toEqual([
        (JSON.parse(text("token")) as readonly unknown[])[0],
        "me",
        AGES,
      ])
    })
    const backup = await openBackup(join(root, "backup"))
    expect(backup.about).toMatchObject({ node: "n1", voters: ["n1"] })
    expect(await checkImage("backup", backup.image())).toMatchObject({ keys: 63, expiring: 2 })
    await backup.close()
    const memory = new MemoryMachine(AGES)
    memory.restoreNow([readFileSync(join(root, "image"))])
    expect(memory.read([Buffer.from("STRLEN"), Buffer.from("large")])).toEqual({ type: "integer", value: 5000 })

    const replica = await open(join(root, "replica"))
    expect(await replica.execute("one more")).toBe(61)
    expect(await replica.read(({ count, notes }) => [count, notes[59], notes.length])).toEqual([61, "note 59", 61])
    await replica.close()

    const trace = readTrace(text("trace"))
    expect(trace.steps.length).toBeGreaterThan(50)
    expect(trace.script.actions.map(({ type }) => type)).toEqual(expect.arrayContaining(["propose", "change", "run"]))
    if (trace.current) expect(replayTrace(trace)).toMatchObject({ difference: null, stopped: null })
    const list = parseUsers(text("users"))
    expect(typeof list === "string" ? list : list.get("bob")).toMatchObject({ role: "read", password: "-" })
    const decoded = await Effect.runPromise(
      decodeConfig({ flags: {}, env: {}, file: join(root, "configuration.json") }),
    )
    expect(decoded).toMatchObject({ id: "n1", dataDir: "d", settings: { electionMin: 900, electionMax: 1000 } })
  },
)

test("there is one of this version", () => expect(readdirSync(folder)).toContain(THIS))
