/** What the doctor can find, injected into clusters of real processes, and named. By table and in no time: doctor.findings.test.ts. */
import { spawn } from "node:child_process"
import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"
import type { Finding, FindingName } from "../kv/doctor/findings.ts"
import { openNetwork, type Network } from "./chaos/network.ts"
import { DAY, shiftedClocks } from "./clocks.ts"
import {
  freePort,
  launch,
  root,
  smallSnapshots,
  startCluster,
  temporaryFolder,
  until,
  withCluster,
  type Cluster,
  type ClusterOptions,
} from "./cluster.ts"
import { longTest } from "./long.ts"
import type { Faults } from "./lossy-files.ts"
import { startWorkload } from "./workload.ts"

interface Diagnosis {
  readonly well: boolean
  readonly findings: readonly Finding[]
}
/** `stepraft doctor --json`; its exit code says the same as its answer. */
const doctor = (cluster: Cluster, id: string): Promise<Diagnosis> =>
  new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [join(root, "dist/kv/cli.js"), "doctor", "--json", "--port", String(cluster.member(id).clientPort)],
      { stdio: ["ignore", "pipe", "inherit"] },
    )
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
    child.once("close", (code) => {
      const told = JSON.parse(text) as Diagnosis
      if (code === (told.well ? 0 : 1)) resolve(told)
      else reject(new Error(`exit code ${code} with ${text}`))
    })
  })
/** Asked until it names this, for as long as a fault may need to show. */
const named = async (
  cluster: Cluster,
  at: string,
  name: FindingName,
  nodes: readonly string[],
  cause: RegExp,
): Promise<readonly Finding[]> => {
  let last: Diagnosis = { well: true, findings: [] }
  const found = await until(`${name} of ${nodes.join(", ")}`, async () => {
    last = await doctor(cluster, at)
    return (
      last.findings.some(
        (one) =>
          one.name === name &&
          nodes.every((id) => one.nodes.includes(id)) &&
          cause.test(`${one.evidence} ${one.cause} ${one.next}`),
      ) && last.findings
    )
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last, null, 1)}`)
  })
  if (process.env["STEPRAFT_SHOW"] !== undefined) console.log(JSON.stringify(found, null, 1))
  return found
}
/** What kv/README.md shows of it, as real output: with other nodes and numbers the same. "…": there it is cut short. */
const asInGuide = (name: FindingName): RegExp => {
  const guide = readFileSync(join(root, "kv/README.md"), "utf8")
  const [, seen, cause, next] =
    new RegExp(`^critical ${name}: .*\n  seen   (.*)\n  cause  (.*)\n  next   (.*)$`, "mu").exec(guide) ?? []
  if (seen === undefined || cause === undefined || next === undefined)
    throw new Error(`the guide does not show ${name}`)
  const shape = (text: string): string =>
    text
      .replace(/[.*+?^${}()|[\]\\]/gu, "\\$&")
      .replace(/ …$/u, ".*")
      .replace(/\d+(?:\\\.\d+)?(?: [kM]B)?/gu, "[\\d.]+(?: [kM]B)?")
  return new RegExp(`^${shape(seen)} ${shape(cause)} ${shape(next)}`, "u")
}
const well = async (cluster: Cluster, but: readonly string[] = []): Promise<void> => {
  let last: Diagnosis = { well: false, findings: [] }
  await until("all is well", async () =>
    (last = await doctor(cluster, cluster.ids[0] ?? "")).findings.every(({ name }) => but.includes(name)),
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last.findings, null, 1)}`)
  })
}
const other = (cluster: Cluster, ...ids: readonly string[]): string => cluster.ids.find((id) => !ids.includes(id)) ?? ""

const faulty = { program: ["--import", "tsx", join("test", "serve-on-faulty-disk.ts")] }
const setFaults = async (cluster: Cluster, id: string, faults: Faults): Promise<void> => {
  const node = cluster.process(id)
  const told = (): number =>
    node
      .output()
      .split("\n")
      .filter((line) => line === `faults ${JSON.stringify(faults)}`).length
  const before = told()
  writeFileSync(`${cluster.member(id).data}.faults.json`, JSON.stringify(faults))
  node.signal("SIGUSR2")
  await until(`${id} has these faults`, () => told() > before)
}

/** A cluster each of whose links can be cut and slowed down. */
const withNetwork = async (
  options: ClusterOptions,
  body: (cluster: Cluster, network: Network) => Promise<void>,
): Promise<void> => {
  let cluster: Cluster | null = null
  const network = await openNetwork(["n1", "n2", "n3"], (id) => cluster?.member(id).peerPort ?? 0)
  // Nodes dial from their start on, and until the ports are known they are turned away.
  const program = ["--import", join(root, "test/chaos/own-peers.mjs"), join("dist", "kv", "cli.js")]
  try {
    cluster = await startCluster({
      ...options,
      program,
      env: { ...options.env, CHAOS_PEERS: JSON.stringify(network.peers) },
    })
    await cluster.leader()
    await body(cluster, network)
  } catch (error) {
    console.error(cluster?.logs())
    throw error
  } finally {
    await cluster?.dispose()
    await network.close()
  }
}

