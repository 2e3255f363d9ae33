/** `stepraft cluster`: runs and supervises a cluster of local processes until it is told to stop. */
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { DirectoryLocked, type DirectoryLock, LockLost, nodeFiles, takeLock } from "../../../interpreters/file/index.ts"
import { type Endpoint, showEndpoint } from "../../client/endpoints.ts"
import { exposed } from "../../../interpreters/node/index.ts"
import { decodeConfig, type InvalidConfig } from "../../node/index.ts"
import { type Child, startChild } from "./child.ts"
import { clusterDefaults } from "../serve/defaults.ts"
import { makeFolders } from "../../../interpreters/cli/folders.ts"
import { gatherStatus, type KnownNodes } from "../status/gather.ts"
import { type Layout, type LayoutNode, nodesOf, readLayout, writeLayout } from "./layout.ts"
import { busyPorts } from "./ports.ts"
import { makeSecure, secureHints, secureSettings, secureArguments, useAdminAccess } from "./secure.ts"
import { grouped, paintFor } from "../../../interpreters/cli/paint.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { changeOf, summary } from "../status/table.ts"

/** Options that were not given have the values recorded in the data folder, otherwise the defaults. */
export interface LocalClusterOptions {
  readonly program: string
  readonly data: string
  readonly nodes: number | null
  readonly host: string | null
  readonly port: number | null
  readonly peerPort: number | null
  /** 0: no HTTP port. */
  readonly httpPort: number | null
  /** Settings that every `serve` gets too. */
  readonly config: string | null
  readonly redirect: boolean
  /** Sets up certificates, users and roles; a folder that has them keeps them. */
  readonly tls: boolean
}
const mostNodes = 99
const quietMs = 10_000

const plan = (options: LocalClusterOptions): { readonly layout: Layout; readonly isNew: boolean } => {
  if (options.data === "") throw failure("--data names no folder", exitCodes.usage)
  const old = readLayout(options.data)
  if (old !== null && options.nodes !== null && options.nodes !== old.nodes)
    throw failure(
      `${options.data} holds a cluster of ${old.nodes} nodes, not of ${options.nodes}. Leave --nodes out to resume it, give another folder with --data, or remove ${options.data} to start a new cluster (its data are then lost).`,
    )
  const nodes = options.nodes ?? old?.nodes ?? clusterDefaults.nodes
  const port = options.port ?? old?.port ?? clusterDefaults.port
  const peerPort =
    options.peerPort ?? (options.port === null ? old?.peerPort : undefined) ?? port + clusterDefaults.peerOffset
  if (nodes < 1 || nodes > mostNodes) throw failure(`--nodes must be from 1 to ${mostNodes}`, 2)
  const httpPort =
    options.httpPort ?? (options.port === null ? old?.httpPort : undefined) ?? port + clusterDefaults.httpOffset
  const ranges = [
    ["client", port],
    ["peer", peerPort],
    ...(httpPort === 0 ? [] : [["http", httpPort] as const]),
  ] as const
  for (const [what, first] of ranges)
    if (first < 1 || first + nodes - 1 > 65_535)
      throw failure(
        `ports go from 1 to 65535, and the ${what} ports would be ${first}–${first + nodes - 1}${what === "client" ? "" : `: give another --${what}-port`}`,
        2,
      )
  ranges.forEach(([what, first], i) => {
    for (const [before, other] of ranges.slice(0, i))
      if (Math.abs(first - other) < nodes)
        throw failure(
          `${before} ports ${other}–${other + nodes - 1} and ${what} ports ${first}–${first + nodes - 1} overlap: give another --${what}-port`,
          2,
        )
  })
  return {
    layout: {
      version: 1,
      nodes,
      host: options.host ?? old?.host ?? clusterDefaults.host,
      port,
      peerPort,
      httpPort,
      tls: options.tls || (old?.tls ?? false),
    },
    isNew: old === null,
  }
}

const requireFreePorts = async (members: readonly LayoutNode[]): Promise<void> => {
  const busy = await busyPorts(
    members.flatMap(({ id, client, peer, http }) => [
      { what: `clients of ${id}`, endpoint: client },
      { what: `the peers of ${id}`, endpoint: peer },
      ...(http === null ? [] : [{ what: `metrics of ${id}`, endpoint: http }]),
    ]),
  )
  if (busy.length > 0)
    throw failure(
      `${busy.join("\n          ")}\n          Nothing was started. Is the cluster running already? Otherwise give other ports with --port, --peer-port and --http-port.`,
    )
}

