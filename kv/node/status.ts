/** What a node says of itself. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurationOf } from "../../core/index.ts"
import type { Driver } from "../../interpreters/driver/index.ts"
import type { FileStorage } from "../../interpreters/file/index.ts"
import { addressText, type Address, type PeerLink, type TcpTransport } from "../../interpreters/tcp/index.ts"
import type { Refused } from "../../interpreters/starts.ts"
import type { KvMachine } from "../machine/index.ts"
import type { RunningService } from "../service/index.ts"
import type { NodeStatus, PeerStatus, Reply } from "../types.ts"
import { clockOffset, peerClockOffset, type ClockWatch } from "./clocks.ts"
import type { NodeConfig } from "./config.ts"
import { healthOf, isLoading, standing, strangers, strangerText, type Facts, type Health, type Phase } from "./health.ts"

/** What there is of the node so far. */
export interface Alive {
  readonly config: NodeConfig
  readonly startedAt: number
  /** What it does until it serves. */
  phase: Phase
  storage: FileStorage | null
  transport: TcpTransport | null
  running: { readonly driver: Driver; readonly machine: KvMachine; readonly service: RunningService; readonly storage: FileStorage } | null
  clocks: ClockWatch | null
  /** The port that clients reach, once it listens. */
  clientPort: number
  /** A peer has met a later start of this directory, and what this node says does not count any more. */
  refused: Refused | null
  /** No leader since then, or null. */
  leaderlessSince: number | null
  stopping: boolean
  /** Why it cannot go on, or null. */
  failed: string | null
}

/** Where clients find this node. */
export const advertised = ({ config, clientPort }: Pick<Alive, "config" | "clientPort">): Address => config.advertise ?? { host: config.client.host, port: clientPort }

/** Two levels up from here, whether as source or emitted. */
const versionIn = (relative: string): string | null => {
  try {
    const found: unknown = JSON.parse(readFileSync(fileURLToPath(new URL(relative, import.meta.url)), "utf8"))
    return typeof found === "object" && found !== null && "version" in found && typeof found.version === "string" ? found.version : null
  } catch {
    return null
  }
}
const version = versionIn("../../package.json") ?? versionIn("../../../package.json") ?? "unknown"

const roleOf = (alive: Alive, { reason }: Health): NodeStatus["role"] => {
  if (alive.refused !== null || reason === "amnesiac") return "amnesiac"
  const state = alive.running?.driver.state()
  if (state === undefined) return alive.phase.doing === "forming" || alive.phase.doing === "waiting" ? "forming" : "starting"
  if (standing(state) === "learner" && state.role.type === "follower") return "learner"
  return state.role.type
}

export const factsOf = (alive: Alive): Facts => {
  const { config, phase, running, storage, transport, stopping, failed, refused } = alive
  return {
    self: storage?.identity.self ?? { name: config.id, incarnation: "" },
    phase,
    state: running?.driver.state() ?? null,
    stopping,
    failed,
    refused,
    leaderlessMs: alive.leaderlessSince === null ? null : performance.now() - alive.leaderlessSince,
    links: transport?.peers() ?? [],
    unlisted: transport?.unlisted() ?? [],
    pending: storage?.pending() ?? { ms: 0, wanting: null },
    short: running?.machine.stats().short ?? null,
    clock: alive.clocks?.far() ?? null,
  }
}

/** What becomes of a command while the node serves no data. */
export const refusalOf = (alive: Alive): Reply => {
  const health = healthOf(factsOf(alive))
  const loading = isLoading(health)
  return { type: "error", code: loading ? "LOADING" : "NOLEADER", text: `${health.text.replace(/\.$/, "")}. Nothing was executed: ask another node${loading ? ", or wait" : ""}.` }
}

const peersOf = (alive: Alive): PeerStatus[] => {
  const state = alive.running?.driver.state()
  const links = alive.transport?.peers() ?? []
  const foreign = state === undefined ? [] : strangers(configurationOf(state), links)
  const progress = state?.role.type === "leader" ? state.role.progress : {}
  return links.map((link: PeerLink) => {
    const known = progress[link.name]
    // A new leader knows of nobody's log before he has answered.
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
      problem: link.refused ?? link.problem ?? (foreign.includes(link) ? strangerText([link]) : null),
    }
  })
}

const countersOf = (alive: Alive): Record<string, number> => {
  const { running, transport } = alive
  const counters: Record<string, number> = {}
  if (running !== null) {
    Object.assign(counters, running.driver.counters, running.service.counters())
    for (const [name, value] of Object.entries(running.storage.stats())) if (typeof value === "number") counters[`storage.${name}`] = value
    for (const [name, value] of Object.entries(running.machine.stats())) if (typeof value === "number") counters[`machine.${name}`] = value
  }
  for (const peer of transport?.peers() ?? []) {
    for (const [name, value] of Object.entries({ messagesIn: peer.messagesIn, messagesOut: peer.messagesOut, bytesIn: peer.bytesIn, bytesOut: peer.bytesOut })) {
      counters[`peers.${name}`] = (counters[`peers.${name}`] ?? 0) + value
    }
    for (const value of Object.values(peer.dropped)) counters["peers.dropped"] = (counters["peers.dropped"] ?? 0) + value
  }
  return counters
}

export const statusOf = (alive: Alive): NodeStatus => {
  const { config, running, storage, transport } = alive
  const state = running?.driver.state()
  const leader = running?.driver.leadership().leader ?? null
  const leaderLink = leader === null ? undefined : transport?.peers().find(({ name }) => name === leader.name)
  const own = leader?.name === config.id
  const health = healthOf(factsOf(alive))
  return {
    id: config.id,
    incarnation: storage?.identity.self.incarnation ?? "",
    cluster: storage?.identity.cluster ?? null,
    pid: process.pid,
    version,
    role: roleOf(alive, health),
    term: state?.currentTerm ?? 0,
    leader: leader?.name ?? null,
    lastIndex: state?.log.lastIndex ?? 0,
    commitIndex: state?.commitIndex ?? 0,
    applied: state?.applied ?? 0,
    snapshotIndex: state?.log.base.index ?? 0,
    logBytes: storage?.stats().bytes ?? 0,
    client: addressText(advertised(alive)),
    peer: addressText(transport?.address ?? config.peer),
    health: health.text,
    loading: isLoading(health),
    uptimeMs: Math.round(performance.now() - alive.startedAt),
    lastContactMs: own ? 0 : leaderLink?.lastReceivedMs == null ? null : Math.round(leaderLink.lastReceivedMs),
    clockOffsetMs: state === undefined ? null : clockOffset(state),
    peers: peersOf(alive),
    counters: countersOf(alive),
  }
}
