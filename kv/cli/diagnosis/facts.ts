/**
 * Two looks at every node of a cluster, with a read and a write by a client in between: the input of `doctor` and
 * `diagnostics`.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { ClusterFacts, Look, NodeFacts, Probe } from "../../doctor/facts.ts"
import { type Endpoint, parseEndpoint, showEndpoint } from "../../client/endpoints.ts"
import type { NodeStatus } from "../../types.ts"
import { ask, askStatus, Unasked } from "../ask.ts"
import { recordedClients } from "../cluster/layout.ts"

export interface SurveyOptions {
  readonly endpoints: readonly Endpoint[]
  /** The time limit of each answer. */
  readonly timeoutMs: number
  /** The time between the two looks. */
  readonly intervalMs: number
}

/** Sections of INFO that can be answered without counting keys. */
export const SECTIONS = [
  "server",
  "clients",
  "memory",
  "persistence",
  "stats",
  "replication",
  "raft",
  "cpu",
  "commandstats",
  "errorstats",
]
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const linesOf = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text.split("\r\n").flatMap((line) => {
      const colon = line.indexOf(":")
      return colon <= 0 || line.startsWith("#") ? [] : [[line.slice(0, colon), line.slice(colon + 1)]]
    }),
  )

type Silence = Pick<NodeFacts, "tls"> & { readonly silence: string }
type Seen = { readonly look: Look } | Silence
const lookAt = async (address: string, timeoutMs: number): Promise<Seen> => {
  const endpoint = parseEndpoint(address)
  if (endpoint === null) return { silence: `${address} is not an address` }
  try {
    const status = await askStatus(endpoint, timeoutMs)
    const info = await ask(endpoint, ["INFO", ...SECTIONS], timeoutMs)
    return { look: { status, info: info.type === "bulk" ? linesOf(Buffer.from(info.bytes).toString()) : {} } }
  } catch (error) {
    return { silence: textOf(error), ...(error instanceof Unasked ? { tls: error.tls } : {}) }
  }
}

/** Every node that can be found from these addresses. */
const lookAround = async (addresses: Iterable<string>, timeoutMs: number): Promise<ReadonlyMap<string, Seen>> => {
  const seen = new Map<string, Seen>()
  for (let fresh = [...new Set(addresses)]; fresh.length > 0;) {
    const looks = await Promise.all(fresh.map((address) => lookAt(address, timeoutMs)))
    fresh.forEach((address, i) => seen.set(address, looks[i] ?? { silence: "not asked" }))
    const told = [...seen.values()].flatMap((one) =>
      "look" in one ? one.look.status.peers.flatMap(({ client }) => (client === null ? [] : [client])) : [],
    )
    fresh = [...new Set(told)].filter((address) => !seen.has(address))
  }
  return seen
}

const timed = async (
  kind: Probe["kind"],
  endpoint: Endpoint,
  words: readonly string[],
  timeoutMs: number,
): Promise<Probe & { readonly reply: string | null }> => {
  const begun = performance.now()
  try {
    const reply = await ask(endpoint, words, timeoutMs)
    const ms = performance.now() - begun
    if (reply.type === "error") return { kind, ms, error: reply.code, text: reply.text, reply: null }
    return {
      kind,
      ms,
      error: null,
      text: "",
      reply: reply.type === "bulk" ? Buffer.from(reply.bytes).toString() : null,
    }
  } catch (error) {
    return { kind, ms: performance.now() - begun, error: "SILENT", text: textOf(error), reply: null }
  }
}

/** A linearizable read, and a write that leaves nothing behind: it opens a session and closes it again. */
const probe = async (endpoint: Endpoint, timeoutMs: number): Promise<readonly Probe[]> => {
  const [read, write] = await Promise.all([
    timed("read", endpoint, ["EXISTS", "stepraft:doctor"], timeoutMs),
    timed("write", endpoint, ["STEPRAFT", "SESSION", "OPEN", "doctor"], timeoutMs),
  ])
  if (write.reply !== null) await timed("write", endpoint, ["STEPRAFT", "SESSION", "CLOSE", write.reply], timeoutMs)
  return [read, write].map(({ kind, ms, error, text }) => ({ kind, ms, error, text }))
}

export const collectFacts = async ({ endpoints, timeoutMs, intervalMs }: SurveyOptions): Promise<ClusterFacts> => {
  // If the node that was asked is down, a data folder here may tell where the others are.
  const recorded = new Map(endpoints.flatMap((endpoint) => recordedClients(".stepraft", endpoint)))
  const given = endpoints.map(showEndpoint)
  const begun = performance.now()
  let first = await lookAround(given, timeoutMs)
  if (![...first.values()].some((seen) => "look" in seen))
    first = await lookAround([...given, ...recorded.keys()], timeoutMs)
  const looked = performance.now()
  const probes = new Map<string, readonly Probe[]>()
  const reachable = [...first].flatMap(([address, seen]) => ("look" in seen ? [address] : []))
  await Promise.all([
    sleep(Math.max(0, intervalMs - (looked - begun))),
    ...reachable.map(async (address) => {
      const endpoint = parseEndpoint(address)
      if (endpoint !== null) probes.set(address, await probe(endpoint, timeoutMs))
    }),
  ])
  const apartMs = performance.now() - looked
  const last = await lookAround(first.keys(), timeoutMs)

  const nodes = new Map<string, NodeFacts>()
  const statuses: NodeStatus[] = []
  for (const [address, seen] of last) {
    if (!("look" in seen)) continue
    const { status } = seen.look
    // The same node may be reached at two addresses; it counts once, by its name.
    if (
      nodes.has(status.id) &&
      nodes.get(status.id)?.last?.status.pid === status.pid &&
      nodes.get(status.id)?.client === status.client
    )
      continue
    const earlier = first.get(address)
    const before =
      earlier !== undefined && "look" in earlier && earlier.look.status.id === status.id ? earlier.look : null
    statuses.push(status)
    nodes.set(status.id, {
      id: status.id,
      client: status.client,
      first: before,
      last: seen.look,
      silence: null,
      probes: probes.get(address) ?? [],
    })
  }
  // Nodes that others name and that do not answer; then addresses that do not answer and whose node is unknown.
  for (const { id, client } of statuses.flatMap(({ peers }) => peers)) {
    if (nodes.has(id)) continue
    const seen = client === null ? undefined : last.get(client)
    nodes.set(id, {
      id,
      client,
      first: null,
      last: null,
      ...(client === null
        ? { silence: "no other node knows where it serves clients" }
        : seen !== undefined && "silence" in seen
          ? seen
          : { silence: "another node answers there" }),
      probes: [],
    })
  }
  for (const [address, seen] of last) {
    const id = recorded.get(address) ?? address
    if ("look" in seen || nodes.has(id) || [...nodes.values()].some(({ client }) => client === address)) continue
    nodes.set(id, { id, client: address, first: null, last: null, ...seen, given: given.includes(address), probes: [] })
  }
  return { apartMs, nodes: [...nodes.values()].toSorted((a, b) => a.id.localeCompare(b.id, "en", { numeric: true })) }
}