const words = (
  member: LayoutNode,
  members: readonly LayoutNode[],
  options: LocalClusterOptions,
  tls: boolean,
  bootstrap: boolean,
): readonly string[] => [
  options.program,
  "serve",
  "--id",
  member.id,
  "--data",
  member.data,
  "--client",
  showEndpoint(member.client),
  "--peer",
  showEndpoint(member.peer),
  ...(member.http === null ? [] : ["--http", showEndpoint(member.http)]),
  "--peers",
  members.map(({ id, peer }) => `${id}=${showEndpoint(peer)}`).join(","),
  ...(bootstrap ? ["--bootstrap"] : []),
  ...(options.config === null ? [] : ["--config", options.config]),
  ...(options.redirect ? ["--redirect"] : []),
  ...(tls ? secureArguments(options.data, member.id) : []),
]

/** A node has flags of its own against what comes of the host that was given here. */
const problemOf = ({ field, message }: InvalidConfig, { host, port }: Endpoint, tls: boolean): string =>
  !tls && (field === "peer" || field === "client") && exposed([{ host, port }]) !== null
    ? `--host ${host} can be reached from other machines, and without TLS whoever reaches it can read and change everything. Nothing was started. Give --tls too: certificates and users are made for you. Or leave --host out; or accept it, with STEPRAFT_PLAINTEXT=peers,clients in the environment.`
    : message

/**
 * A wrong setting (in the file or the environment) is wrong for every node: it is reported once, before anything is
 * started.
 */
export const requireConfig = async (
  members: readonly LayoutNode[],
  { data: folder, config, redirect }: Pick<LocalClusterOptions, "data" | "config" | "redirect">,
  tls: boolean,
): Promise<void> => {
  const peers = Object.fromEntries(members.map(({ id, peer }) => [id, showEndpoint(peer)]))
  for (const { id, data, client, peer } of members) {
    const settings = { id, data, client: showEndpoint(client), peer: showEndpoint(peer), peers, redirect }
    const flags = { ...settings, ...(tls ? secureSettings(folder, id) : {}) }
    const decoded = await Effect.runPromise(
      Effect.result(decodeConfig({ flags, ...(config === null ? {} : { file: config }) })),
    )
    if (Result.isFailure(decoded)) throw failure(problemOf(decoded.failure, client, tls), exitCodes.usage)
  }
}

/** One cluster per folder at a time: a second one, even with other ports, would run the same nodes. */
const lockFolder = async (folder: string): Promise<DirectoryLock> => {
  try {
    makeFolders(folder)
    return await takeLock(nodeFiles, folder)
  } catch (error) {
    throw error instanceof DirectoryLocked
      ? failure(
          `${folder} is in use by another "stepraft cluster" (${error.holder}). Nothing was started. Stop that one, or give another folder with --data.`,
        )
      : failure(
          `${folder} cannot be used: ${error instanceof Error ? error.message : String(error)}. Nothing was started. Give a folder with --data that this user can write to.`,
        )
  }
}

/** The commands in it can be copied. */
export const greeting = (data: string, layout: Layout, members: readonly LayoutNode[], isNew: boolean): string => {
  const { host, port } = layout
  const at = host === clusterDefaults.host ? `--port ${port}` : `--host ${host} --port ${port}`
  return [
    `${isNew ? "A new cluster" : "Resuming the cluster"} of ${layout.nodes} nodes in ${data}`,
    ...members.map(
      ({ id, client, peer, http, folder }) =>
        `  ${id}  clients ${showEndpoint(client)}  peers ${showEndpoint(peer)}${http === null ? "" : `  http ${showEndpoint(http)}`}  log ${join(folder, "log.txt")}`,
    ),
    "Talk to any of them, in the Redis protocol or with this program:",
    ...(layout.tls ? secureHints(data, layout) : [`  redis-cli -h ${host} -p ${port} set greeting hello`]),
    `  stepraft get greeting ${at}      stepraft status ${at}      stepraft bench ${at}`,
    "Ctrl-C stops all nodes; the same command resumes them.",
    "",
  ].join("\n")
}

