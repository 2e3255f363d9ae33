/** `stepraft bench`: many clients in a closed loop, and the throughput and latency that they measured. */
import { type Endpoint, parseEndpoint } from "../../client/endpoints.ts"
import { access } from "../access.ts"
import { askStatus, Unasked } from "../ask.ts"
import { encodeRequest } from "../../client/resp.ts"
import { gatherStatus, type ClusterStatus } from "../status/gather.ts"
import { type Load, startLoad } from "./load.ts"
import { cpuOf } from "./cpu.ts"
import { type LatencyHistogram, makeLatencyHistogram } from "./histogram.ts"
import { failure } from "../../../interpreters/cli/runtime.ts"
import { grouped, paintFor } from "../../../interpreters/cli/paint.ts"

export interface BenchOptions {
  readonly endpoints: readonly Endpoint[]
  readonly clients: number
  /** null: each client has its own connection. */
  readonly connections: number | null
  readonly pipeline: number
  /** Percentage of GET. */
  readonly reads: number
  readonly valueSize: number
  readonly keys: number
  readonly durationMs: number
  readonly requests: number | null
  readonly consistency: "linearizable" | "local"
  readonly target: "leader" | "all" | "given"
  readonly output: "table" | "json"
}

export interface BenchResult {
  readonly clients: number
  readonly connections: number
  readonly pipeline: number
  readonly reads: number
  readonly valueSize: number
  readonly consistency: string
  readonly endpoints: readonly string[]
  readonly requests: number
  /** Until all connections stood, with TLS and a login. Not part of the seconds. */
  readonly connectMs: number
  readonly seconds: number
  readonly opsPerSecond: number
  readonly latencyMs: {
    readonly mean: number
    readonly p50: number
    readonly p90: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
  readonly errors: Readonly<Record<string, number>>
  /** Microseconds of processor time for each command; of the servers only if they run on this machine. */
  readonly cpuMicros: { readonly client: number; readonly servers: number | null }
}

/** Connections that do not stand by then are not waited for. */
const connectMs = 10_000

const show = ({ host, port }: Endpoint): string => `${host}:${port}`

/** Connections that are lost again and again would not say why. A server that is no node may be measured, too. */
const agreesOnTls = (endpoint: Endpoint): Promise<void> =>
  askStatus(endpoint, 2_000).then(
    () => {},
    (error: unknown) => {
      if (error instanceof Unasked && error.tls !== null) throw failure(`${error.message}. Nothing was measured.`)
    },
  )

const targets = async (
  options: BenchOptions,
): Promise<{ readonly endpoints: readonly Endpoint[]; readonly cluster: ClusterStatus | null }> => {
  const cluster = await gatherStatus(options.endpoints, new Map(), 2_000)
  const answering = cluster.nodes.filter(({ role }) => role !== null)
  if (answering.length === 0) {
    await Promise.all(options.endpoints.map(agreesOnTls))
    return { endpoints: options.endpoints, cluster: null }
  }
  if (options.target === "given") return { endpoints: options.endpoints, cluster }
  const chosen = options.target === "all" ? answering : answering.filter(({ id }) => id === cluster.leader)
  const endpoints = chosen.flatMap(({ client }) => {
    const endpoint = client === null ? null : parseEndpoint(client)
    return endpoint === null ? [] : [endpoint]
  })
  if (endpoints.length === 0) throw failure("the cluster has no leader now; stepraft status tells more")
  return { endpoints, cluster }
}

const makeProgress = (options: BenchOptions) => {
  const out = process.stderr
  if (!out.isTTY) return { draw: (): void => {}, clear: (): void => {} }
  const width = 24
  let last = 0
  return {
    draw: (share: number, done: number, rate: number): void => {
      const full = Math.min(width, Math.round(share * width))
      const moment =
        options.requests === null ? `${((share * options.durationMs) / 1_000).toFixed(0)} s` : grouped(done)
      out.write(`\r\x1b[K${"█".repeat(full)}${"░".repeat(width - full)} ${moment} · ${grouped(rate)} ops/s`)
      last = done
    },
    clear: (): void => void (last > 0 && out.write("\r\x1b[K")),
  }
}

const report = (result: BenchResult, options: BenchOptions): string => {
  const paint = paintFor(process.stdout)
  const { latencyMs: ms } = result
  const figures = (["p50", "p90", "p99", "p999", "max"] as const)
    .map((name) => `${name === "p999" ? "p99.9" : name} ${ms[name].toFixed(2)}`)
    .join("   ")
  const cpu = `client ${result.cpuMicros.client.toFixed(1)}${result.cpuMicros.servers === null ? "" : `, servers together ${result.cpuMicros.servers.toFixed(1)}`}`
  const errors = Object.entries(result.errors).map(([code, times]) => `${grouped(times)} × ${code}`)
  return [
    `${100 - options.reads} % SET, ${options.reads} % GET (${options.consistency}), ${options.valueSize} B values, ${options.clients} clients${result.connections < options.clients ? ` on ${result.connections} connection${result.connections === 1 ? "" : "s"}` : ` × ${options.pipeline}`}, ${result.endpoints.join(", ")}`,
    `${paint.bold(`${grouped(result.opsPerSecond)} ops/s`)}  (${grouped(result.requests)} in ${result.seconds.toFixed(2)} s; connected in ${(result.connectMs / 1_000).toFixed(2)} s)`,
    `latency ms   ${figures}   mean ${ms.mean.toFixed(2)}`,
    `CPU µs/op    ${cpu}`,
    ...(errors.length === 0 ? [] : [paint.red(`errors       ${errors.join(", ")}`)]),
    "",
  ].join("\n")
}

const latencies = (histogram: LatencyHistogram): BenchResult["latencyMs"] => ({
  mean: histogram.mean(),
  p50: histogram.quantile(0.5),
  p90: histogram.quantile(0.9),
  p99: histogram.quantile(0.99),
  p999: histogram.quantile(0.999),
  max: histogram.max(),
})

export const bench = async (options: BenchOptions, signal: AbortSignal): Promise<void> => {
  if (options.reads > 100) throw failure("--reads is a percentage: 0 to 100", 2)
  const connections = Math.min(options.connections ?? options.clients, options.clients)
  const shared = connections < options.clients
  if (shared && options.pipeline > 1)
    throw failure("clients that share connections ask one thing at a time: leave out --pipeline or --connections", 2)
  const { endpoints, cluster } = await targets(options)
  const histogram = makeLatencyHistogram()
  const errors: Record<string, number> = {}
  let left = options.requests ?? Number.POSITIVE_INFINITY
  const pids =
    cluster?.nodes.flatMap(({ pid, client }) =>
      pid !== null && client !== null && parseEndpoint(client)?.host === "127.0.0.1" ? [pid] : [],
    ) ?? []
  const dialled = performance.now()
  const progress = makeProgress(options)

  const { tls, login } = access()
  const loads: Load[] = []
  // What connections cost (a TLS handshake takes milliseconds) is no part of what the commands cost.
  let up = 0
  let begin: () => void = () => {}
  const allUp = new Promise<void>((resolve) => (begin = resolve))
  const running = Array.from({ length: connections }, (_, i) => {
    const endpoint = endpoints[i % endpoints.length]
    if (endpoint === undefined) return Promise.resolve()
    return new Promise<void>((resolve) => {
      loads.push(
        startLoad(
          {
            endpoint,
            callers: shared,
            pipeline: shared ? Math.floor((options.clients + i) / connections) : options.pipeline,
            reads: options.reads,
            valueSize: options.valueSize,
            keys: options.keys,
            tls,
            preamble: [
              ...(login === null ? [] : [encodeRequest(["AUTH", login.username, login.password])]),
              ...(options.consistency === "local" ? [encodeRequest(["READONLY"])] : []),
            ],
          },
          {
            take: (wanted) => {
              const given = Math.min(wanted, left)
              left -= given
              return given
            },
            answered: histogram.record,
            up: () => void (++up === connections && begin()),
            failed: (reason, commands) => {
              errors[reason] = (errors[reason] ?? 0) + Math.max(1, commands)
              if (options.requests !== null) left += commands
            },
            ended: resolve,
          },
        ),
      )
    })
  })
  const stop = (): void => {
    begin()
    for (const load of loads) load.stop()
  }
  signal.addEventListener("abort", stop, { once: true })
  const late = setTimeout(begin, connectMs)
  // If nothing at all was answered for this long, and connections were refused: there is no server.
  const hopeless = setTimeout(
    () => up === 0 && histogram.count() === 0 && Object.keys(errors).length > 0 && stop(),
    3_000,
  )
  await allUp
  clearTimeout(late)
  const connectedAfter = performance.now() - dialled
  const serversBefore = cpuOf(pids)
  const before = process.cpuUsage()
  const started = performance.now()
  for (const load of loads) load.begin()
  const timer = options.requests === null ? setTimeout(stop, options.durationMs) : null
  const ticker = setInterval(() => {
    const elapsed = performance.now() - started
    const share = options.requests === null ? elapsed / options.durationMs : histogram.count() / options.requests
    progress.draw(share, histogram.count(), (histogram.count() * 1_000) / elapsed)
  }, 250)
  await Promise.all(running)
  clearTimeout(hopeless)
  if (timer !== null) clearTimeout(timer)
  clearInterval(ticker)
  progress.clear()

  const seconds = (performance.now() - started) / 1_000
  const requests = histogram.count()
  const used = process.cpuUsage(before)
  const serversAfter = cpuOf(pids)
  const result: BenchResult = {
    clients: options.clients,
    connections,
    pipeline: options.pipeline,
    reads: options.reads,
    valueSize: options.valueSize,
    consistency: options.consistency,
    endpoints: endpoints.map(show),
    requests,
    connectMs: connectedAfter,
    seconds,
    opsPerSecond: requests / seconds,
    latencyMs: latencies(histogram),
    errors,
    cpuMicros: {
      client: (used.user + used.system) / Math.max(1, requests),
      servers:
        serversBefore === null || serversAfter === null ? null : (serversAfter - serversBefore) / Math.max(1, requests),
    },
  }
  process.stdout.write(options.output === "json" ? `${JSON.stringify(result)}\n` : report(result, options))
  if (requests === 0) throw failure(`nothing was answered: ${Object.keys(errors).join(", ") || "no connection"}`)
  if (Object.keys(errors).length > 0) throw failure("", 1)
}
