/** When a majority of the disks is lost: what is left, what may be lost, and a new cluster from the best of it. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs"
import { rename } from "node:fs/promises"
import { createServer, type AddressInfo, type Socket } from "node:net"
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import type { Entry, UnchainedEntry } from "../core/index.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { whoListens, type Listener } from "../interpreters/tcp/index.ts"
import { applyRecovery, type ApplyRecoveryOptions } from "../kv/backup/apply.ts"
import { logIn, nodeDirectory, openState } from "../kv/backup/node-directory.ts"
import { planRecovery } from "../kv/backup/recover.ts"
import { encodeCommand } from "../kv/machine/index.ts"
import { chained } from "./chained.ts"
import { temporaryFolder, until } from "./cluster.ts"
import { flipBit, lastSegment, recordsOf } from "./damage.ts"
import { openStorage, persistOf } from "./file-log.ts"
import { buffers, secretFor } from "./machine.kit.ts"
import { withLocalCluster } from "./node.help.ts"
import { open } from "./tcp.nodes.ts"
import { tlsOf } from "./tls.kit.ts"

const NAMES = ["n1", "n2", "n3", "n4", "n5"]
const addresses = Object.fromEntries(NAMES.map((name) => [name, "127.0.0.1:1"]))
const applying = (directories: readonly string[], more: Partial<ApplyRecoveryOptions> = {}): ApplyRecoveryOptions => ({
  directories,
  peers: {},
  acceptLostWrites: true,
  skip: 1_000,
  timeout: 3_000,
  stamp: "then",
  ...more,
})

/** An OpenSession, then a SET of `last` by each further command; 0 stands for a change of members that must not be followed. */
const logOf = (terms: readonly number[], strangers: boolean): readonly Entry[] => {
  const session = { session: 1, secret: secretFor("t") }
  return chained(
    terms.map((term, i): UnchainedEntry => {
      const place = { index: i + 1, term, time: 1_000_000 + i }
      if (strangers && i === terms.length - 1)
        return {
          ...place,
          kind: "configuration",
          configuration: { voters: [{ name: "n9", incarnation: "9" }], outgoing: [], learners: [] },
        }
      const call =
        i === 0
          ? encodeCommand({ type: "OpenSession", owner: "me", secret: session.secret })
          : encodeCommand({
              type: "Execute",
              ...session,
              sequence: i,
              lowest: i,
              exec: false,
              watches: [],
              calls: [buffers("SET", "last", String(i + 1))],
            })
      return { ...place, kind: "command", payload: payloadOf(call) }
    }),
  )
}
/** A directory of a cluster of five with such a log, and no state. */
const survivors = async (
  logs: readonly (readonly number[])[],
  { claims = 0, strangers = false } = {},
): Promise<readonly string[]> => {
  const folder = temporaryFolder()
  const opened = await Promise.all(NAMES.map((name) => openStorage({ directory: join(folder, name, "log"), name })))
  const voters = opened.map(({ storage }) => storage.identity.self)
  const [, , , lost] = opened
  for (const [i, terms] of logs.entries()) {
    const one = opened[i]
    const peer = lost?.storage
    if (one === undefined || peer === undefined) continue
    const { storage } = one
    await Effect.runPromise(storage.found("c", { voters, outgoing: [], learners: [], addresses }))
    storage.persist(persistOf(0, { hardState: { term: Math.max(...terms) + 3, vote: null } }))
    for (const [nth, entry] of logOf(terms, strangers).entries()) {
      storage.persist(persistOf(nth + 1, { entries: [entry] }))
      await one.durable(nth + 1)
    }
    if (claims > 0) {
      const sighting = await new Promise<{ term: number; index: number }>((resolve) =>
        storage.sightings.record(peer.identity.self, peer.start, resolve),
      )
      Object.assign(sighting, { term: Math.max(...terms), index: claims })
    }
  }
  await Promise.all(opened.map(({ close }) => close()))
  return logs.map((_, i) => join(folder, NAMES[i] ?? ""))
}

