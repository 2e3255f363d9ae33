/** The flags and the help of cluster, serve, status and bench. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigSources } from "../node/config.ts"
import { clusterDefaults } from "./serve/defaults.ts"
import { choice, described, intFlag, maybe, maybeInt, maybeString, output } from "../../interpreters/cli/flags.ts"
import { asDaemon, attempt, attemptToTheEnd, Command, Flag } from "../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "./endpointFlags.ts"
import { tuningFlags } from "./serve/tuning.ts"

const off = (name: string, text: string) => Flag.Boolean(name).pipe(Flag.withDescription(text), Flag.withDefault(false))

export const clusterCommand = (program: string) =>
  Command.make(
    "cluster",
    {
      nodes: maybeInt(
        "nodes",
        described("Number of nodes; an existing data folder keeps its number", clusterDefaults.nodes),
      ),
      port: maybeInt(
        "port",
        described("Client port of the first node; the others follow (7001, 7002, …)", clusterDefaults.port),
      ).pipe(Flag.withAlias("p")),
      peerPort: maybeInt(
        "peer-port",
        described(
          "Port of the first node for its peers; the others follow",
          `--port + ${clusterDefaults.peerOffset}, so ${clusterDefaults.port + clusterDefaults.peerOffset}, …`,
        ),
      ),
      httpPort: maybeInt(
        "http-port",
        described(
          "HTTP port of the first node, for /metrics, /livez and /readyz; the others follow; 0: none",
          `--port + ${clusterDefaults.httpOffset}, so ${clusterDefaults.port + clusterDefaults.httpOffset}, …`,
        ),
        0,
      ),
      host: maybeString("host", described("Address to listen on", clusterDefaults.host)),
      data: Flag.String("data").pipe(
        Flag.withDescription(described("Folder of the cluster; created if absent, resumed if present", ".stepraft")),
        Flag.withDefault(".stepraft"),
      ),
      config: maybeString("config", "JSON file with settings for every node, as for serve"),
      redirect: off("redirect", "Followers answer MOVED instead of forwarding"),
      tls: off(
        "tls",
        "TLS on every port, users and roles: the certificates and users are created in the folder once and kept",
      ),
    },
    (o) =>
      asDaemon(
        attemptToTheEnd(async (signal) => {
          const { runLocalCluster } = await import("./cluster/cluster.ts")
          await runLocalCluster(
            {
              program,
              data: o.data,
              nodes: maybe(o.nodes),
              host: maybe(o.host),
              port: maybe(o.port),
              peerPort: maybe(o.peerPort),
              httpPort: maybe(o.httpPort),
              config: maybe(o.config),
              redirect: o.redirect,
              tls: o.tls,
            },
            signal,
          )
        }),
      ),
  ).pipe(
    Command.withShortDescription("Run a whole cluster on this machine"),
    Command.withDescription(
      "Run a whole cluster on this machine: each node is a process of its own, restarted when it ends, and logs to DATA/n1/log.txt. Ctrl-C stops all nodes; the same command resumes them with their data. A node that stops for a reason that a restart would not remove is not started again, and the others continue. Exit code 0 after a stop, 1 if it could not start (a port or the folder is in use, or the folder has another number of nodes) or no node is left.",
    ),
    Command.withExamples([
      {
        command: "stepraft cluster",
        description: "three nodes: clients on 7001–7003, peers on 8001–8003, data in .stepraft",
      },
      { command: "stepraft cluster --nodes 5 --port 7101 --data /tmp/five", description: "five of them, elsewhere" },
      { command: "redis-cli -p 7001 set greeting hello", description: "talk to any node" },
    ]),
  )

/** The flags that were given, as settings. */
export const givenSettings = (flags: Readonly<Record<string, unknown>>): ConfigSources["flags"] =>
  Object.fromEntries(
    Object.entries(flags).flatMap(([name, value]) =>
      name === "config" ? [] : [[name, Option.isOption(value) ? Option.getOrUndefined<unknown>(value) : value]],
    ),
  )

