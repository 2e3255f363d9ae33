/**
 * The metrics of any server, under names that operators of etcd and hashicorp/raft know. The values of labels are
 * members, rules and reasons.
 */
import { performance } from "node:perf_hooks"
import { configurationOf, votersOf, type Rule } from "../../core/index.ts"
import { counter, gauge, histogram, type Metric } from "../metrics/index.ts"
import { unusableIn } from "../watched.ts"
import { problemsOf } from "./health.ts"
import type { ServerParts } from "./parts.ts"
import { factsOf, statusOf, type ServerStatus } from "./status.ts"

const WINDOW_MS = 5000
/** How busy the main thread was between two samples. */
export const watchLoad = (): { readonly saturation: () => number; readonly stop: () => void } => {
  let last = performance.eventLoopUtilization()
  let before = last
  const timer = setInterval(() => {
    before = last
    last = performance.eventLoopUtilization()
  }, WINDOW_MS).unref()
  return { saturation: () => performance.eventLoopUtilization(before).utilization, stop: () => clearInterval(timer) }
}

/**
 * Rules of core/notes.ts that correct servers never trigger: the core finds a fault in its own state or in a message.
 */
const VIOLATIONS: readonly Rule[] = [
  "halt.logsDiverged",
  "halt.twoLeaders",
  "halt.committedConflict",
  "append.chainBroken",
  "progress.diverged",
  "term.outOfDomain",
]

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000)

const server = (alive: ServerParts, status: ServerStatus): readonly Metric[] => {
  const { counters } = status
  const state = alive.running?.driver.state()
  const troubles = problemsOf(factsOf(alive))
  const unusable = unusableIn(alive.files)
  return [
    {
      type: "gauge",
      name: "server_info",
      help: "Always 1; the labels identify the server.",
      samples: [{ labels: { server_id: status.id, cluster: status.cluster ?? "", version: status.version }, value: 1 }],
    },
    {
      type: "gauge",
      name: "server_trouble",
      help: "1 for each reason why the server is not well, as status and INFO say it; no sample if it is.",
      samples: troubles.map(({ reason }) => ({ labels: { reason }, value: 1 })),
    },
    gauge(
      "server_feature_level",
      "The feature level of the cluster: what its members may write.",
      status.features.level,
    ),
    gauge("server_feature_level_max", "The highest feature level that this server supports.", status.features.highest),
    {
      type: "gauge",
      name: "server_files_unusable",
      help: "1 if the next start could not use these files as they lie there now; the server goes on with earlier ones.",
      samples: alive.files.map(({ kind }) => ({
        labels: { kind },
        value: Number(unusable.some((files) => files.kind === kind)),
      })),
    },
    gauge("server_has_leader", "1 if a leader is known here.", status.leader !== null),
    gauge("server_is_leader", "1 if this server leads.", status.role === "leader"),
    gauge("server_is_learner", "1 if this server is a learner.", status.role === "learner"),
    gauge(
      "server_voters",
      "Voters of the configuration in force.",
      state === undefined ? null : votersOf(configurationOf(state)).length,
    ),
    counter("server_leader_changes_seen_total", "New leaders and terms seen.", alive.leaderChanges),
    counter("server_proposals_committed_total", "Entries committed, as known here.", status.commitIndex),
    counter("server_proposals_applied_total", "Entries executed here.", status.applied),
    gauge(
      "server_proposals_pending",
      "Writes of this server's clients that wait for their outcome.",
      counters["service.waiting"] ?? 0,
    ),
    counter(
      "server_proposals_failed_total",
      "Writes of this server's clients that were given up: never proposed because there was no leader, or with an unknown outcome.",
      (counters["service.noLeader"] ?? 0) + (counters["service.unknown"] ?? 0),
    ),
    counter(
      "server_heartbeat_send_failures_total",
      "Heartbeats that were sent at least one interval late: the loop was busy or the process was paused.",
      counters["loop.lateHeartbeats"] ?? 0,
    ),
    gauge(
      "server_snapshot_apply_in_progress_total",
      "1 while a received snapshot replaces the state.",
      state === undefined ? null : state.restoring !== null,
    ),
    gauge("server_clock_offset_seconds", "Wall clock minus the cluster's time.", seconds(status.clockOffsetMs)),
    gauge("server_space_low", "1 if writes wait for room on this disk.", state === undefined ? null : state.spaceLow),
  ]
}

const disk = (alive: ServerParts): readonly Metric[] => {
  const { storage } = alive
  if (storage === null) return []
  const { syncTimes, free, lowWater } = storage.disk()
  const { bytes, bytesWritten } = storage.stats()
  return [
    histogram(
      "disk_wal_fsync_duration_seconds",
      "Durable writes to the log; one write serves all that waited for it.",
      syncTimes,
    ),
    gauge(
      "disk_wal_write_pending_seconds",
      "For how long the oldest write to the log has not been durable.",
      storage.pending().ms / 1000,
    ),
    counter("disk_wal_write_bytes_total", "Bytes written to the log.", bytesWritten),
    gauge("disk_wal_size_bytes", "Bytes of the log on disk.", bytes),
    gauge("disk_free_bytes", "Free bytes of the disk under the log.", free),
    gauge("disk_low_water_bytes", "Free bytes below which writes are refused.", lowWater),
  ]
}