test("the best survivor is the one whose last entry is of the latest term, then the longest; what it cannot know is told", async () => {
  const [shorter = "", longer = ""] = await survivors(
    [
      [1, 1, 2, 2],
      [1, 1, 1, 1, 1, 1, 1],
    ],
    { claims: 6 },
  )
  const plan = await planRecovery([longer, shorter])
  expect(plan).toMatchObject({
    cluster: "c",
    voters: NAMES,
    majority: false,
    uncertain: 4,
    best: { directory: shorter, last: { index: 4, term: 2, time: 1_000_003 }, executed: null, whole: true },
  })
  expect(plan.lost.map(({ name }) => name)).toEqual(["n3", "n4", "n5"])
  // n4 had acknowledged more than anybody has who is left.
  expect(plan.beyond).toEqual([{ name: "n4", index: 6, term: 2 }])
  const [one = "", two = ""] = await survivors([
    [1, 1, 1],
    [1, 1, 1, 1],
  ])
  expect((await planRecovery([one, two])).best.directory).toBe(two)
})

test("a directory that began anew holds nothing: it is no survivor to choose, and no majority", async () => {
  const [good = ""] = await survivors([[1, 1, 1]])
  const data = join(temporaryFolder(), "n2")
  const { storage, close } = await openStorage({ directory: join(data, "log"), name: "n2" })
  await Effect.runPromise(storage.found("c", { voters: [], outgoing: [], learners: [] }))
  await close()
  const plan = await planRecovery([data, good])
  expect(plan).toMatchObject({ majority: false, best: { directory: good } })
  expect(plan.survivors[1]?.damage.join()).toMatch(/it holds no data: it was started again/)
  expect((await planRecovery([data])).majority).toBe(false)
})

test("a damaged survivor is not chosen, and nothing is made of damaged ones alone", async () => {
  const [good = "", damaged = ""] = await survivors([
    [1, 1],
    [1, 1, 1, 1],
  ])
  // What can be read of it is longer than the other.
  const file = lastSegment(damaged)
  const last = recordsOf(file).at(-1)?.start ?? 0
  flipBit(file, last + 100)
  const plan = await planRecovery([damaged, good])
  expect([plan.best.directory, plan.survivors[1]?.damage]).toEqual([
    good,
    [`${file} at offset ${last}: the checksum does not fit the record`],
  ])
  await expect(applyRecovery(applying([damaged]))).rejects.toMatchObject({ _tag: "NoSurvivor" })
  expect(readdirSync(join(damaged, "..")).filter((name) => name.includes("reco"))).toEqual([])
})

test("applied: all of the log is executed, members of the old cluster are not followed, and the old directory stays as it was", async () => {
  const [data = ""] = await survivors([[1, 1, 2, 2]], { strangers: true })
  const given = { term: 2, index: 4 }
  await expect(
    applyRecovery(applying([data], { acceptLostWrites: false, peers: { n9: "127.0.0.1:1" } })),
  ).rejects.toMatchObject({ _tag: "LossNotAccepted" })
  await expect(applyRecovery(applying([data]))).rejects.toMatchObject({ _tag: "AddressUnknown", names: ["n9"] })
  await expect(
    applyRecovery(applying([data], { peers: { n9: "127.0.0.1:1", n8: "127.0.0.1:1" } })),
  ).rejects.toMatchObject({ _tag: "NoSuchVoter", names: ["n8"] })
  // What cannot be asked is not proven to be gone.
  for (const address of ["127.0.0.1", "no.such.host.invalid:1"])
    await expect(applyRecovery(applying([data], { peers: { n9: address } }))).rejects.toMatchObject({
      _tag: "MemberNotAsked",
      name: "n9",
    })
  const { kept, cluster, index } = await applyRecovery(applying([data], { peers: { n9: "127.0.0.1:1" } }))
  expect((await planRecovery([kept])).best.last).toMatchObject(given)
  const at = await nodeDirectory(data)
  const { format, stored } = await logIn(at)
  expect([format.identity.cluster, stored?.hardState, stored?.base]).toMatchObject([
    cluster,
    { term: 5, vote: null },
    { index, term: 2, time: 1_000_003, configuration: { voters: [format.identity.self] } },
  ])
  expect(format.identity.self.name).toBe("n1")
  const state = await openState(at, { cluster, node: "n1" })
  expect(state.position).toEqual(stored?.base)
  expect(state.machine?.read(buffers("GET", "last"))).toMatchObject({ bytes: Buffer.from("3") })
  expect(state.machine?.stats().sessions).toBe(0)
  await state.close()
})

const read = async (data: string, cluster: string): Promise<unknown> => {
  const state = await openState(await nodeDirectory(data), { cluster, node: "n1" })
  try {
    return state.machine?.read(buffers("GET", "last"))
  } finally {
    await state.close()
  }
}

