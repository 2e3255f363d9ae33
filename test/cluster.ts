/** Clusters of real processes for tests and benchmarks: started, killed, damaged and always cleaned up. */
import { spawn, type ChildProcess } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type * as tls from "node:tls"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { NodeStatus } from "../kv/types.ts"
import { ErrorReply, openResp, type RespClient } from "./resp.ts"

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const full = process.env["STEPRAFT_ALL"] !== undefined

/** Generous: on a busy machine everything takes longer, and no test may fail because of that. */
const patience = full ? 300_000 : 90_000

export const until = async <T>(
  what: string,
  condition: () => Promise<T | null | false> | T | null | false,
  limit = patience,
): Promise<T> => {
  const deadline = performance.now() + limit
  for (;;) {
    const value = await condition()
    if (value !== null && value !== false) return value
    if (performance.now() > deadline) throw new Error(`not within ${limit / 1000} s: ${what}`)
    await sleep(15)
  }
}

/** null if it takes longer. */
export const within = async <T>(limit: number, work: Promise<T>): Promise<T | null> => {
  const timer = new AbortController()
  try {
    return await Promise.race([work, sleep(limit, null, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}

/**
 * Free ports below the range that the system gives to outgoing connections: a port from that range can be taken by a
 * peer that tries to reconnect while its owner is down, and a connection to it can even end at itself.
 */
const given = new Set<number>()
let asked = 0
/** Each worker has its own range: a port whose owner is down at the moment is not free for another worker's nodes. */
const range = 4500
/** `cluster` derives ports from the given one, up to 2,000 and more above it: they stay in this range, too. */
const spread = 2400
const lowest = 12_000 + (Number(process.env["VITEST_POOL_ID"] ?? "0") % 4) * range
export const freePort = async (): Promise<number> => {
  for (;;) {
    // Ports are some distance apart: a node that is given the first one may take those after it, too.
    const port = lowest + ((process.pid + 7 * asked++) % spread)
    if (given.has(port)) continue
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once("error", () => resolve(false))
      server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)))
    })
    if (!free) continue
    given.add(port)
    return port
  }
}

const alive = new Set<ChildProcess>()
const folders = new Set<string>()
const cleanUp = (): void => {
  for (const child of alive) child.kill("SIGKILL")
  alive.clear()
  for (const folder of folders)
    if (process.env["STEPRAFT_KEEP"] === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  folders.clear()
}
process.on("exit", cleanUp)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => {
    cleanUp()
    process.kill(process.pid, signal)
  })

export const temporaryFolder = (name = "stepraft-test-", parent = tmpdir()): string => {
  const folder = mkdtempSync(join(parent, name))
  folders.add(folder)
  return folder
}

/** A watched child process: its output is kept, and it ends with this process. */
export interface Watched {
  readonly pid: number
  readonly output: () => string
  readonly running: () => boolean
  readonly exited: Promise<number | NodeJS.Signals>
  readonly signal: (signal: NodeJS.Signals) => void
  /** Writes to its standard input. */
  readonly tell: (text: string) => void
  /** Nobody reads its output any more. */
  readonly close: () => void
}
export const launch = (
  command: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = root,
): Watched => {
  // A node ends when its standard input does: so it does not outlive this process, however that ends.
  const inherited: NodeJS.ProcessEnv = { ...process.env, UV_THREADPOOL_SIZE: "16", STEPRAFT_STOP_WITH_STDIN: "1" }
  delete inherited["NODE_OPTIONS"]
  const child = spawn(command, words, { cwd, env: { ...inherited, ...env }, stdio: ["pipe", "pipe", "pipe"] })
  alive.add(child)
  let text = ""
  let running = true
  const keep = (chunk: Buffer): void => {
    text += chunk.toString()
    if (text.length > 4_000_000) text = text.slice(-2_000_000)
  }
  child.stdin.on("error", () => undefined)
  child.stdout.on("data", keep)
  child.stderr.on("data", keep)
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    const ended = (how: number | NodeJS.Signals): void => {
      running = false
      alive.delete(child)
      resolve(how)
    }
    child.once("error", (error) => {
      text += String(error)
      ended(-1)
    })
    child.once("close", (code, signal) => ended(signal ?? code ?? -1))
  })
  return {
    pid: child.pid ?? -1,
    output: () => text,
    running: () => running,
    exited,
    signal: (signal) => void child.kill(signal),
    tell: (text) => void child.stdin.write(text),
    close: () => {
      child.stdout.destroy()
      child.stderr.destroy()
    },
  }
}

