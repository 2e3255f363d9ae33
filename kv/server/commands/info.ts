/** INFO: sections of `name:value` lines, under the names that Redis' tools look for, and one of our own, raft. */
import type { NodeStatus, Reply } from "../../types.ts"
import type { Context, Handler, Host } from "../contract.ts"
import { bulk } from "../encode.ts"
import { redisVersion } from "../version.ts"
import { own, tooManyWords, wordAt } from "../words.ts"

type Lines = Readonly<Record<string, string | number>>
interface Asked {
  readonly host: Host
  readonly status: NodeStatus
  /** null: not counted. */
  readonly keys: number | null
}

const server = ({ host, status }: Asked): Lines => ({
  redis_version: redisVersion,
  redis_mode: host.redirect ? "cluster" : "standalone",
  stepraft_version: status.version,
  os: `${process.platform} ${process.arch}`,
  node_version: process.version,
  process_id: status.pid,
  run_id: status.incarnation,
  tcp_port: host.port(),
  uptime_in_seconds: Math.floor(status.uptimeMs / 1000),
  uptime_in_days: Math.floor(status.uptimeMs / 86_400_000),
})

const clients = ({ host }: Asked): Lines => ({
  connected_clients: host.clientCount(),
  maxclients: host.limits.maxClients,
  blocked_clients: 0,
})

const memory = ({ host: { budget } }: Asked): Lines => {
  const { rss, heapUsed } = process.memoryUsage()
  return {
    used_memory: heapUsed,
    used_memory_rss: rss,
    used_memory_clients: budget.used,
    clients_memory_budget: budget.limit,
    clients_closed_for_memory: budget.evicted,
    commands_refused_for_memory: budget.refused,
    maxmemory: 0,
    maxmemory_policy: "noeviction",
  }
}

/** Clients ask again until `loading` is 0. */
const persistence = ({ status }: Asked): Lines => ({ loading: status.loading ? 1 : 0, ...(status.loading ? { loading_eta_seconds: 1 } : {}), async_loading: 0, aof_enabled: 1, rdb_bgsave_in_progress: 0, aof_rewrite_in_progress: 0 })

const stats = ({ host }: Asked): Lines => ({
  total_connections_received: host.stats.connections,
  total_commands_processed: host.stats.commands,
  total_net_input_bytes: host.stats.netInput,
  rejected_connections: host.stats.refused,
  idle_connections_closed: host.stats.idle,
  total_protocol_errors: host.stats.protocolErrors,
  client_output_buffer_limit_disconnections: host.stats.cutOff,
  internal_errors: host.faults.count,
})

const replication = ({ host, status }: Asked): Lines => {
  const leader = host.service.leader()
  if (status.role === "leader")
    return {
      role: "master",
      connected_slaves: status.peers.filter(({ id, connected }) => connected && id !== status.id).length,
      master_repl_offset: status.commitIndex,
    }
  return {
    role: "slave",
    master_host: leader?.host ?? "",
    master_port: leader?.port ?? 0,
    master_link_status: leader === null ? "down" : "up",
    slave_read_only: 0,
    slave_repl_offset: status.applied,
    connected_slaves: 0,
  }
}

const raft = ({ status }: Asked): Lines => ({
  raft_node: status.id,
  raft_incarnation: status.incarnation,
  raft_cluster: status.cluster ?? "",
  raft_role: status.role,
  raft_term: status.term,
  raft_leader: status.leader ?? "",
  raft_last_index: status.lastIndex,
  raft_commit_index: status.commitIndex,
  raft_applied: status.applied,
  raft_snapshot_index: status.snapshotIndex,
  raft_log_bytes: status.logBytes,
  raft_health: status.health,
  raft_clock_offset_ms: status.clockOffsetMs ?? "",
  ...Object.fromEntries(
    status.peers.map(({ id, connected, matchIndex, lag, clockOffsetMs }) => [`raft_peer_${id}`, `connected=${connected ? 1 : 0},match=${matchIndex ?? ""},lag=${lag ?? ""},clock_offset_ms=${clockOffsetMs ?? ""}`]),
  ),
})

const cluster = ({ host }: Asked): Lines => ({ cluster_enabled: host.redirect ? 1 : 0 })

const keyspace = ({ keys }: Asked): Lines => (keys === null || keys === 0 ? {} : { db0: `keys=${keys},expires=0,avg_ttl=0` })

const sections: Readonly<Record<string, (asked: Asked) => Lines>> = { server, clients, memory, persistence, stats, replication, raft, cluster, keyspace }
const mostSections = 64
const everything: readonly string[] = ["all", "everything"]

const text = (names: readonly string[], asked: Asked): Reply =>
  bulk(
    names
      .map((name) => {
        const lines = Object.entries(sections[name]?.(asked) ?? {}).map(([key, value]) => `${key}:${value}\r\n`)
        return `# ${name.slice(0, 1).toUpperCase()}${name.slice(1)}\r\n${lines.join("")}`
      })
      .join("\r\n"),
  )

const counted = async (host: Host): Promise<number | null> => {
  const reply = await host.service.reader.read([Buffer.from("DBSIZE")])
  return reply.type === "integer" ? Number(reply.value) : null
}

const info: Handler = ({ host }: Context, words) => {
  const many = tooManyWords("INFO", words, mostSections)
  if (many !== null) return many
  const asked = words.slice(1).map((_, at) => wordAt(words, at + 1))
  const all = asked.some((name) => everything.includes(name))
  // Counting the keys reads all of them, and every client of some libraries asks for INFO as it connects.
  const usual = Object.keys(sections).filter((name) => name !== "keyspace")
  const names = all ? Object.keys(sections) : asked.length === 0 || asked.includes("default") ? usual : Object.keys(sections).filter((name) => asked.includes(name))
  if (!names.includes("keyspace")) return text(names, { host, status: host.service.status(), keys: null })
  return {
    type: "work.read",
    barrier: false,
    long: true,
    run: async () => text(names, { host, status: host.service.status(), keys: await counted(host) }),
  }
}

export const infoCommands = [own("info", -1, info, { flags: ["loading", "stale"], underMulti: "refuse" })]