/** One status line, redrawn on a terminal; in a pipe a new line whenever something important changes. */
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
    show: (state: string, change: string, figures: string): void => {
      if (out.isTTY) {
        erase()
        out.write(`${state}  ${paint.dim(figures)}`)
        drawn = true
      } else if (change !== before) out.write(`${state}\n`)
      before = change
    },
    paint,
  }
}

/** Runs until it is told to stop, or no node can be helped by a restart. */
const watch = async (
  folder: string,
  members: readonly LayoutNode[],
  children: readonly Child[],
  lock: DirectoryLock,
  line: ReturnType<typeof makeLine>,
  signal: AbortSignal,
): Promise<void> => {
  const known: KnownNodes = new Map(members.map(({ id, client }) => [showEndpoint(client), id]))
  let commit = 0
  let at = 0
  let quiet = true
  const started = performance.now()
  while (!signal.aborted) {
    const cluster = await gatherStatus(
      members.map(({ client }) => client),
      known,
      900,
    )
    const now = performance.now()
    const highest = Math.max(0, ...cluster.nodes.map((node) => node.commit ?? 0))
    const rate = at === 0 || highest < commit ? 0 : ((highest - commit) * 1_000) / (now - at)
    commit = highest
    at = now
    const term = Math.max(0, ...cluster.nodes.map((node) => node.term ?? 0))
    // While the nodes are starting, it is not worth a line that they do not answer yet.
    quiet &&= cluster.leader === null && now - started < quietMs
    if (!signal.aborted && !quiet)
      line.show(
        summary(cluster, line.paint),
        changeOf(cluster),
        `term ${term} · commit ${grouped(commit)} · ${grouped(rate)} entries/s`,
      )
    if (children.every((child) => child.givenUp()))
      throw failure(
        "none of the nodes can run; the reason that each of them gave is above. Fix that, then run the same command again.",
      )
    await lock.renew().catch((error: unknown) => {
      if (error instanceof LockLost)
        throw failure(
          `${folder} no longer belongs to this cluster: it was removed, or its lock was. Its nodes are stopped. See that nothing else uses it, then run the same command again.`,
        )
    })
    await sleep(process.stdout.isTTY ? 1_000 : 500, undefined, { signal }).catch(() => {})
  }
}

export const runLocalCluster = async (options: LocalClusterOptions, signal: AbortSignal): Promise<void> => {
  // The nodes' logs are for this user only, like their data.
  process.umask(0o077)
  const { layout, isNew } = plan(options)
  const members = nodesOf(options.data, layout)
  await requireConfig(members, options, layout.tls)
  await requireFreePorts(members)
  const lock = await lockFolder(options.data)
  try {
    writeLayout(options.data, layout)
    if (layout.tls) {
      await makeSecure(options.data, layout.host, members)
      useAdminAccess(options.data)
    }
    await run(options, layout, members, isNew, lock, signal)
  } finally {
    // A lock that is left behind belongs to a dead process, so the next start removes it; and the folder may be gone.
    await lock.release().catch(() => undefined)
  }
}

const run = async (
  options: LocalClusterOptions,
  layout: Layout,
  members: readonly LayoutNode[],
  isNew: boolean,
  lock: DirectoryLock,
  signal: AbortSignal,
): Promise<void> => {
  const line = makeLine()
  line.say(greeting(options.data, layout, members, isNew))
  const children: readonly Child[] = members.map((member) =>
    startChild({
      id: member.id,
      words: (first) => words(member, members, options, layout.tls, isNew && first),
      logPath: join(member.folder, "log.txt"),
      // The node's own time and name would only repeat ours; the log file has the line unchanged.
      say: (text) => line.say(`${line.paint.yellow(member.id)} ${text.replace(/^\S+ (warn|error)\s+\S+ /, "$1: ")}`),
    }),
  )
  try {
    await watch(options.data, members, children, lock, line, signal)
  } finally {
    line.say("Stopping the nodes …")
    await Promise.all(children.map((child) => child.stop()))
    line.say("All nodes have stopped.")
  }
}
