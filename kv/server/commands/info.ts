/** INFO: sections of `name:value` lines, with the names that Redis' tools look for, and our own section, raft. Also ROLE. */
import { err, integer } from "../../machine/reply.ts"
import { totalmem } from "node:os"
import type { NodeStatus, Reply } from "../../types.ts"
import type { KeyspaceCount } from "../keyspaceCounter.ts"
import type { Context, ServerHandler, Host } from "../contract.ts"
import { array, bulkText, verbatim } from "../wire/encode.ts"
import { redisVersion } from "./version.ts"
import { serverCommand, tooManyWords, wordAt } from "../words.ts"

type Lines = Readonly<Record<string, string | number>>
interface Asked {
  readonly host: Host
  readonly status: NodeStatus
  /** null: the keys were not counted. */
  readonly counted: KeyspaceCount | null
}

/** Human-readable sizes, as Redis writes them. */
const human = (bytes: number): string => {
  const units = ["B", "K", "M", "G", "T"]
  const power = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10))
  return power === 0 ? `${bytes}B` : `${(bytes / 1024 ** power).toFixed(2)}${units[power] ?? ""}`
}
const milli = (value: number): string => value.toFixed(6)

const server = ({ host, status }: Asked): Lines => ({
  redis_version: redisVersion,
  redis_mode: host.redirect ? "cluster" : "standalone",
  stepraft_version: status.version,
  feature_level: status.features.level,
  feature_level_max: status.features.highest,
  os: `${process.platform} ${process.arch}`,
  arch_bits: 64,
  node_version: process.version,
  process_id: status.pid,
  run_id: status.incarnation,
  tcp_port: host.port(),
  server_time_usec: Math.floor((performance.timeOrigin + performance.now()) * 1000),
  uptime_in_seconds: Math.floor(status.uptimeMs / 1000),
  uptime_in_days: Math.floor(status.uptimeMs / 86_400_000),
})

const clients = ({ host }: Asked): Lines => ({
  connected_clients: host.clientCount(),
  maxclients: host.limits.maxClients,
  cluster_connections: 0,
  blocked_clients: 0,
  tracking_clients: 0,
})

const memory = ({ host: { budget } }: Asked): Lines => {
  const { rss, heapUsed } = process.memoryUsage()
  const peak = process.resourceUsage().maxRSS * 1024
  const total = totalmem()
  return {
    used_memory: heapUsed,
    used_memory_human: human(heapUsed),
    used_memory_rss: rss,
    used_memory_rss_human: human(rss),
    used_memory_peak: peak,
    used_memory_peak_human: human(peak),
    total_system_memory: total,
    total_system_memory_human: human(total),
    used_memory_clients: budget.used,
    clients_memory_budget: budget.limit,
    clients_closed_for_memory: budget.evicted,
    commands_refused_for_memory: budget.refused,
    maxmemory: 0,
    maxmemory_human: human(0),
    maxmemory_policy: "noeviction",
  }
}

/** Clients retry until `loading` is 0. */
const persistence = ({ status }: Asked): Lines => ({
  loading: status.loading ? 1 : 0,
  ...(status.loading ? { loading_eta_seconds: 1 } : {}),
  async_loading: 0,
  aof_enabled: 1,
  rdb_bgsave_in_progress: 0,
  aof_rewrite_in_progress: 0,
})

const stats = ({ host, status }: Asked): Lines => ({
  total_connections_received: host.stats.connections,
  total_commands_processed: host.stats.commands,
  instantaneous_ops_per_sec: host.usage.operations.perSecond(),
  total_net_input_bytes: host.stats.netInput,
  total_net_output_bytes: host.netOutput(),
  instantaneous_input_kbps: (host.usage.input.perSecond() / 1024).toFixed(2),
  expired_keys: status.counters["machine.expired"] ?? 0,
  evicted_keys: 0,
  rejected_connections: host.stats.refused,
  idle_connections_closed: host.stats.idle,
  rejected_connections_of_full_addresses: host.stats.crowded,
  rejected_connections_without_tls_or_certificate: host.stats.unproven,
  unauthenticated_connections_gave_way: host.stats.gaveWay,
  acl_access_denied_auth: host.users?.counts().failed ?? 0,
  acl_access_denied_cmd: host.stats.denied,
  logins_locked_out: host.users?.counts().locked ?? 0,
  total_protocol_errors: host.stats.protocolErrors,
  client_output_buffer_limit_disconnections: host.stats.cutOff,
  total_error_replies: [...host.usage.errors.values()].reduce((sum, count) => sum + count, 0),
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
    master_repl_offset: status.commitIndex,
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
    status.peers.map(({ id, connected, matchIndex, lag, clockOffsetMs }) => [
      `raft_peer_${id}`,
      `connected=${connected ? 1 : 0},match=${matchIndex ?? ""},lag=${lag ?? ""},clock_offset_ms=${clockOffsetMs ?? ""}`,
    ]),
  ),
})