const network = (alive: ServerParts, { counters }: ServerStatus): readonly Metric[] => {
  const links = alive.transport?.peers() ?? []
  return [
    {
      type: "gauge",
      name: "network_active_peers",
      help: "1 if this peer is connected.",
      samples: links.map(({ name, connected }) => ({ labels: { peer: name }, value: Number(connected) })),
    },
    {
      type: "histogram",
      name: "network_peer_round_trip_time_seconds",
      help: "Round-trip times of keep-alives, one per second.",
      samples: links.map(({ name, roundTrips }) => ({ labels: { peer: name }, value: roundTrips })),
    },
    {
      type: "counter",
      name: "network_peer_sent_failures_total",
      help: "Messages that were not sent, by reason.",
      samples: links.flatMap(({ name, dropped }) =>
        Object.entries(dropped).map(([reason, value]: [string, number]) => ({ labels: { peer: name, reason }, value })),
      ),
    },
    {
      type: "counter",
      name: "network_peer_sent_bytes_total",
      help: "Bytes sent.",
      samples: links.map(({ name, bytesOut }) => ({ labels: { peer: name }, value: bytesOut })),
    },
    {
      type: "counter",
      name: "network_peer_received_bytes_total",
      help: "Bytes received.",
      samples: links.map(({ name, bytesIn }) => ({ labels: { peer: name }, value: bytesIn })),
    },
    {
      type: "counter",
      name: "network_connections_turned_away_total",
      help: "Connections to the port for peers that were refused or understood nothing, by reason.",
      samples: Array.from(alive.transport?.turnedAway() ?? [], ([reason, value]) => ({ labels: { reason }, value })),
    },
    gauge(
      "tls_certificate_begin_timestamp_seconds",
      "When this server's certificate begins, in seconds since 1970; no sample without one.",
      alive.tls === null ? null : Math.floor(alive.tls.begins().getTime() / 1000),
    ),
    gauge(
      "tls_certificate_end_timestamp_seconds",
      "When this server's certificate ends, in seconds since 1970; no sample without one.",
      alive.tls === null ? null : Math.floor(alive.tls.ends().getTime() / 1000),
    ),
    ...(alive.tls === null
      ? []
      : [counter("tls_reloads_total", "Times that changed certificates were taken up.", alive.tls.reloads())]),
    counter("network_snapshot_send_success_total", "Snapshots sent completely.", counters["snapshot.sent"] ?? 0),
    counter(
      "network_snapshot_send_failures_total",
      "Snapshots that could not be read for a peer; they are tried again.",
      counters["snapshot.sendFailed"] ?? 0,
    ),
    counter(
      "network_snapshot_receive_success_total",
      "Snapshots received and installed.",
      counters["snapshot.installed"] ?? 0,
    ),
    counter(
      "network_snapshot_receive_failures_total",
      "Snapshots that failed during the transfer; they start over.",
      counters["snapshot.failed"] ?? 0,
    ),
  ]
}

const raft = (alive: ServerParts, status: ServerStatus, saturation: number): readonly Metric[] => {
  const { counters } = status
  const measures = alive.running?.driver.measures
  return [
    gauge("raft_term", "The current term.", status.term),
    gauge("raft_last_index", "The last entry of the log.", status.lastIndex),
    gauge("raft_commit_index", "The last entry that is known to be committed.", status.commitIndex),
    gauge("raft_applied_index", "The last entry that was executed.", status.applied),
    gauge("raft_snapshot_index", "The last entry that the log no longer holds.", status.snapshotIndex),
    {
      type: "gauge",
      name: "raft_follower_lag_entries",
      help: "On the leader: entries that this follower does not hold.",
      samples: status.peers.flatMap(({ id, lag }) => (lag === null ? [] : [{ labels: { peer: id }, value: lag }])),
    },
    gauge(
      "raft_leader_last_contact_seconds",
      "Since the last byte from the leader; 0 on the leader.",
      seconds(status.lastContactMs),
    ),
    gauge(
      "raft_thread_main_saturation",
      "The fraction of the last seconds in which the main thread was busy: below 0.5 is healthy.",
      saturation,
    ),
    counter(
      "raft_thread_main_stalls_total",
      "Seconds in which the loop stood still for 50 ms or more.",
      counters["loop.stalls"] ?? 0,
    ),
    counter(
      "raft_transition_heartbeat_timeout_total",
      "Elections begun because no leader was heard.",
      counters["election.preCampaign"] ?? 0,
    ),
    counter(
      "raft_transition_leader_lease_timeout_total",
      "Times that a leader heard no majority and stepped down.",
      counters["quorum.lost"] ?? 0,
    ),
    {
      type: "counter",
      name: "raft_invariant_violations_total",
      help: "Faults that no correct server shows, detected by this one. Each must stay 0.",
      samples: VIOLATIONS.map((rule) => ({ labels: { rule }, value: counters[rule] ?? 0 })),
    },
    ...(measures === undefined
      ? []
      : [
          histogram(
            "raft_commit_time_seconds",
            "On the leader: from appending an entry to its commit, one entry at a time.",
            measures.commit,
          ),
          histogram(
            "raft_fsm_apply_seconds",
            "How long the state machine took to execute what it was given.",
            measures.apply,
          ),
        ]),
  ]
}

const ofProcess = (): readonly Metric[] => {
  const { user, system } = process.cpuUsage()
  return [
    counter("process_cpu_seconds_total", "CPU time of the process.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Resident memory.", process.memoryUsage.rss()),
    gauge("process_start_time_seconds", "When the process was started.", Math.round(performance.timeOrigin / 1000)),
  ]
}

export const metricsOf = (alive: ServerParts, saturation: number): readonly Metric[] => {
  const status = statusOf(alive)
  return [
    ...server(alive, status),
    ...raft(alive, status, saturation),
    ...disk(alive),
    ...network(alive, status),
    ...ofProcess(),
  ]
}