export interface Member {
  readonly id: string
  readonly clientPort: number
  readonly peerPort: number
  readonly httpPort: number
  readonly data: string
}
export interface ClusterOptions {
  readonly nodes?: number
  /** The runtime of a node, and its own arguments. Default: this Node. */
  readonly runtime?: (id: string) => readonly string[]
  /** The program of a node: words after `node`. */
  readonly program?: readonly string[]
  /** Further arguments after `serve …`, and environment variables, for all nodes. */
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** And those of one node. */
  readonly flagsOf?: (id: string) => readonly string[]
  /** How this process proves itself to the nodes, if they speak TLS. */
  readonly secured?: tls.ConnectionOptions
  /** Each node answers HTTP at `httpPort`. */
  readonly http?: boolean
  /** File descriptors that each node may have. */
  readonly descriptors?: number
  /** Where the data folders go; the system's temporary folder by default. */
  readonly parent?: string
}
export interface StartOptions {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}
export interface Cluster {
  readonly members: readonly Member[]
  readonly ids: readonly string[]
  readonly folder: string
  readonly member: (id: string) => Member
  /** The present process of the node, or its last one. */
  readonly process: (id: string) => Watched
  readonly running: (id: string) => boolean
  readonly start: (id: string, options?: StartOptions) => void
  /** Resolves when the process is gone. SIGKILL by default. */
  readonly kill: (id: string, signal?: NodeJS.Signals) => Promise<void>
  readonly killAll: () => Promise<void>
  readonly startAll: () => void
  readonly signal: (id: string, signal: NodeJS.Signals) => void
  readonly connect: (id: string) => Promise<RespClient>
  readonly status: (id: string) => Promise<NodeStatus | null>
  /** Waits for a leader that it and a majority agree on. */
  readonly leader: () => Promise<string>
  readonly followers: () => Promise<readonly string[]>
  /** Waits until all running nodes have applied the same index and it stays there. */
  readonly settled: (ids?: readonly string[]) => Promise<number>
  readonly logs: () => string
  readonly dispose: () => Promise<void>
}

