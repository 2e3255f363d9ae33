/**
 * What is known about a cluster for its diagnosis: two looks at every node, and the answers to a read and a write in
 * between.
 */
import type { Details } from "../../interpreters/node/index.ts"
import type { TlsProblem } from "../client/tlsTrouble.ts"
import type { NodeStatus } from "../types.ts"

export interface Look {
  readonly status: NodeStatus
  /** INFO, line by line. */
  readonly info: Readonly<Record<string, string>>
}
/** One request that the doctor makes as a client. */
export interface Probe {
  readonly kind: "read" | "write"
  readonly ms: number
  /** null: the answer was right. Otherwise the first word of the error, or SILENT. */
  readonly error: string | null
  readonly text: string
}
export interface NodeFacts {
  readonly id: string
  readonly client: string | null
  /** null: it did not answer. */
  readonly first: Look | null
  readonly last: Look | null
  /** Why it did not answer. */
  readonly silence: string | null
  /** Why the client that asks could not agree on TLS with it. */
  readonly tls?: TlsProblem | null
  /** Its address was given by the caller. */
  readonly given?: boolean
  readonly probes: readonly Probe[]
}
export interface ClusterFacts {
  /** Milliseconds between the two looks. */
  readonly apartMs: number
  readonly nodes: readonly NodeFacts[]
}

export interface Up {
  readonly id: string
  readonly first: Look | null
  readonly last: Look
  readonly status: NodeStatus
  readonly details: Details | null
  readonly probes: readonly Probe[]
}
/** The same facts, in the form that the rules need. */
export interface ClusterView {
  readonly apartMs: number
  readonly nodes: readonly NodeFacts[]
  readonly up: readonly Up[]
  readonly at: (id: string) => Up | undefined
  readonly leader: Up | null
  /** The leader's status at the first look, if it led in the same term then; otherwise null. */
  readonly before: NodeStatus | null
  readonly voters: readonly string[]
  readonly learners: readonly string[]
  /** Members that do not answer. */
  readonly silent: readonly NodeFacts[]
}

/** Why its peers refuse its directory: then it takes no part any more. */
export const refusedOf = ({ details }: Up): string | null => details?.refused ?? null
/** It waits with an empty directory that the cluster does not know. A node that is only starting does not count. */
export const isLost = ({ details, status }: Up): boolean =>
  details?.refused == null && (details?.reason === "amnesiac" || status.role === "amnesiac")
/** It has been restarted since the first look. (In a container every process may have the same pid.) */
export const isRestarted = (first: Look, last: Look, apartMs: number): boolean =>
  first.status.pid !== last.status.pid ||
  first.status.incarnation !== last.status.incarnation ||
  last.status.uptimeMs < first.status.uptimeMs ||
  last.status.uptimeMs < apartMs / 2

const namesOf = (members: readonly { readonly name: string }[]): string[] => [
  ...new Set(members.map(({ name }) => name)),
]

/** The leader of the higher term: the other one does not know yet that it was deposed. */
const later = (a: Up | null, b: Up): Up => (a === null || b.status.term > a.status.term ? b : a)

export const viewOf = ({ apartMs, nodes }: ClusterFacts): ClusterView => {
  const up = nodes.flatMap(({ id, first, last, probes }): Up[] =>
    last === null ? [] : [{ id, first, last, status: last.status, details: last.status.details ?? null, probes }],
  )
  const leader = up.filter(({ status }) => status.role === "leader").reduce<Up | null>(later, null)
  const before = leader?.first?.status
  // If there is no leader, the node with the longest log knows the members best.
  const knowing =
    leader ??
    up
      .filter(({ details }) => (details?.members.voters.length ?? 0) > 0)
      .toSorted((a, b) => b.status.term - a.status.term || b.status.lastIndex - a.status.lastIndex)[0]
  const members = knowing?.details?.members
  const voters = namesOf([...(members?.voters ?? []), ...(members?.outgoing ?? [])])
  const learners = namesOf(members?.learners ?? [])
  const isMember = (id: string): boolean => voters.length === 0 || voters.includes(id) || learners.includes(id)
  return {
    apartMs,
    nodes,
    up,
    leader,
    voters,
    learners,
    at: (id) => up.find((one) => one.id === id),
    before: before !== undefined && before.role === "leader" && before.term === leader?.status.term ? before : null,
    silent: nodes.filter(({ id, last, given }) => last === null && (given === true || isMember(id))),
  }
}
