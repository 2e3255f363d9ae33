/** What a server reports about itself. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurationOf } from "../../core/index.ts"
import { addressText, type PeerLink } from "../tcp/index.ts"
import { unusableIn } from "../watched.ts"
import { clockOffset, peerClockOffset } from "./clocks.ts"
import { detailsOf, type Details } from "./details.ts"
import { healthOf, isLoading, memberRole, strangers, strangerText, type Facts, type Health } from "./health.ts"
import { featureStatus, type FeatureStatus } from "./level.ts"
import type { ServerParts } from "./parts.ts"

export interface PeerStatus {
  readonly id: string
  readonly peer: string
  readonly client: string | null
  readonly connected: boolean
  /** As the leader knows it; null on other servers. */
  readonly matchIndex: number | null
  readonly lag: number | null
  readonly lastContactMs: number | null
  /** The peer's wall clock minus the cluster's time, from what it last told the leader; null: not known here. */
  readonly clockOffsetMs: number | null
  /** The release that it runs, and the highest feature level that it does; null: it has not said so yet. */
  readonly version: string | null
  readonly highestLevel: number | null
  /** Why it is not connected, or why a process of that name was refused lately; null: neither. */
  readonly problem: string | null
}
export interface ServerStatus {
  readonly id: string
  readonly incarnation: string
  readonly cluster: string | null
  readonly pid: number
  readonly version: string
  readonly features: FeatureStatus
  readonly role: "leader" | "follower" | "candidate" | "preCandidate" | "learner" | "starting" | "forming" | "amnesiac"
  readonly term: number
  readonly leader: string | null
  readonly lastIndex: number
  readonly commitIndex: number
  readonly applied: number
  readonly snapshotIndex: number
  readonly logBytes: number
  readonly peer: string
  /** The address of its HTTP port; null: none. */
  readonly http: string | null
  /** ok, or one line that says what is wrong and what to do. */
  readonly health: string
  /** The server's data are here or being received, but not ready. */
  readonly loading: boolean
  readonly uptimeMs: number
  readonly lastContactMs: number | null
  /** This node's wall clock minus the cluster's time; null: one of them is not known. */
  readonly clockOffsetMs: number | null
  readonly peers: readonly PeerStatus[]
  readonly counters: Readonly<Record<string, number>>
  /** For diagnosis; null: a simulated server has none. */
  readonly details: Details | null
}

/** package.json is two levels above this file, in the sources and in the build. */
const versionIn = (relative: string): string | null => {
  try {
    const found: unknown = JSON.parse(readFileSync(fileURLToPath(new URL(relative, import.meta.url)), "utf8"))
    return typeof found === "object" && found !== null && "version" in found && typeof found.version === "string"
      ? found.version
      : null
  } catch {
    return null
  }
}
export const version = versionIn("../../package.json") ?? versionIn("../../../package.json") ?? "unknown"

const roleOf = (alive: ServerParts, { reason }: Health): ServerStatus["role"] => {
  if (alive.refused !== null || reason === "amnesiac") return "amnesiac"
  const state = alive.running?.driver.state()
  if (state === undefined)
    return alive.phase.doing === "forming" || alive.phase.doing === "waiting" ? "forming" : "starting"
  if (memberRole(state) === "learner" && state.role.type === "follower") return "learner"
  return state.role.type
}

export const factsOf = (alive: ServerParts): Facts => {
  const { id, phase, running, storage, transport, stopping, failed, refused } = alive
  return {
    self: storage?.identity.self ?? { name: id, incarnation: "" },
    phase,
    state: running?.driver.state() ?? null,
    stopping,
    failed,
    refused,
    repairing: alive.repairing,
    leaderlessMs: alive.leaderlessSince === null ? null : performance.now() - alive.leaderlessSince,
    links: transport?.peers() ?? [],
    unlisted: transport?.unlisted() ?? [],
    pending: storage?.pending() ?? { ms: 0, wanting: null },
    short: running?.machine.stats?.().short ?? null,
    advertises: alive.advertises,
    clock: alive.clocks?.far() ?? null,
    files: unusableIn(alive.files).map(({ reason }) => reason),
    certificateEnds: alive.tls?.renewal() === "urgent" ? alive.tls.ends() : null,
  }
}