export const serveCommand = Command.make(
  "serve",
  {
    id: maybeString("id", "Name of this node, as in --peers"),
    data: maybeString("data", "Folder of this node's data"),
    client: maybeString("client", "HOST:PORT where this node listens for clients (the Redis protocol)"),
    peer: maybeString("peer", "HOST:PORT where this node listens for the other nodes"),
    http: maybeString("http", "HOST:PORT for /metrics (Prometheus), /livez and /readyz (default: none)"),
    peers: maybeString(
      "peers",
      "All nodes of the cluster, this one too: n1=HOST:PORT,n2=HOST:PORT,…; for a node that joins later some members are enough",
    ),
    advertise: maybeString(
      "advertise",
      "HOST:PORT where clients find this node, if that is not where it listens (default: --client)",
    ),
    advertisePeer: maybeString(
      "advertise-peer",
      "HOST:PORT where the other nodes find this one (default: its entry in --peers, else --peer); none: they use their own --peers only",
    ),
    bootstrap: off(
      "bootstrap",
      "Insist on a new cluster of --peers: if one of them holds data already, exit instead of waiting to become a member. Only for the very first start, if at all",
    ),
    redirect: off("redirect", "Answer MOVED with the leader's address, instead of forwarding"),
    tlsCert: maybeString(
      "tls-cert",
      "File (PEM) with this node's certificate: TLS on every port (stepraft cert makes it)",
    ),
    tlsKey: maybeString("tls-key", "File (PEM) with its key"),
    tlsCa: maybeString(
      "tls-ca",
      "File (PEM) with the cluster's certificate authority, or several: only their certificates count",
    ),
    tlsAuthClients: Flag.Literals("tls-auth-clients", ["no", "optional", "yes"]).pipe(
      Flag.withDescription("Whether clients must show a certificate (default: yes; with --users: optional)"),
      Flag.optional,
    ),
    plaintext: maybeString(
      "plaintext",
      "Which of peers,clients,http may go without TLS although other machines can reach them. Whoever reaches the peers' port can destroy the cluster",
    ),
    users: maybeString("users", "File of users: a name, a role and a hash in each line (stepraft user hash)"),
    trace: maybeString(
      "trace",
      "File for a trace, one line per batch: what was asked for, and how far log, disk, commit and execution have come (default: none)",
    ),
    config: maybeString("config", "JSON file with settings; flags and STEPRAFT_* variables take precedence"),
    ...tuningFlags,
  },
  (o) =>
    asDaemon(
      Effect.suspend(() =>
        attempt(() => import("./serve/serve.ts")).pipe(
          Effect.flatMap(({ serve }) => serve(givenSettings(o), maybe(o.config))),
        ),
      ),
    ),
).pipe(
  Command.withShortDescription("Run one node"),
  Command.withDescription(
    "Run one node of a cluster. What is not given as a flag is taken from the environment (STEPRAFT_ID, STEPRAFT_DATA, STEPRAFT_CLIENT, STEPRAFT_PEER, STEPRAFT_PEERS, …), then from the JSON file. SIGTERM hands leadership over and stops the node, with exit code 0. Exit code 1 means that the node stopped itself and logged why; 3 means that a restart would not help (in a unit file: RestartPreventExitStatus=2 3). Defaults, and when to change one: kv/SETTINGS.md.",
  ),
  Command.withExamples([
    {
      command:
        "stepraft serve --id n1 --data /var/lib/stepraft --client 10.0.0.1:7001 --peer 10.0.0.1:8001 --peers n1=10.0.0.1:8001,n2=10.0.0.2:8001,n3=10.0.0.3:8001",
      description: "the first of three; likewise n2 and n3, each with its own name and addresses, in any order",
    },
    { command: "stepraft serve --config /etc/stepraft.json", description: "all from a file" },
  ]),
)