longTest("doctor: a slow link, and one that is closed in one direction", () =>
  withNetwork({}, async (cluster, network) => {
    const leader = await cluster.leader()
    const id = other(cluster, leader)
    network.impose(
      "slow",
      [
        [leader, id],
        [id, leader],
      ],
      { delay: 200 },
    )
    await named(cluster, leader, "slow-link", [leader, id], /there and back/)
    network.lift("slow")
    await well(cluster)
    const third = other(cluster, leader, id)
    network.impose("cut", [[id, third]], { cut: true })
    await named(cluster, leader, "broken-link", [id, third], /do not hear each other/)
    network.lift("cut")
    await well(cluster)
    for (const from of cluster.ids)
      network.impose(
        `all ${from}`,
        cluster.ids.filter((to) => to !== from).map((to) => [from, to] as const),
        { delay: 900 },
      )
    await named(cluster, leader, "no-leader", [...cluster.ids], /messages take longer than an election timeout/)
    for (const from of cluster.ids) network.lift(`all ${from}`)
    await well(cluster)
  }),
)

longTest("doctor: a snapshot that does not get through, and a follower that lags", () =>
  withNetwork({ env: smallSnapshots(400_000, 100_000, 200_000) }, async (cluster, network) => {
    const leader = await cluster.leader()
    const id = other(cluster, leader)
    await cluster.kill(id)
    const client = await cluster.connect(leader)
    for (let i = 0; i < 40; i++) await client.call("SET", `key:${i}`, String(i).padStart(50_000, "0"))
    await until("its entries are trimmed", async () => ((await cluster.status(leader))?.snapshotIndex ?? 0) > 20)
    network.impose("slow", [[leader, id]], { rate: 3 })
    cluster.start(id)
    await named(cluster, leader, "snapshot-install-failing", [id], asInGuide("snapshot-install-failing"))
    await named(cluster, leader, "follower-lagging", [id], /gets a snapshot/)
    network.lift("slow")
    client.close()
    await well(cluster)
  }),
)

longTest("doctor: all is well; then one is killed, one is paused, and with the third nobody leads", () =>
  withCluster({}, async (cluster) => {
    await well(cluster)
    const leader = await cluster.leader()
    const [a = "", b = ""] = cluster.ids.filter((id) => id !== leader)
    await cluster.kill(a)
    const one = await named(cluster, leader, "node-unreachable", [a], /process has ended/)
    expect(one.map(({ name, severity }) => `${name} ${severity}`)).toEqual(["node-unreachable warning"])
    cluster.signal(b, "SIGSTOP")
    await named(cluster, leader, "no-leader", [leader], asInGuide("no-leader"))
    await named(cluster, leader, "client-timeouts", [leader], asInGuide("client-timeouts"))
    await named(cluster, leader, "node-unreachable", [b], /paused or hangs/)
    cluster.signal(b, "SIGCONT")
    cluster.start(a)
    // Nobody led for a while, and with one away the cluster's time catches up at a twentieth of the time that passes.
    await well(cluster, ["clock-off"])
  }),
)