const cpu = (): Lines => {
  const { system, user } = process.cpuUsage()
  return {
    used_cpu_sys: milli(system / 1e6),
    used_cpu_user: milli(user / 1e6),
    used_cpu_sys_children: milli(0),
    used_cpu_user_children: milli(0),
  }
}

const commandstats = ({ host }: Asked): Lines =>
  Object.fromEntries(
    Array.from(host.usage.commands, ([name, { calls, micros, rejected, failed }]) => [
      `cmdstat_${name}`,
      `calls=${calls},usec=${Math.round(micros)},usec_per_call=${(calls === 0 ? 0 : micros / calls).toFixed(2)},rejected_calls=${rejected},failed_calls=${failed}`,
    ]),
  )

const errorstats = ({ host }: Asked): Lines =>
  Object.fromEntries(Array.from(host.usage.errors, ([code, count]) => [`errorstat_${code}`, `count=${count}`]))

const cluster = ({ host }: Asked): Lines => ({ cluster_enabled: host.redirect ? 1 : 0 })

const keyspace = ({ counted }: Asked): Lines =>
  counted === null || counted.keys === 0
    ? {}
    : { db0: `keys=${counted.keys},expires=${counted.expires},avg_ttl=${counted.averageTtl}` }

const sections: Readonly<Record<string, (asked: Asked) => Lines>> = {
  server,
  clients,
  memory,
  persistence,
  stats,
  replication,
  raft,
  cpu,
  modules: () => ({}),
  commandstats,
  errorstats,
  cluster,
  keyspace,
}
const titles: Readonly<Record<string, string>> = { cpu: "CPU" }
const mostSections = 64
/** The sections of the default answer. */
const usual = Object.keys(sections).filter((name) => name !== "commandstats")

const text = (names: readonly string[], asked: Asked): Reply =>
  verbatim(
    names
      .map((name) => {
        const lines = Object.entries(sections[name]?.(asked) ?? {}).map(([key, value]) => `${key}:${value}\r\n`)
        return `# ${titles[name] ?? `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`}\r\n${lines.join("")}`
      })
      .join("\r\n"),
  )

const info: ServerHandler = ({ host }: Context, words) => {
  const many = tooManyWords("INFO", words, mostSections)
  if (many !== null) return many
  const asked = new Set(words.slice(1).map((_, at) => wordAt(words, at + 1)))
  const all = asked.has("everything") || asked.has("all")
  const byDefault = asked.size === 0 || asked.has("default")
  const names = Object.keys(sections).filter((name) => all || asked.has(name) || (byDefault && usual.includes(name)))
  const told = (counted: KeyspaceCount | null): Reply => text(names, { host, status: host.service.status(), counted })
  if (!names.includes("keyspace")) return told(null)
  // A request that names the keyspace section gets the current count.
  const exact = asked.has("keyspace")
  return {
    type: "work.read",
    barrier: false,
    long: exact,
    run: async () => told(await (exact ? host.census.count() : host.census.recent())),
  }
}

const role: ServerHandler = ({ host: { service } }) => {
  const status = service.status()
  const leader = service.leader()
  if (status.role !== "leader")
    return array([
      bulkText("slave"),
      bulkText(leader?.host ?? ""),
      integer(leader?.port ?? 0),
      bulkText(leader === null ? "connect" : "connected"),
      integer(status.applied),
    ])
  const followers = status.peers.flatMap(({ id, client, matchIndex, connected }) => {
    const colon = client?.lastIndexOf(":") ?? -1
    if (client === null || colon < 0 || !connected || id === status.id) return []
    return [
      array([
        bulkText(client.slice(0, colon).replace(/^\[|\]$/gu, "")),
        bulkText(client.slice(colon + 1)),
        bulkText(String(matchIndex ?? 0)),
      ]),
    ]
  })
  return array([bulkText("master"), integer(status.commitIndex), array(followers)])
}

/** Why MONITOR cannot exist: no single place sees all commands, because each node serves its own clients and reads are not in the log. */
const monitor: ServerHandler = () =>
  err(
    "MONITOR is not supported: no node sees the commands of all clients. INFO commandstats counts those of this node, CLIENT LIST shows its clients.",
  )

export const infoCommands = [
  serverCommand("info", -1, info, { flags: ["loading", "stale"], underMulti: "refuse" }),
  serverCommand("role", 1, role, { flags: ["loading", "stale", "fast"] }),
  serverCommand("monitor", 1, monitor, { flags: ["admin", "loading", "stale"] }),
]