const tree = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .map((name) => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? name : `${name} ${readFileSync(path, "base64")}`
    })

test("whatever stops it: before it is decided the directory is as it was; afterwards no node starts there, and the next command finishes it", () =>
  withLocalCluster(1, async ({ node: nodeOf }) => {
    const node = nodeOf("n1")
    const [given = ""] = await survivors([[1, 1, 2]])
    const peers = { peers: addresses }
    // By way of a link, and as a mount point would be: the directory itself is never moved.
    const data = `${given}-link`
    symlinkSync(given, data)
    const { ino } = statSync(given)
    const before = tree(given)
    for (let kill = 0; ; kill++) {
      let moves = 0
      const killed = await applyRecovery(applying([data], peers), async (from, to) => {
        if (moves++ === kill) throw new Error("killed")
        await rename(from, to)
      }).then(
        () => false,
        () => true,
      )
      if (!killed) break
      if (kill === 0) expect(tree(given)).toEqual(before)
      else {
        await expect(planRecovery([data])).rejects.toMatchObject({ _tag: "RecoveryUnfinished" })
        if (kill === 2)
          await expect(node.start({ dataDir: data })).rejects.toThrow(/^The recovery of .* recover apply /)
        const { cluster, kept, index, plan } = await applyRecovery(applying([data]))
        expect([index, plan]).toEqual([1_003, null])
        expect(await read(data, cluster)).toMatchObject({ bytes: Buffer.from("3") })
        expect((await planRecovery([kept])).best.last).toMatchObject({ term: 2, index: 3 })
        expect(readdirSync(given).sort()).toEqual(["before-recovery-then", "log", "state"])
        // As it was, for the next point.
        for (const part of ["log", "state"]) rmSync(join(given, part), { recursive: true })
        for (const part of readdirSync(kept)) renameSync(join(kept, part), join(given, part))
        rmSync(kept, { recursive: true })
        expect(tree(given)).toEqual(before)
      }
    }
    expect(statSync(given).ino).toBe(ino)
  }))

test("every given directory is locked while they are judged; parts that cannot be moved are told before anything is changed", async () => {
  const [one = "", two = ""] = await survivors([[1, 1], [1]])
  await applyRecovery(applying([one, two, one], { peers: addresses }), async (from, to) => {
    if (from.endsWith(".unfinished"))
      for (const data of [one, two])
        await expect(openStorage({ directory: join(data, "log"), name: "n1" })).rejects.toMatchObject({
          _tag: "DirectoryLocked",
        })
    await rename(from, to)
  })
  renameSync(join(two, "log"), `${two}-log`)
  symlinkSync(`${two}-log`, join(two, "log"))
  const before = tree(two)
  await expect(applyRecovery(applying([two], { peers: addresses }))).rejects.toMatchObject({
    _tag: "NotMovable",
    found: "a link",
  })
  expect(tree(two)).toEqual(before)
})

test("without room for the copy that is looked into, or for what is made, it ends and says so", async () => {
  const [data = ""] = await survivors([[1, 1, 2]])
  const before = tree(data)
  const batches: unknown = Reflect.get(ClassicLevel.prototype, "_chainedBatch")
  let left = Infinity
  Reflect.set(ClassicLevel.prototype, "_chainedBatch", function (this: unknown) {
    if (left-- <= 0) throw new Error("IO error: /tmp/000007.log: No space left on device")
    return Reflect.apply(batches as () => unknown, this, [])
  })
  try {
    // As the copy is opened; as entries are executed in it, where a node would wait for room; as the new state is filled.
    for (const [room, error] of [
      [0, { _tag: "NoRoomToLook", message: expect.stringContaining("TMPDIR") as string }],
      [1, { _tag: "NoRoomToLook" }],
      [2, { _tag: "NoRoomToMake" }],
    ] as const) {
      left = room
      await expect(applyRecovery(applying([data], { peers: addresses })), `after ${room}`).rejects.toMatchObject(error)
      expect(tree(data)).toEqual(before)
    }
  } finally {
    Reflect.set(ClassicLevel.prototype, "_chainedBatch", batches)
  }
})

