/** Collects the state of a whole cluster from the nodes that answer. */
import { type Endpoint, parseEndpoint, showEndpoint } from "../../client/endpoints.ts"
import type { NodeStatus, PeerStatus } from "../../types.ts"
import { askStatus } from "../ask.ts"

/**
 * One row of the table. For a node that does not answer, fields that only it knows are null; the rest is what the
 * others know about it.
 */
export interface NodeRow {
  readonly id: string
  readonly pid: number | null
  readonly role: NodeStatus["role"] | null
  readonly term: number | null
  readonly leader: string | null
  readonly lastIndex: number | null
  readonly commit: number | null
  readonly applied: number | null
  readonly snapshotIndex: number | null
  /** The number of entries that it is behind the leader. */
  readonly lag: number | null
  readonly lastContactMs: number | null
  /** ok, or what is wrong. */
  readonly health: string
  readonly client: string | null
  readonly peer: string | null
  /** The address at which it answers /metrics, /livez and /readyz. */
  readonly http: string | null
  readonly incarnation: string | null
  readonly logBytes: number | null
  readonly uptimeMs: number | null
  readonly version: string | null
  /** The feature level of the cluster, the highest that the node can do, and who keeps the cluster below it. */
  readonly features: NodeStatus["features"] | null
}
export interface ClusterStatus {
  readonly nodes: readonly NodeRow[]
  readonly leader: string | null
}

/** The leader of the highest term: a deposed leader that does not know it yet still reports itself as leader. */
export const leaderAmong = <S extends Pick<NodeStatus, "role" | "term">>(statuses: readonly S[]): S | null =>
  statuses
    .filter(({ role }) => role === "leader")
    .reduce<S | null>((best, one) => (best === null || one.term > best.term ? one : best), null)

const answering = (status: NodeStatus, leader: NodeStatus | null): NodeRow => {
  const seen = leader?.peers.find(({ id }) => id === status.id)
  return {
    id: status.id,
    pid: status.pid,
    role: status.role,
    term: status.term,
    leader: status.leader,
    lastIndex: status.lastIndex,
    commit: status.commitIndex,
    applied: status.applied,
    snapshotIndex: status.snapshotIndex,
    lag:
      leader === null
        ? null
        : leader.id === status.id
          ? 0
          : (seen?.lag ?? Math.max(0, leader.lastIndex - status.lastIndex)),
    lastContactMs: status.lastContactMs,
    health: status.health,
    client: status.client,
    peer: status.peer,
    http: status.http,
    incarnation: status.incarnation,
    logBytes: status.logBytes,
    uptimeMs: status.uptimeMs,
    version: status.version,
    features: status.features,
  }
}

const silent = (peer: PeerStatus, reason: string): NodeRow => ({
  id: peer.id,
  pid: null,
  role: null,
  term: null,
  leader: null,
  lastIndex: peer.matchIndex,
  commit: null,
  applied: null,
  snapshotIndex: null,
  lag: peer.lag,
  lastContactMs: peer.lastContactMs,
  health: `unreachable: ${reason}`,
  client: peer.client,
  peer: peer.peer,
  http: null,
  incarnation: null,
  logBytes: null,
  uptimeMs: null,
  version: null,
  features: null,
})

/** The node that was last seen at each address, so that a crashed node keeps its row and its name. */
export type KnownNodes = Map<string, string>

type Heard = { readonly status: NodeStatus } | { readonly reason: string }
const hear = async (address: string, timeoutMs: number): Promise<Heard> => {
  const endpoint = parseEndpoint(address)
  if (endpoint === null) return { reason: `${address} is not an address` }
  try {
    return { status: await askStatus(endpoint, timeoutMs) }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) }
  }
}

/** Asks the given addresses, then those found in their answers. `known` is read and updated. */
export const gatherStatus = async (
  given: readonly Endpoint[],
  known: KnownNodes,
  timeoutMs: number,
): Promise<ClusterStatus> => {
  const heard = new Map<string, Heard>()
  const askAll = async (addresses: Iterable<string>): Promise<void> => {
    const fresh = [...new Set(addresses)].filter((address) => !heard.has(address))
    const answers = await Promise.all(fresh.map((address) => hear(address, timeoutMs)))
    fresh.forEach((address, i) => heard.set(address, answers[i] ?? { reason: "not asked" }))
  }
  const statuses = (): readonly NodeStatus[] => {
    const byId = new Map<string, NodeStatus>()
    for (const one of heard.values()) if ("status" in one) byId.set(one.status.id, one.status)
    return [...byId.values()]
  }

  await askAll(given.map(showEndpoint))
  if (statuses().length === 0) await askAll(known.keys())
  for (let before = -1; heard.size > before;) {
    before = heard.size
    await askAll(statuses().flatMap(({ peers }) => peers.flatMap(({ client }) => (client === null ? [] : [client]))))
  }

  const found = statuses()
  const leader = leaderAmong(found)
  const rows = new Map(found.map((status) => [status.id, answering(status, leader)]))
  for (const status of found) known.set(status.client, status.id)
  // For a silent node, the leader's information is preferred to any other node's.
  for (const peer of [...(leader?.peers ?? []), ...found.flatMap(({ peers }) => peers)]) {
    if (rows.has(peer.id)) continue
    const address = peer.client ?? [...known].find(([, id]) => id === peer.id)?.[0] ?? null
    const reason = address === null ? "no other node knows where it serves clients" : heard.get(address)
    rows.set(
      peer.id,
      silent(
        { ...peer, client: address },
        typeof reason === "string" ? reason : reason !== undefined && "reason" in reason ? reason.reason : "no answer",
      ),
    )
  }
  for (const [address, one] of heard) {
    if ("status" in one) continue
    const id = known.get(address) ?? address
    if (
      found.some(({ client }) => client === address) ||
      rows.has(id) ||
      [...rows.values()].some(({ client }) => client === address)
    )
      continue
    rows.set(
      id,
      silent(
        {
          id,
          peer: "",
          client: address,
          connected: false,
          matchIndex: null,
          lag: null,
          lastContactMs: null,
          clockOffsetMs: null,
          version: null,
          highestLevel: null,
          problem: null,
        },
        one.reason,
      ),
    )
  }
  return {
    nodes: [...rows.values()].toSorted((a, b) => a.id.localeCompare(b.id, "en", { numeric: true })),
    leader: leader?.id ?? null,
  }
}

export const isHealthy = ({ nodes, leader }: ClusterStatus): boolean =>
  leader !== null && nodes.every(({ health }) => health === "ok")
