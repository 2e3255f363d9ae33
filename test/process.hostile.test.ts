/** Bytes that no client and no peer of ours would send, on both ports of every node. */
import { expect } from "vitest"
import { full, until, withCluster, type Cluster } from "./cluster.ts"
import { runScenario } from "./hostile/run.ts"
import { findScenario } from "./hostile/scenarios.ts"
import { longTest, shortTest } from "./long.ts"
import { residentBytes } from "./rejoin.ts"
import { seeded } from "./disk.ts"
import { attack } from "./attack.ts"
import { startWorkload, verify } from "./workload.ts"

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.from(value, "latin1")
const filler = Buffer.alloc(1 << 20, 0x61)

const attacks: readonly (readonly Uint8Array[])[] = [
  [u32(0x7fff_ffff), filler, filler],
  [u32(0xffff_ffff), filler],
  [u32(0)],
  [text("*1\r\n$2147483648\r\n"), filler, filler],
  [text("*2147483647\r\n"), text("$1\r\na\r\n".repeat(1000))],
  [text("*-5\r\n$-3\r\n")],
  [text("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n:5\r\n")],
  [filler, filler],
  [text("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
  [Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])],
]

const besieged = async (cluster: Cluster): Promise<void> => {
  const rounds = full ? 200 : 20
  const siege = async (port: number, seed: number): Promise<void> => {
    const random = seeded(seed)
    const noise = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)))
    await Promise.all(attacks.map((chunks) => attack(port, chunks)))
    for (let round = 0; round < rounds; round += 10)
      await Promise.all(Array.from({ length: 10 }, () => attack(port, [noise(1 + Math.floor(random() * 5000))], 100)))
    // Connections that say nothing, or only half of something.
    await Promise.all([
      attack(port, []),
      attack(port, [text("*3\r\n$3\r\nSE")]),
      attack(port, [u32(100), text("half")]),
    ])
  }
  await Promise.all(
    cluster.members.flatMap(({ clientPort, peerPort }, i) => [siege(clientPort, 2 * i), siege(peerPort, 2 * i + 1)]),
  )
}

longTest("random bytes and frames of 2 GB on both ports close that connection and nothing else", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const pids = cluster.ids.map((id) => cluster.process(id).pid)
    await besieged(cluster)
    expect(cluster.ids.filter((id) => !cluster.running(id))).toEqual([])
    await workload.nextAfter(performance.now(), true)
    const { wrong, digests } = await verify(cluster, [workload])
    expect(wrong).toEqual([])
    expect(new Set(digests).size).toBe(1)
    for (const pid of pids) expect(residentBytes(pid)).toBeLessThan(600 << 20)
  }),
)

/** Its times say something about the machine that the tests run on, too: `npm run hostile` judges them. */
const held = async (name: string, alongside?: (cluster: Cluster) => Promise<void>): Promise<void> => {
  const scenario = findScenario(name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  const { failures, logs } = await runScenario(scenario, { seed: 1, ...(alongside === undefined ? {} : { alongside }) })
  if (failures.length > 0) console.error(logs)
  expect(failures).toEqual([])
}

shortTest(
  "legal requests that ask for too much, and random bytes and frames of 2 GB on both ports: every node goes on within its memory, nothing acknowledged is lost, and all come back",
  () => held("brief", besieged),
)
/** The others: npm run hostile. */
for (const name of ["descriptors", "numbers", "exec-get", "exec-append", "mix"])
  longTest(`hostile, ${name}: ${findScenario(name)?.about ?? "unknown"}`, () => held(name))

longTest("a frame of 2 GB is refused at its length, before its bytes are taken", () =>
  withCluster({}, async (cluster) => {
    const [member] = cluster.members
    if (member === undefined) throw new Error("no node")
    for (const [port, head] of [
      [member.peerPort, u32(0x7fff_ffff)],
      [member.clientPort, text("*1\r\n$2147483647\r\n")],
    ] as const)
      await until(`port ${port} closes`, async () => (await attack(port, [head, filler], 5000)) === "closed")
    expect(cluster.running(member.id)).toBe(true)
  }),
)
