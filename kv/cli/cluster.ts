/** `stepraft cluster`: a cluster of local processes, watched over until it is told to stop. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { showEndpoint } from "../client/endpoints.ts"
import { type Child, startChild } from "./child.ts"
import { clusterDefaults } from "./defaults.ts"
import { gather, type Known } from "./gather.ts"
import { type Layout, type Member, membersOf, readLayout, writeLayout } from "./layout.ts"
import { busyPorts } from "./ports.ts"
import { failure } from "./runtime.ts"
import { grouped, paintFor, summary } from "./table.ts"

/** What was not given is what the data folder says, else the default. */
export interface ClusterOptions {
  readonly program: string
  readonly data: string
  readonly nodes: number | null
  readonly host: string | null
  readonly port: number | null
  readonly peerPort: number | null
  /** Words that every `serve` gets too. */
  readonly extra: readonly string[]
}
const mostNodes = 99
const quietMs = 10_000

const plan = (options: ClusterOptions): { readonly layout: Layout; readonly isNew: boolean } => {
  const old = readLayout(options.data)
  if (old !== null && options.nodes !== null && options.nodes !== old.nodes)
    throw failure(
      `${options.data} holds a cluster of ${old.nodes} nodes, not of ${options.nodes}. Leave --nodes out to resume it, give another folder with --data, or remove ${options.data} to begin anew (its data is then lost).`,
    )
  const nodes = options.nodes ?? old?.nodes ?? clusterDefaults.nodes
  const port = options.port ?? old?.port ?? clusterDefaults.port
  const peerPort = options.peerPort ?? (options.port === null ? old?.peerPort : undefined) ?? port + clusterDefaults.peerOffset
  if (nodes < 1 || nodes > mostNodes) throw failure(`--nodes must be from 1 to ${mostNodes}`, 2)
  if ([port, peerPort].some((first) => first < 1 || first + nodes - 1 > 65_535)) throw failure("ports go from 1 to 65535", 2)
  if (Math.abs(port - peerPort) < nodes) throw failure(`client ports ${port}–${port + nodes - 1} and peer ports ${peerPort}–${peerPort + nodes - 1} overlap: give another --peer-port`, 2)
  return { layout: { version: 1, nodes, host: options.host ?? old?.host ?? clusterDefaults.host, port, peerPort }, isNew: old === null }
}

const requireFreePorts = async (members: readonly Member[]): Promise<void> => {
  const busy = await busyPorts(members.flatMap(({ id, client, peer }) => [{ what: `clients of ${id}`, endpoint: client }, { what: `the peers of ${id}`, endpoint: peer }]))
  if (busy.length > 0) throw failure(`${busy.join("\n          ")}\n          Nothing was started. Is the cluster running already? Else give other ports with --port and --peer-port.`)
}

const words = (member: Member, members: readonly Member[], options: ClusterOptions, bootstrap: boolean): readonly string[] => [
  options.program, "serve", "--id", member.id, "--data", member.data, "--client", showEndpoint(member.client), "--peer", showEndpoint(member.peer),
  "--peers", members.map(({ id, peer }) => `${id}=${showEndpoint(peer)}`).join(","), ...(bootstrap ? ["--bootstrap"] : []), ...options.extra,
]

const greeting = ({ data }: ClusterOptions, layout: Layout, members: readonly Member[], isNew: boolean): string => {
  const first = members[0]
  const port = layout.port
  return [
    `${isNew ? "A new cluster" : "Resuming the cluster"} of ${layout.nodes} nodes in ${data}`,
    ...members.map(({ id, client, peer, folder }) => `  ${id}  clients ${showEndpoint(client)}  peers ${showEndpoint(peer)}  log ${join(folder, "log.txt")}`),
    "Talk to any of them, in the Redis protocol or with this program:",
    `  redis-cli -h ${first?.client.host ?? layout.host} -p ${port} set greeting hello`,
    `  stepraft get greeting --port ${port}      stepraft status --port ${port}      stepraft bench --port ${port}`,
    "Ctrl-C stops all nodes; the same command resumes them.",
    "",
  ].join("\n")
}

/** One line, redrawn on a terminal; elsewhere a line whenever something changes that a reader of a log would want to know. */
const makeLine = () => {
  const out = process.stdout
  const paint = paintFor(out)
  let drawn = false
  let before = ""
  const erase = (): void => {
    if (drawn) out.write("\r\x1b[K")
    drawn = false
  }
  return {
    say: (text: string): void => {
      erase()
      out.write(`${text}\n`)
    },
    show: (state: string, figures: string): void => {
      if (out.isTTY) {
        erase()
        out.write(`${state}  ${paint.dim(figures)}`)
        drawn = true
      } else if (state !== before) out.write(`${state}\n`)
      before = state
    },
    paint,
  }
}

const watch = async (members: readonly Member[], line: ReturnType<typeof makeLine>, signal: AbortSignal): Promise<void> => {
  const known: Known = new Map(members.map(({ id, client }) => [showEndpoint(client), id]))
  let commit = 0
  let at = 0
  let quiet = true
  const started = performance.now()
  while (!signal.aborted) {
    const cluster = await gather(members.map(({ client }) => client), known, 900)
    const now = performance.now()
    const highest = Math.max(0, ...cluster.nodes.map((node) => node.commit ?? 0))
    const rate = at === 0 || highest < commit ? 0 : ((highest - commit) * 1_000) / (now - at)
    commit = highest
    at = now
    const term = Math.max(0, ...cluster.nodes.map((node) => node.term ?? 0))
    // While the nodes are only starting, that they do not answer yet is no news.
    quiet &&= cluster.leader === null && now - started < quietMs
    if (!signal.aborted && !quiet) line.show(summary(cluster, line.paint), `term ${term} · commit ${grouped(commit)} · ${grouped(rate)} entries/s`)
    await sleep(process.stdout.isTTY ? 1_000 : 500, undefined, { signal }).catch(() => {})
  }
}

export const cluster = async (options: ClusterOptions, signal: AbortSignal): Promise<void> => {
  const { layout, isNew } = plan(options)
  const members = membersOf(options.data, layout)
  await requireFreePorts(members)
  if (isNew || existsSync(options.data)) writeLayout(options.data, layout)
  const line = makeLine()
  line.say(greeting(options, layout, members, isNew))
  const children: readonly Child[] = members.map((member) =>
    startChild({
      id: member.id,
      words: (first) => words(member, members, options, isNew && first),
      logPath: join(member.folder, "log.txt"),
      // The node's own stamp and name would only repeat ours; the log file has the line as it was.
      say: (text) => line.say(`${line.paint.yellow(member.id)} ${text.replace(/^\S+ (warn|error)\s+\S+ /, "$1: ")}`),
    }),
  )
  try {
    await watch(members, line, signal)
  } finally {
    line.say("Stopping the nodes …")
    await Promise.all(children.map((child) => child.stop()))
    line.say("All nodes have stopped.")
  }
}
