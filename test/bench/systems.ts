/** The systems that the benchmark compares, and the load generator that drives them. */
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { freePort, launch, root, startCluster, temporaryFolder, until } from "../cluster.ts"
import { openResp } from "../resp.ts"

export interface System {
  readonly name: "stepraft" | "etcd" | "Redis"
  readonly version: string
  /** All three addresses to ask, and that of the leader. */
  readonly endpoints: readonly string[]
  readonly leader: () => Promise<string>
  readonly pids: readonly number[]
  readonly logs: () => string
  readonly dispose: () => Promise<void>
}

export interface Cell {
  readonly op: "put" | "get" | "local" | "mixed"
  readonly clients: number
  /** 0: every client has its own. */
  readonly connections: number
}
export interface Sample {
  readonly ops: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** Microseconds an operation. */
  readonly serverCpu: number
  readonly clientCpu: number
  readonly failures: number
  readonly error: string
}
/** The result of a measurement that failed. The other results remain valid. */
export const nothing = (error: string): Sample => ({
  ops: 0,
  perSecond: 0,
  p50: 0,
  p99: 0,
  serverCpu: 0,
  clientCpu: 0,
  failures: 1,
  error,
})
/** The lines that the generator prints; etcd's client reports errors on lines of the same form. */
export const sampleIn = (output: string): Sample | null => {
  const line = output.split("\n").findLast((text) => text.startsWith("{") && text.includes('"perSecond":'))
  return line === undefined ? null : (JSON.parse(line) as Sample)
}
/** A measurement that fails does not end the run. */
export const sampleOf = (measure: () => Promise<Sample>): Promise<Sample> =>
  measure().catch((thrown: unknown) => nothing(thrown instanceof Error ? thrown.message : String(thrown)))
export interface Generator {
  readonly etcd: boolean
  readonly version: string
  readonly run: (system: System, words: readonly string[]) => Promise<Sample>
}

export const installHint = "apt-get install etcd-server etcd-client golang-go golang-etcd-server-dev redis-tools"
const gocode = "/usr/share/gocode"

export const installed = (command: string): boolean => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0

/** Builds the generator from the source beside this file into a temporary folder, in GOPATH mode, offline. */
export const buildGenerator = (): Generator | null => {
  if (!installed("go")) return null
  const etcd = existsSync(join(gocode, "src", "go.etcd.io", "etcd", "clientv3"))
  const work = temporaryFolder("stepraft-load-")
  const target = join(work, "src", "load")
  const source = join(root, "test", "bench", "load")
  mkdirSync(target, { recursive: true })
  for (const file of readdirSync(source)) copyFileSync(join(source, file), join(target, file))
  const program = join(work, "load")
  const built = spawnSync("go", ["build", ...(etcd ? ["-tags", "etcd"] : []), "-o", program, "load"], {
    cwd: work,
    encoding: "utf8",
    env: { ...process.env, GO111MODULE: "off", GOPATH: `${work}:${gocode}`, GOFLAGS: "" },
  })
  if (built.status !== 0) throw new Error(`the load generator does not build:\n${built.stderr}`)
  const version = spawnSync("go", ["version"], { encoding: "utf8" }).stdout.split(" ")[2] ?? ""
  return {
    etcd,
    version,
    run: async (system, words) => {
      const run = launch(program, [
        "-system",
        system.name === "etcd" ? "etcd" : "resp",
        "-pids",
        system.pids.join(","),
        ...words,
      ])
      const code = await run.exited
      const sample = sampleIn(run.output())
      if (code !== 0 || sample === null)
        throw new Error(`load on ${system.name} (${words.join(" ")}): ${run.output()}\n${system.logs().slice(-3000)}`)
      return sample
    },
  }
}

