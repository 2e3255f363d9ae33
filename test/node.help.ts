/** Nodes in this process, on free ports, for tests. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { defaultSettings } from "../core/index.ts"
import { serveNode, unsecured, type NodeConfig, type RunningNode, type ServeOptions } from "../kv/node/index.ts"
import type { NodeStatus } from "../kv/types.ts"
import { freePort, temporaryFolder, until } from "./cluster.ts"
import { openResp, type RespClient } from "./resp.ts"

export interface LocalNode {
  readonly id: string
  readonly config: NodeConfig
  running: RunningNode | null
  readonly lines: string[]
  readonly start: (
    change?: Partial<NodeConfig>,
    options?: Pick<ServeOptions, "files" | "filesEveryMs">,
  ) => Promise<RunningNode>
  readonly stop: () => Promise<void>
  readonly status: () => NodeStatus
}
export interface LocalCluster {
  readonly nodes: readonly LocalNode[]
  readonly node: (id: string) => LocalNode
  readonly startAll: () => Promise<void>
  readonly leader: () => Promise<LocalNode>
  readonly connect: (node: LocalNode) => Promise<RespClient>
  readonly dispose: () => Promise<void>
}

export const localCluster = async (size: number, change: Partial<NodeConfig> = {}): Promise<LocalCluster> => {
  const folder = temporaryFolder("stepraft-node-")
  const ports = await Promise.all(
    Array.from({ length: size }, async (_, i) => ({
      id: `n${i + 1}`,
      client: await freePort(),
      peer: await freePort(),
    })),
  )
  const nodes = ports.map(({ id, client, peer }): LocalNode => {
    const config: NodeConfig = {
      id,
      dataDir: `${folder}/${id}`,
      client: { host: "127.0.0.1", port: client },
      peer: { host: "127.0.0.1", port: peer },
      http: null,
      advertise: null,
      advertisePeer: null,
      peers: Object.fromEntries(
        ports.filter((other) => other.id !== id).map((other) => [other.id, { host: "127.0.0.1", port: other.peer }]),
      ),
      redirect: false,
      bootstrap: false,
      logJson: false,
      logLevel: "info",
      settings: defaultSettings,
      service: {},
      space: { lowWater: 1, highWater: 2 },
      segmentBytes: null,
      featureLevelMax: null,
      sessionIdle: null,
      maxClients: null,
      clientIdleTimeout: null,
      clientMemory: null,
      trace: null,
      security: unsecured,
      autopilot: null,
      limits: {},
      maxFailedLogins: null,
      ...change,
    }
    let scope: Scope.Closeable | null = null
    const lines: string[] = []
    const node: LocalNode = {
      id,
      config,
      running: null,
      lines,
      start: async (more = {}, options = {}) => {
        scope = Scope.makeUnsafe()
        node.running = await Effect.runPromise(
          serveNode({ ...config, ...more }, { ...options, log: (level, text) => lines.push(`${level} ${text}`) }).pipe(
            Scope.provide(scope),
          ),
        )
        return node.running
      },
      stop: async () => {
        const open = scope
        scope = null
        node.running = null
        if (open !== null) await Effect.runPromise(Scope.close(open, Exit.void))
      },
      status: () => {
        if (node.running === null) throw new Error(`${id} is down`)
        return node.running.status()
      },
    }
    return node
  })
  const connections: RespClient[] = []
  return {
    nodes,
    node: (id) => {
      const found = nodes.find((node) => node.id === id)
      if (found === undefined) throw new Error(`no node ${id}`)
      return found
    },
    startAll: async () => {
      await Promise.all(nodes.map((node) => node.start()))
    },
    leader: () =>
      until("a leader that a majority follows", () => {
        const known = nodes.filter((node) => node.running !== null).map((node) => ({ node, status: node.status() }))
        return (
          known.find(
            ({ status }) =>
              status.role === "leader" &&
              known.filter((other) => other.status.leader === status.id && other.status.term === status.term).length >
                size / 2,
          )?.node ?? null
        )
      }),
    connect: async (node) => {
      const client = await openResp(node.config.client.port)
      connections.push(client)
      return client
    },
    dispose: async () => {
      for (const client of connections) client.close()
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

export const withLocalCluster = async (
  size: number,
  body: (cluster: LocalCluster) => Promise<void>,
  change: Partial<NodeConfig> = {},
): Promise<void> => {
  const cluster = await localCluster(size, change)
  try {
    await body(cluster)
  } catch (error) {
    for (const node of cluster.nodes) console.error(`--- ${node.id}\n${node.lines.join("\n")}`)
    throw error
  } finally {
    await cluster.dispose()
  }
}