export const statusCommand = Command.make(
  "status",
  {
    ...endpointFlags,
    output,
    watch: off(
      "watch",
      "Repeat: redrawn on a terminal; in a pipe one line per change, or with -o json one line per interval",
    ),
    interval: intFlag("interval", "Milliseconds between two updates with --watch", 1_000, 100),
    timeout: intFlag("timeout", "Milliseconds that a node has for its answer", 1_500, 10),
  },
  (o) =>
    attempt(async (signal) =>
      (await import("./status/status.ts")).status(
        { endpoints: endpointsOf(o), output: o.output, watch: o.watch, intervalMs: o.interval, timeoutMs: o.timeout },
        signal,
      ),
    ),
).pipe(
  Command.withShortDescription("Show every node in one table"),
  Command.withDescription(
    "Show every node in one table: its role, term, log, how far it lags behind the leader, and whether it is healthy. One node is asked, the others are found through it. Exit code 0 if there is a leader and every node is healthy, otherwise 1.",
  ),
  Command.withExamples([
    { command: "stepraft status", description: "the cluster that has a node on port 7001" },
    { command: "stepraft status -o json | jq -r .leader", description: "for scripts" },
    { command: "stepraft status --watch", description: "keep looking" },
  ]),
)

export const benchCommand = Command.make(
  "bench",
  {
    ...endpointFlags,
    clients: intFlag("clients", "Clients; each sends the next batch when its last one is answered", 64).pipe(
      Flag.withAlias("c"),
    ),
    connections: maybeInt(
      "connections",
      "Connections that all clients share, as in a program with a connection pool (default: one each)",
    ),
    pipeline: intFlag("pipeline", "Commands in one batch", 1).pipe(Flag.withAlias("P")),
    reads: intFlag("reads", "Percentage of GET; the rest is SET", 0, 0, 100),
    valueSize: intFlag("value-size", "Bytes of a value", 256, 0),
    keys: intFlag("keys", "How many different keys (16 bytes each), taken at random", 100_000),
    duration: intFlag("duration", "Seconds to run, unless --requests is given", 10, 1, 1_000_000),
    requests: maybeInt("requests", "Run until this many commands are answered"),
    consistency: choice(
      "consistency",
      ["linearizable", "local"],
      "Linearizable reads, or local reads of what the asked node has applied",
      "linearizable",
    ),
    target: choice(
      "target",
      ["leader", "all", "given"],
      "Nodes to connect to: the leader, all in turn, or just those given",
      "leader",
    ),
    output: choice("output", ["table", "json"], "Form of the output", "table").pipe(Flag.withAlias("o")),
  },
  (o) =>
    attempt(async (signal) => {
      const { bench } = await import("./bench/bench.ts")
      await bench(
        {
          endpoints: endpointsOf(o),
          clients: o.clients,
          connections: maybe(o.connections),
          pipeline: o.pipeline,
          reads: o.reads,
          valueSize: o.valueSize,
          keys: o.keys,
          durationMs: o.duration * 1_000,
          requests: maybe(o.requests),
          consistency: o.consistency,
          target: o.target,
          output: o.output,
        },
        signal,
      )
    }),
).pipe(
  Command.withShortDescription("Measure throughput and latency"),
  Command.withDescription(
    "Measure throughput and latency with plain connections in a closed loop. It writes keys named key:000000000000 and up, and leaves them there. Exit code 0 if every command was answered without an error, otherwise 1.",
  ),
  Command.withExamples([
    { command: "stepraft bench", description: "SET for 10 s on 64 connections to the leader" },
    {
      command: "stepraft bench --reads 90 --pipeline 16 --target all",
      description: "mostly reads, pipelined, on all nodes",
    },
    { command: "stepraft bench --reads 50 --connections 1", description: "half reads, 64 callers on one connection" },
    { command: "stepraft bench --requests 100000 -o json", description: "for scripts" },
  ]),
)