export const startCluster = async (options: ClusterOptions = {}): Promise<Cluster> => {
  const folder = temporaryFolder("stepraft-cluster-", options.parent)
  const members: Member[] = []
  for (let i = 1; i <= (options.nodes ?? 3); i++) {
    const data = join(folder, `n${i}`)
    members.push({
      id: `n${i}`,
      clientPort: await freePort(),
      peerPort: await freePort(),
      httpPort: await freePort(),
      data,
    })
  }
  const ids = members.map(({ id }) => id)
  const listed = new Map(members.map(({ id, peerPort }) => [id, `127.0.0.1:${peerPort}`]))
  const peers = Array.from(listed, ([id, address]) => `${id}=${address}`).join(",")
  const lives = new Map<string, Watched[]>(ids.map((id) => [id, []]))
  const program = options.program ?? [join("dist", "kv", "cli.js")]

  const member = (id: string): Member => {
    const found = members.find((one) => one.id === id)
    if (found === undefined) throw new Error(`no node ${id}`)
    return found
  }
  const livesOf = (id: string): Watched[] => lives.get(id) ?? []
  const lifeOf = (id: string): Watched => {
    const life = livesOf(id).at(-1)
    if (life === undefined) throw new Error(`${id} was never started`)
    return life
  }
  const running = (id: string): boolean => livesOf(id).at(-1)?.running() ?? false
  const start = (id: string, extra: StartOptions = {}): void => {
    const { data, clientPort, peerPort, httpPort } = member(id)
    mkdirSync(data, { recursive: true })
    const words = [
      ...program,
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
      peers,
      ...(livesOf(id).length === 0 ? ["--bootstrap"] : []),
      // It has moved, and the lists are as they were.
      ...(listed.get(id) === `127.0.0.1:${peerPort}` ? [] : ["--advertise-peer", `127.0.0.1:${peerPort}`]),
      ...(options.http === true ? ["--http", `127.0.0.1:${httpPort}`] : []),
      ...(options.flags ?? []),
      ...(options.flagsOf?.(id) ?? []),
      ...(extra.flags ?? []),
    ]
    const env = { ...options.env, ...extra.env }
    // The shell is replaced by the node: the pid is the node's.
    const [command = process.execPath, ...before] = options.runtime?.(id) ?? []
    const limited = ["-c", `ulimit -n ${options.descriptors}; exec "$0" "$@"`, command, ...before, ...words]
    livesOf(id).push(
      options.descriptors === undefined ? launch(command, [...before, ...words], env) : launch("/bin/sh", limited, env),
    )
  }
  const kill = async (id: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    if (!running(id)) return
    lifeOf(id).signal(signal)
    await until(`${id} ends after ${signal}`, () => !running(id))
  }
  const connect = (id: string): Promise<RespClient> => openResp(member(id).clientPort, "127.0.0.1", options.secured)
  const status = async (id: string): Promise<NodeStatus | null> => {
    if (!running(id)) return null
    const ask = async (): Promise<NodeStatus | null> => {
      const client = await connect(id)
      try {
        const reply = await within(3000, client.call("STEPRAFT", "STATUS"))
        return typeof reply === "string" ? (JSON.parse(reply) as NodeStatus) : null
      } finally {
        client.close()
      }
    }
    return within(3000, ask()).catch(() => null)
  }
  const statuses = (of: readonly string[]): Promise<(NodeStatus | null)[]> => Promise.all(of.map(status))
  const leader = (): Promise<string> =>
    until("a leader that a majority follows", async () => {
      const known = (await statuses(ids)).filter((one) => one !== null)
      const led = known.find(
        (one) =>
          one.role === "leader" &&
          known.filter((other) => other.leader === one.id && other.term === one.term).length > ids.length / 2,
      )
      return led?.id ?? null
    })
  const logs = (): string =>
    ids
      .map((id) =>
        livesOf(id)
          .map(
            (life, n) =>
              `--- ${id}, life ${n + 1}, ${life.running() ? "running" : "ended"}\n${life.output().slice(-6000)}`,
          )
          .join("\n"),
      )
      .join("\n")

  const cluster: Cluster = {
    members,
    ids,
    folder,
    member,
    process: lifeOf,
    running,
    start,
    kill,
    connect,
    status,
    leader,
    logs,
    killAll: async () => {
      for (const id of ids) if (running(id)) lifeOf(id).signal("SIGKILL")
      await Promise.all(ids.map((id) => kill(id)))
    },
    startAll: () => ids.forEach((id) => start(id)),
    signal: (id, signal) => lifeOf(id).signal(signal),
    followers: async () => {
      const first = await leader()
      return ids.filter((id) => id !== first)
    },
    settled: async (of = ids) => {
      let before = -1
      return until(`${of.join(", ")} have applied the same`, async () => {
        const now = await statuses(of)
        const first = now[0]
        const same =
          first !== null &&
          first !== undefined &&
          now.every((one) => one !== null && one.applied === first.applied && one.commitIndex === one.applied)
        const settled = same && first.applied === before
        before = same ? first.applied : -1
        return settled && before
      })
    },
    dispose: async () => {
      await cluster.killAll()
      if (process.env["STEPRAFT_KEEP"] === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      else console.error(`kept: ${folder}`)
      folders.delete(folder)
    },
  }
  cluster.startAll()
  return cluster
}

/**
 * Runs a test on a cluster. If the test fails, the output of the nodes is printed; in any case the cluster is removed
 * afterwards.
 */
export const withCluster = async (
  options: ClusterOptions,
  body: (cluster: Cluster) => Promise<void>,
): Promise<void> => {
  const cluster = await startCluster(options)
  try {
    await cluster.leader()
    await body(cluster)
  } catch (error) {
    console.error(cluster.logs())
    throw error
  } finally {
    await cluster.dispose()
  }
}

/** Everything that the node itself holds, read locally. */
export const contents = async (cluster: Cluster, id: string): Promise<ReadonlyMap<string, string>> => {
  const client = await cluster.connect(id)
  try {
    const readonly = await client.call("READONLY")
    if (readonly instanceof ErrorReply) throw new Error(`${id}: ${readonly.text}`)
    const keys = new Set<string>()
    let cursor = "0"
    do {
      const page = await client.call("SCAN", cursor, "COUNT", 1000)
      if (!Array.isArray(page) || typeof page[0] !== "string" || !Array.isArray(page[1]))
        throw new Error(`${id}: SCAN answered ${JSON.stringify(page)}`)
      cursor = page[0]
      for (const key of page[1]) if (typeof key === "string") keys.add(key)
    } while (cursor !== "0")
    const sorted = [...keys].sort()
    const found = new Map<string, string>()
    for (let at = 0; at < sorted.length; at += 500) {
      const some = sorted.slice(at, at + 500)
      const values = await client.call("MGET", ...some)
      if (!Array.isArray(values)) throw new Error(`${id}: MGET answered ${JSON.stringify(values)}`)
      some.forEach((key, i) => {
        const value: unknown = values[i]
        if (typeof value !== "string") throw new Error(`${id}: ${key} holds ${JSON.stringify(value)}`)
        found.set(key, value)
      })
    }
    return found
  } finally {
    client.close()
  }
}

export const digestOf = (data: ReadonlyMap<string, string>): string => {
  const hash = createHash("sha256")
  for (const [key, value] of data) hash.update(`${key.length}:${key}${value.length}:${value}`)
  return hash.digest("hex")
}

/** The environment of nodes that soon trim their logs. */
export const smallSnapshots = (
  snapshotBytes: number,
  trailingLogBytes: number,
  segmentBytes: number,
): Readonly<Record<string, string>> => ({
  STEPRAFT_SNAPSHOT_BYTES: String(snapshotBytes),
  STEPRAFT_TRAILING_LOG_BYTES: String(trailingLogBytes),
  STEPRAFT_SEGMENT_BYTES: String(segmentBytes),
})