test("a node that answers as a member is not given up on; what else listens at its address is named and does not count; what is silent proves nothing", async () => {
  const [data = ""] = await survivors([[1, 1, 2]])
  const nodes = await Promise.all([
    open("n2", { hello: { cluster: "c" } }),
    open("n2"),
    open("n3", { hello: { cluster: "c" } }),
    open("n2", { hello: { cluster: "c" }, tls: tlsOf("n2") }),
    open("n2", { hello: { cluster: "d" } }),
    open("n9", { hello: { cluster: "c" }, tls: tlsOf("n9") }),
  ])
  const closers = nodes.map(({ close }) => close)
  const serving = async (said: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => said(socket.on("error", () => {})))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    closers.push(async () => void server.close())
    return (server.address() as AddressInfo).port
  }
  const silent = await serving((socket) => socket.resume())
  const web = await serving((socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")))
  const shy = await serving((socket) => socket.once("data", () => socket.end()))
  const [member = 0, empty = 0, other = 0, secured = 0, strange = 0, stranger = 0] = nodes.map(({ port }) => port)
  const ask = (port: number): Promise<Listener> =>
    whoListens({ host: "127.0.0.1", port }, "n2", "c", ["n1", "n2", "n3"], 500)
  const at = (port: number) => applying([data], { peers: { n2: `127.0.0.1:${port}` }, timeout: 500 })
  try {
    expect(await Promise.all([member, empty, other, secured, silent, strange, stranger, web, shy].map(ask))).toEqual([
      ...Array.from({ length: 4 }, () => ({ type: "node" })),
      { type: "unknown", found: "a process accepts the connection and says nothing: it may be a node that hangs" },
      { type: "other", found: "a node of another cluster (n2 belongs to cluster d, n2 to c)" },
      { type: "other", found: "TLS with a certificate of n9" },
      { type: "other", found: "no stepraft node" },
      { type: "other", found: "what ends the connection when a node speaks to it" },
    ])
    // Nobody is taken for a newcomer.
    expect(nodes.flatMap(({ transport }) => transport.unlisted())).toEqual([])
    await expect(applyRecovery(at(member))).rejects.toMatchObject({ _tag: "MembersAnswer", names: ["n2"] })
    await expect(applyRecovery(at(silent))).rejects.toMatchObject({ _tag: "MemberNotAsked", name: "n2" })
    expect((await applyRecovery(at(web))).bystanders).toEqual([
      { name: "n2", address: `127.0.0.1:${web}`, found: "no stepraft node" },
    ])
  } finally {
    await Promise.all(closers.map((close) => close()))
  }
})

test("two of three disks are lost: refused while a majority could answer; then the survivor goes on alone, and refuses the old members by name", () =>
  withLocalCluster(3, async (cluster) => {
    await cluster.startAll()
    const client = await cluster.connect(await cluster.leader())
    for (let i = 0; i < 10; i++) expect(await client.call("SET", `k${i}`, i)).toBe("OK")
    const [n1, n2, n3] = [cluster.node("n1"), cluster.node("n2"), cluster.node("n3")]
    await until(
      "n1 has it all",
      () => n1.status().applied === n1.status().commitIndex && n1.status().commitIndex === n2.status().commitIndex,
    )
    const directories = [n1.config.dataDir]
    await expect(planRecovery(directories)).rejects.toMatchObject({ _tag: "DirectoryLocked" })
    await n1.stop()
    await expect(applyRecovery(applying(directories))).rejects.toMatchObject({
      _tag: "MajorityAlive",
      answering: ["n2", "n3"],
      given: ["n1"],
    })
    await n3.stop()
    await expect(applyRecovery(applying(directories))).rejects.toMatchObject({
      _tag: "MajorityAlive",
      answering: ["n2"],
    })
    await n2.stop()
    await expect(applyRecovery(applying([n1.config.dataDir, n2.config.dataDir]))).rejects.toMatchObject({
      _tag: "MajorityAlive",
      answering: [],
    })
    rmSync(n3.config.dataDir, { recursive: true })
    const { cluster: made, kept } = await applyRecovery(applying(directories))
    expect(existsSync(kept)).toBe(true)

    await n1.start()
    await until("n1 leads alone", () => n1.status().role === "leader")
    expect(n1.status().cluster).toBe(made)
    const again = await cluster.connect(n1)
    expect(await again.call("MGET", "k0", "k9")).toEqual(["0", "9"])
    expect(await again.call("SET", "new", "1")).toBe("OK")
    // Its disk was not lost after all: it comes back as it was.
    await n2.start()
    await until("n2 is refused by name", () => n1.lines.concat(n2.lines).some((line) => line.includes("WrongCluster")))
    expect(n2.status().leader).toBeNull()
  }))