export const startStepraft = async (parent: string): Promise<System> => {
  const cluster = await startCluster({ parent })
  await cluster.leader()
  const status = await cluster.status("n1")
  const endpoint = (id: string): string => `127.0.0.1:${cluster.member(id).clientPort}`
  return {
    name: "stepraft",
    version: `${status?.version ?? ""}, Node ${process.versions.node}`,
    endpoints: cluster.ids.map(endpoint),
    leader: async () => endpoint(await cluster.leader()),
    pids: cluster.ids.map((id) => cluster.process(id).pid),
    logs: cluster.logs,
    dispose: cluster.dispose,
  }
}

interface EtcdStatus {
  readonly header?: { readonly member_id?: string }
  readonly leader?: string
}
const etcdStatus = async (endpoint: string): Promise<EtcdStatus> => {
  const response = await fetch(`http://${endpoint}/v3/maintenance/status`, {
    method: "POST",
    body: "{}",
    signal: AbortSignal.timeout(2000),
  })
  return (await response.json()) as EtcdStatus
}
/** Default settings, fsync on. */
/** How one of several members is started; `all` names them with their addresses for peers. */
export const etcdWords = (
  { name, client, peer }: { readonly name: string; readonly client: string; readonly peer: string },
  data: string,
  all: string,
): readonly string[] => [
  "--name",
  name,
  "--data-dir",
  data,
  "--listen-client-urls",
  `http://${client}`,
  "--advertise-client-urls",
  `http://${client}`,
  "--listen-peer-urls",
  `http://${peer}`,
  "--initial-advertise-peer-urls",
  `http://${peer}`,
  "--initial-cluster",
  all,
  "--initial-cluster-state",
  "new",
  "--log-level",
  "error",
]

export const startEtcd = async (parent: string): Promise<System> => {
  const folder = temporaryFolder("stepraft-etcd-", parent)
  const members = []
  for (const name of ["e1", "e2", "e3"])
    members.push({ name, client: `127.0.0.1:${await freePort()}`, peer: `127.0.0.1:${await freePort()}` })
  const all = members.map(({ name, peer }) => `${name}=http://${peer}`).join(",")
  const running = members.map(({ name, client, peer }) =>
    launch("etcd", etcdWords({ name, client, peer }, join(folder, name), all)),
  )
  const endpoints = members.map(({ client }) => client)
  const leader = (): Promise<string> =>
    until("etcd has a leader", async () => {
      for (const endpoint of endpoints) {
        const status = await etcdStatus(endpoint).catch((): EtcdStatus => ({}))
        if (status.leader !== undefined && status.leader !== "0" && status.leader === status.header?.member_id)
          return endpoint
      }
      return null
    })
  await leader()
  return {
    name: "etcd",
    version: spawnSync("etcd", ["--version"], { encoding: "utf8" }).stdout.match(/etcd Version: (\S+)/)?.[1] ?? "",
    endpoints,
    leader,
    pids: running.map(({ pid }) => pid),
    logs: () => running.map((one) => one.output()).join("\n"),
    dispose: async () => {
      for (const one of running) one.signal("SIGKILL")
      await Promise.all(running.map((one) => one.exited))
    },
  }
}

/** One process and one copy of the data: what the protocol and the disk allow without consensus. */
export const startRedis = async (parent: string): Promise<System> => {
  const folder = temporaryFolder("stepraft-redis-", parent)
  const port = await freePort()
  const server = launch("redis-server", [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    folder,
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
  ])
  await until("Redis answers", async () => {
    const client = await openResp(port).catch(() => null)
    client?.close()
    return client !== null
  })
  const endpoint = `127.0.0.1:${port}`
  return {
    name: "Redis",
    version: spawnSync("redis-server", ["--version"], { encoding: "utf8" }).stdout.match(/v=(\S+)/)?.[1] ?? "",
    endpoints: [endpoint],
    leader: () => Promise.resolve(endpoint),
    pids: [server.pid],
    logs: server.output,
    dispose: async () => {
      server.signal("SIGKILL")
      await server.exited
    },
  }
}
