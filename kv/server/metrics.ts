/** The metrics of the clients' side. Commands are not counted one by one: INFO commandstats does that. */
import { counter, gauge, type Metric } from "../../interpreters/metrics/index.ts"
import type { Host } from "./contract.ts"

export const serverMetrics = ({
  stats,
  usage,
  budget,
  limits,
  clientCount,
  netOutput,
  faults,
  users,
}: Host): readonly Metric[] => [
  gauge("client_connections", "Connections of clients.", clientCount()),
  gauge("client_connections_max", "Limit on connections of clients.", limits.maxClients),
  counter("client_connections_total", "Connections accepted.", stats.connections),
  counter("client_connections_refused_total", "Connections refused because all places were taken.", stats.refused),
  counter(
    "client_connections_cut_total",
    "Connections closed because the client did not read its replies.",
    stats.cutOff,
  ),
  counter(
    "client_connections_crowded_total",
    "Connections refused because their address had too many already.",
    stats.crowded,
  ),
  counter(
    "client_connections_unproven_total",
    "Connections whose TLS handshake failed, or that showed no valid certificate.",
    stats.unproven,
  ),
  counter(
    "client_connections_gave_way_total",
    "Connections without a login that were closed to make room for others.",
    stats.gaveWay,
  ),
  counter(
    "client_requests_denied_total",
    "Commands refused because the user's role does not allow them, or the client is not logged in.",
    stats.denied,
  ),
  ...(users === null
    ? []
    : [
        counter("client_logins_failed_total", "Wrong names and passwords.", users.counts().failed),
        counter(
          "client_logins_locked_total",
          "Logins that were not checked because too many wrong ones came from their address.",
          users.counts().locked,
        ),
      ]),
  counter("client_requests_total", "Commands of clients.", stats.commands),
  {
    type: "counter",
    name: "client_requests_failed_total",
    help: "Commands answered with an error, by its first word (NOLEADER, UNKNOWN, BUSY: the cluster; ERR, WRONGTYPE: the client).",
    samples: Array.from(usage.errors, ([code, value]) => ({ labels: { code }, value })),
  },
  {
    type: "histogram",
    name: "client_request_duration_seconds",
    help: "From reading a command to answering it, for commands that went to the state machine.",
    samples: (["write", "read"] as const).map((kind) => ({ labels: { kind }, value: usage.durations[kind] })),
  },
  counter("client_received_bytes_total", "Bytes from clients.", stats.netInput),
  counter("client_sent_bytes_total", "Bytes to clients.", netOutput()),
  gauge("client_memory_bytes", "Memory used for clients, by their requests and unread replies.", budget.used),
  gauge("client_memory_max_bytes", "Memory that clients may hold together.", budget.limit),
  counter(
    "client_internal_errors_total",
    "Commands that ended in an exception: a bug; the log has the stack.",
    faults.count,
  ),
]
