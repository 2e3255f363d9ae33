/** The addresses of the nodes: those that the caller gave, and those that nodes announce. */
import type { NodeStatus } from "../types.ts"
import { withoutAccess } from "./access.ts"

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export const showEndpoint = ({ host, port }: Endpoint): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** Reads `host:port`, `[::1]:port`, `:port`, `port` or any of them behind `rediss://user:password@`; null if it is none of these. */
export const parseEndpoint = (text: string): Endpoint | null => {
  const match = /^(?:(?:\[([\w:.%-]+)\]|([^:/\s[\]]*)):)?(\d{1,5})\/?$/.exec(withoutAccess(text))
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) return null
  const host = match[1] ?? match[2] ?? ""
  return { host: host === "" ? "127.0.0.1" : host, port }
}

/** The text without user and password, which are before the last @: safe to be shown. */
export const withoutLogin = (text: string): string => text.replace(/^.*@/su, "…@")

export const requireEndpoint = (endpoint: string | Endpoint): Endpoint => {
  if (typeof endpoint !== "string") return endpoint
  const parsed = parseEndpoint(endpoint)
  if (parsed === null)
    throw new TypeError(
      `not an endpoint: ${JSON.stringify(withoutLogin(endpoint))} (expected host:port, for example 127.0.0.1:7001)`,
    )
  return parsed
}

/** The endpoints in turn. Those that the client has learned come after those that the caller gave. */
export interface Rotation {
  readonly current: () => Endpoint
  /** Moves on to the next endpoint, or to `hint` if it is given. */
  readonly next: (hint?: Endpoint) => void
  readonly learn: (endpoints: readonly Endpoint[]) => void
  readonly size: () => number
}
export const makeRotation = (given: readonly Endpoint[], start: number): Rotation => {
  const all = [...given]
  let at = all.length === 0 ? 0 : start % all.length
  const find = (endpoint: Endpoint): number =>
    all.findIndex(({ host, port }) => host === endpoint.host && port === endpoint.port)
  const learn = (endpoints: readonly Endpoint[]): void => {
    for (const endpoint of endpoints) if (find(endpoint) < 0) all.push(endpoint)
  }
  return {
    current: () => {
      const endpoint = all[at]
      if (endpoint === undefined) throw new TypeError("a client needs at least one endpoint")
      return endpoint
    },
    next: (hint) => {
      if (hint === undefined) at = (at + 1) % all.length
      else {
        learn([hint])
        at = find(hint)
      }
    },
    learn,
    size: () => all.length,
  }
}

const isPeer = (peer: unknown): boolean =>
  typeof peer === "object" &&
  peer !== null &&
  "id" in peer &&
  typeof peer.id === "string" &&
  "client" in peer &&
  (peer.client === null || typeof peer.client === "string")

/** A node's status from JSON, or null if the text is no status. Only the fields used here are checked. */
export const parseStatus = (text: string): NodeStatus | null => {
  try {
    const value: unknown = JSON.parse(text)
    if (
      typeof value !== "object" ||
      value === null ||
      !("id" in value) ||
      !("role" in value) ||
      !("peers" in value) ||
      !Array.isArray(value.peers) ||
      !value.peers.every(isPeer)
    )
      return null
    return value as NodeStatus
  } catch {
    return null
  }
}

/** The client addresses of the other nodes, as this node knows them. */
export const clientsOf = (status: NodeStatus): readonly Endpoint[] =>
  status.peers.flatMap(({ client }) => {
    const endpoint = client === null ? null : parseEndpoint(client)
    return endpoint === null ? [] : [endpoint]
  })

/** The leader's client address; null if the node is the leader itself or does not know. */
export const leaderEndpointOf = (status: NodeStatus): Endpoint | null => {
  if (status.leader === null || status.leader === status.id) return null
  const client = status.peers.find(({ id }) => id === status.leader)?.client ?? null
  return client === null ? null : parseEndpoint(client)
}

/** `MOVED 1234 host:port`, as Redis Cluster writes it. */
export const movedTo = (text: string): Endpoint | null => parseEndpoint(text.trim().split(/\s+/).at(-1) ?? "")
