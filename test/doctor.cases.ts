/** Facts of a healthy cluster, and ways to change them. */
import { defaultSettings } from "../core/index.ts"
import type { Details, FollowerDetails, LinkDetails } from "../interpreters/node/index.ts"
import type { ClusterFacts, Look, NodeFacts, Probe } from "../kv/doctor/facts.ts"
import type { FindingName } from "../kv/doctor/findings.ts"
import type { NodeStatus } from "../kv/types.ts"

export const names = ["n1", "n2", "n3"]
export const member = (name: string) => ({ name, incarnation: `${name}-a` })
export const link = (id: string): LinkDetails => ({
  id,
  connected: true,
  incarnation: `${id}-a`,
  stranger: false,
  silentMs: 20,
  transitMs: 1,
  behindBytes: 0,
  problem: null,
  refused: null,
})
export const follower = (id: string): FollowerDetails => ({
  id,
  matchIndex: 100,
  mode: "replicate",
  condition: "ready",
  snapshotSent: null,
})
export const details = (id: string): Details => ({
  reason: "ok",
  members: { voters: names.map(member), outgoing: [], learners: [] },
  standing: "voter",
  settings: defaultSettings,
  links: names.filter((other) => other !== id).map(link),
  followers: id === "n1" ? ["n2", "n3"].map(follower) : [],
  install: null,
  unlisted: [],
  pending: { ms: 0, lacks: null },
  spaceLow: false,
  short: null,
  refused: null,
  leaderlessMs: null,
  clockMs: null,
  unusableFiles: [],
  certificate: { ends: "2027-11-27T00:00:00.000Z", leftMs: 365 * 86_400_000, renewal: "later" },
})
export const status = (id: string): NodeStatus => ({
  id,
  incarnation: `${id}-a`,
  cluster: "c",
  pid: 1,
  version: "1.0.0",
  features: { level: 1, highest: 1, heldBy: null },
  role: id === "n1" ? "leader" : "follower",
  term: 3,
  leader: "n1",
  lastIndex: 100,
  commitIndex: 100,
  applied: 100,
  snapshotIndex: 0,
  logBytes: 5000,
  peer: "",
  http: null,
  client: `${id}:1`,
  access: { tls: true, certificates: "optional", users: { count: 3, digest: "aa" } },
  health: "ok",
  loading: false,
  uptimeMs: 900_000,
  lastContactMs: 5,
  clockOffsetMs: 1,
  peers: [],
  counters: { "storage.syncs": 50, "storage.syncMs": 100, "loop.stallMs": 0 },
  details: details(id),
})
export const answered: readonly Probe[] = [
  { kind: "read", ms: 3, error: null, text: "" },
  { kind: "write", ms: 8, error: null, text: "" },
]

export interface Change {
  readonly status?: Partial<NodeStatus>
  readonly details?: Partial<Details>
  readonly info?: Readonly<Record<string, string>>
}
export interface Case {
  /** For each node: facts of both looks, and of only the first or the last one; null, or why: it does not answer. */
  readonly [id: string]:
    | null
    | string
    | {
        readonly both?: Change
        readonly first?: Change
        readonly last?: Change
        readonly probes?: readonly Probe[]
        readonly silence?: string
      }
}
/** What it is, the facts, what is found, and what the findings say. */
export type Row = readonly [string, Case, readonly FindingName[], RegExp]
export const lookOf = (id: string, ...changes: readonly (Change | undefined)[]): Look => {
  const all = changes.map((change) => change ?? {})
  const own: NodeStatus = Object.assign(status(id), ...all.map((change) => change.status ?? {}))
  return {
    status: { ...own, details: Object.assign(details(id), ...all.map((change) => change.details ?? {})) as Details },
    info: Object.assign(
      { connected_clients: "3", maxclients: "10000", rejected_connections: "0" },
      ...all.map((change) => change.info ?? {}),
    ) as Record<string, string>,
  }
}
/** A node that is gone is not connected, unless a case says otherwise. */
export const withoutThe = (gone: readonly string[], id: string): Change => ({
  details: {
    links: details(id).links.map((link) =>
      gone.includes(link.id) ? { ...link, connected: false, problem: "not connected" } : link,
    ),
  },
})
export const factsOf = (nodes: Case): ClusterFacts => ({
  apartMs: 2000,
  nodes: [...new Set([...names, ...Object.keys(nodes)])].map((id): NodeFacts => {
    const change = nodes[id]
    if (change === null || typeof change === "string")
      return {
        id,
        client: `${id}:1`,
        first: null,
        last: null,
        silence: `${id}:1: ${change ?? "connect ECONNREFUSED"}`,
        probes: [],
      }
    return {
      id,
      client: `${id}:1`,
      first: lookOf(id, change?.both, change?.first),
      last: lookOf(
        id,
        withoutThe(
          names.filter((name) => nodes[name] === null),
          id,
        ),
        change?.both,
        change?.last,
      ),
      silence: null,
      probes: change?.probes ?? answered,
    }
  }),
})
export const led = (change: Partial<Details>): Change => ({ details: change })
export const followers = (changes: Readonly<Record<string, Partial<FollowerDetails>>>): readonly FollowerDetails[] =>
  ["n2", "n3"].map((id) => ({ ...follower(id), ...changes[id] }))
export const links = (
  changes: Readonly<Record<string, Partial<LinkDetails>>>,
  of = ["n2", "n3"],
): readonly LinkDetails[] => of.map((id) => ({ ...link(id), ...changes[id] }))
export const leaderless = (id: string, more: Partial<Details> = {}): Change => ({
  status: { role: "follower", leader: null, health: `no leader for 4.0 s: told by ${id}` },
  details: { reason: "no leader", leaderlessMs: 4000, followers: [], ...more },
})
export const starting: Change = {
  status: { role: "starting", leader: null, health: "starting: reading the log", loading: true },
  details: { reason: "starting", standing: null, members: { voters: [], outgoing: [], learners: [] }, followers: [] },
}
/** It has been started and is no member. */
export const waiting: Change = {
  status: { role: "amnesiac", leader: null, health: "n2 has an empty data directory" },
  details: { reason: "amnesiac", standing: null, members: { voters: [], outgoing: [], learners: [] }, followers: [] },
}
export const silent: readonly Probe[] = [{ kind: "write", ms: 3000, error: "SILENT", text: "did not answer" }]