longTest("doctor: disks of the followers that stall, one that is slow, and disks without room", () =>
  withCluster(faulty, async (cluster) => {
    const leader = await cluster.leader()
    const followers = cluster.ids.filter((id) => id !== leader)
    for (const id of followers) await setFaults(cluster, id, { slowSync: 600_000 })
    const found = await named(cluster, leader, "commit-stalled", [leader, ...followers], asInGuide("commit-stalled"))
    expect(found.map(({ name }) => name)).toContain("client-timeouts")
    await named(cluster, leader, "slow-disk", [followers[0] ?? ""], /at work on one write/)
    for (const id of followers) await cluster.kill(id)
    for (const id of followers) {
      rmSync(`${cluster.member(id).data}.faults.json`)
      cluster.start(id)
    }
    await well(cluster)
    for (const id of cluster.ids) await setFaults(cluster, id, { slowSync: 800 })
    await named(cluster, leader, "slow-disk", [leader], /took .* \(mean/)
    await named(cluster, leader, "client-timeouts", [leader], /slow-disk/)
    for (const id of cluster.ids) await setFaults(cluster, id, {})
    // Slow disks may have changed who leads. One that follows is short of space: the others go on.
    const short = other(cluster, await cluster.leader())
    await setFaults(cluster, short, { freeBytes: 1000 })
    await named(cluster, leader, "out-of-space", [short], /the other nodes continue/)
    await setFaults(cluster, short, {})
    await well(cluster)
  }),
)

longTest("doctor: a lost disk, a directory that was put back, and two processes of one name", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const leader = await cluster.leader()
    const [id = ""] = cluster.ids.filter((one) => one !== leader)
    const copyOf = (name: string): string => {
      const copy = `${cluster.member(id).data}-${name}`
      cpSync(cluster.member(id).data, copy, { recursive: true })
      for (const file of readdirSync(`${copy}/log`)) if (file.startsWith("LOCK.")) rmSync(`${copy}/log/${file}`)
      return copy
    }
    cluster.signal(id, "SIGSTOP")
    const twin = copyOf("twin")
    cluster.signal(id, "SIGCONT")
    const { clientPort } = cluster.member(id)
    const second = launch(process.execPath, [
      "dist/kv/cli.js",
      "serve",
      "--id",
      id,
      "--data",
      twin,
      "--client",
      `127.0.0.1:${clientPort + 1}`,
      "--peer",
      `127.0.0.1:${clientPort + 2}`,
      "--peers",
      cluster.members.map((one) => `${one.id}=127.0.0.1:${one.id === id ? clientPort + 2 : one.peerPort}`).join(","),
    ])
    await named(cluster, leader, "node-doubled", [id], /another process of that name/)
    second.signal("SIGKILL")
    await cluster.kill(id)
    const old = copyOf("old")
    cluster.start(id)
    await workload.nextAfter(performance.now(), true)
    await until("it has caught up", async () => (await cluster.status(id))?.health === "ok")
    await cluster.kill(id)
    rmSync(cluster.member(id).data, { recursive: true })
    cpSync(old, cluster.member(id).data, { recursive: true })
    cluster.start(id)
    await named(cluster, leader, "directory-rolled-back", [id], /RolledBack/)
    await cluster.kill(id)
    rmSync(cluster.member(id).data, { recursive: true })
    cluster.start(id)
    await named(cluster, leader, "disk-lost", [id], new RegExp(`stepraft member replace ${id}`))
    await workload.stop()
  }),
)

longTest("doctor: a clock a day ahead", () => {
  const clocks = shiftedClocks()
  clocks.shift("n1", DAY)
  return withCluster(clocks.options, async (cluster) => {
    await named(cluster, "n2", "clock-off", ["n1"], /86400\.\d s ahead|8640\d\.\d s ahead/)
  })
})

longTest("doctor: a node of another version, and one whose list lacks a member", () => {
  // The same program under another number, as during an upgrade.
  const folder = temporaryFolder("stepraft-newer-")
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true })
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
  const description = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ ...description, version: "9.9.9" }))
  return withCluster({}, async (cluster) => {
    const leader = await cluster.leader()
    const id = other(cluster, leader)
    await cluster.kill(id)
    const { data, clientPort, peerPort } = cluster.member(id)
    launch(process.execPath, [
      join(folder, "dist/kv/cli.js"),
      "serve",
      "--id",
      id,
      "--data",
      data,
      "--client",
      `127.0.0.1:${clientPort}`,
      "--peer",
      `127.0.0.1:${peerPort}`,
      "--peers",
      `${id}=127.0.0.1:${peerPort},${leader}=127.0.0.1:${cluster.member(leader).peerPort}`,
    ])
    await named(cluster, leader, "mixed-versions", [...cluster.ids], new RegExp(`${id} 9\\.9\\.9`))
  })
})

longTest("doctor: a node that waits to be a member, and one that was removed and still runs", () =>
  withCluster({}, async (cluster) => {
    const leader = await cluster.leader()
    const [client, peer] = [await freePort(), await freePort()]
    const words = [
      "serve",
      "--id",
      "n4",
      "--data",
      join(cluster.folder, "n4"),
      "--client",
      `127.0.0.1:${client}`,
      "--peer",
      `127.0.0.1:${peer}`,
    ]
    launch(process.execPath, [
      "dist/kv/cli.js",
      ...words,
      "--peers",
      cluster.members.map((one) => `${one.id}=127.0.0.1:${one.peerPort}`).join(","),
    ])
    await named(cluster, leader, "members-disagree", ["n4"], /stepraft member add n4/)
    const id = other(cluster, leader)
    const admin = await cluster.connect(leader)
    await until(
      `${id} is removed`,
      async () => typeof (await admin.call("STEPRAFT", "MEMBER", "REMOVE", id)) === "string",
    )
    await named(cluster, leader, "members-disagree", [id], /no member any more|is no member|are none|is none/)
    admin.close()
  }),
)

longTest("doctor: a process with few descriptors, and clients that take all places", () =>
  withCluster({ flags: ["--max-clients", "20"] }, async (cluster) => {
    const leader = await cluster.leader()
    const id = other(cluster, leader)
    const clients = []
    for (let i = 0; i < 20; i++) clients.push(await cluster.connect(id))
    await named(cluster, leader, "out-of-descriptors", [id], /clients of at most 20/)
    for (const client of clients) client.close()
    await well(cluster)
  }),
)