const peersOf = (alive: ServerParts): PeerStatus[] => {
  const state = alive.running?.driver.state()
  const links = alive.transport?.peers() ?? []
  const foreign = state === undefined ? [] : strangers(configurationOf(state), links)
  const progress = state?.role.type === "leader" ? state.role.progress : {}
  return links.map((link: PeerLink) => {
    const known = progress[link.name]
    // A new leader does not know how far a follower's log goes until the follower has answered.
    const matchIndex = known === undefined || known.matchIndex === 0 ? null : known.matchIndex
    return {
      id: link.name,
      peer: link.address,
      client: link.clientAddress,
      connected: link.connected,
      matchIndex,
      lag: matchIndex === null || state === undefined ? null : state.log.lastIndex - matchIndex,
      lastContactMs: link.lastReceivedMs === null ? null : Math.round(link.lastReceivedMs),
      clockOffsetMs: state === undefined ? null : peerClockOffset(state, link.name),
      version: (link.tooLow ?? link.hello)?.features.version ?? null,
      highestLevel: (link.tooLow ?? link.hello)?.features.level ?? null,
      problem: link.refused ?? link.problem ?? (foreign.includes(link) ? strangerText([link]) : null),
    }
  })
}

const countersOf = (alive: ServerParts): Record<string, number> => {
  const { running, storage, transport } = alive
  const counters: Record<string, number> = {}
  if (running !== null) {
    Object.assign(counters, running.driver.counters, running.counters())
    for (const [name, value] of Object.entries(storage?.stats() ?? {}))
      if (typeof value === "number") counters[`storage.${name}`] = value
    for (const [name, value] of Object.entries(running.machine.stats?.() ?? {}))
      if (typeof value === "number") counters[`machine.${name}`] = value
  }
  for (const peer of transport?.peers() ?? []) {
    for (const [name, value] of Object.entries({
      messagesIn: peer.messagesIn,
      messagesOut: peer.messagesOut,
      bytesIn: peer.bytesIn,
      bytesOut: peer.bytesOut,
    })) {
      counters[`peers.${name}`] = (counters[`peers.${name}`] ?? 0) + value
    }
    for (const value of Object.values(peer.dropped))
      counters["peers.dropped"] = (counters["peers.dropped"] ?? 0) + value
  }
  return counters
}

export const statusOf = (alive: ServerParts): ServerStatus => {
  const { id, running, storage, transport } = alive
  const state = running?.driver.state()
  const leader = running?.driver.leadership().leader ?? null
  const leaderLink = leader === null ? undefined : transport?.peers().find(({ name }) => name === leader.name)
  const own = leader?.name === id
  const health = healthOf(factsOf(alive))
  return {
    id,
    incarnation: storage?.identity.self.incarnation ?? "",
    cluster: storage?.identity.cluster ?? null,
    pid: process.pid,
    version,
    features: featureStatus(alive),
    role: roleOf(alive, health),
    term: state?.currentTerm ?? 0,
    leader: leader?.name ?? null,
    lastIndex: state?.log.lastIndex ?? 0,
    commitIndex: state?.commitIndex ?? 0,
    applied: state?.applied ?? 0,
    snapshotIndex: state?.log.base.index ?? 0,
    logBytes: storage?.stats().bytes ?? 0,
    peer: addressText(transport?.address ?? alive.listen),
    http: alive.http === null ? null : addressText(alive.http),
    health: health.text,
    loading: isLoading(health),
    uptimeMs: Math.round(performance.now() - alive.startedAt),
    lastContactMs: own ? 0 : leaderLink?.lastReceivedMs == null ? null : Math.round(leaderLink.lastReceivedMs),
    clockOffsetMs: state === undefined ? null : clockOffset(state),
    peers: peersOf(alive),
    counters: countersOf(alive),
    details: detailsOf(alive, health),
  }
}
