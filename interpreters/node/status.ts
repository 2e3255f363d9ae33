/** What a server reports about itself. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurationOf } from "../../core/index.ts"
import type { StateMachine } from "../contract.ts"
import type { Driver } from "../driver/index.ts"
import { HIGHEST_LEVEL } from "../features.ts"
import type { FileStorage } from "../file/index.ts"
import type { RefusedDirectory } from "../starts.ts"
import { addressText, type Address, type PeerLink, type TcpTransport } from "../tcp/index.ts"
import type { Tls } from "../tls/index.ts"
import { unusableIn, type WatchedFiles } from "../watched.ts"
import { clockOffset, peerClockOffset, type ClockWatch } from "./clocks.ts"
import { detailsOf, type Details } from "./details.ts"
import {
  healthOf,
  isLoading,
  memberRole,
  strangers,
  strangerText,
  type Facts,
  type Health,
  type Phase,
} from "./health.ts"
import { featureStatus, type FeatureStatus } from "./level.ts"

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

/** A state machine that notices at start whether it has lost data, and that reports a resource it is short of. */
export interface RecoverableMachine extends StateMachine {
  /** The last entry in the snapshot from which its data were restored; 0 if every entry was executed here. */
  readonly beginsAt: () => number
  /**
   * Numbers become counters. `damaged`: why its data are lost. `short`: the resource that it waits for before it
   * continues to execute.
   */
  readonly stats?: () => { readonly damaged: string | null; readonly short: string | null }
}

/** The parts of a server that exist so far, while it starts and runs. */
export interface ServerParts {
  readonly id: string
  /** The address at which it listens to its peers. */
  readonly listen: Address
  /** The address that others are told, as host:port; empty: they use their own lists. */
  advertises: string
  readonly startedAt: number
  /** The highest feature level that it does. */
  readonly highestLevel: number
  /** What the server is doing until its state machine runs. */
  phase: Phase
  storage: FileStorage | null
  transport: TcpTransport | null
  running: {
    readonly driver: Driver
    readonly machine: RecoverableMachine
    readonly counters: () => Readonly<Record<string, number>>
  } | null
  clocks: ClockWatch | null
  /** The address of its HTTP port; null: none. */
  http: Address | null
  /** The certificate with which it proves who it is; null: none. */
  tls: Tls | null
  /** The files that it reads again when they change. */
  files: readonly WatchedFiles[]
  /** How many times a new leader or term was seen. */
  leaderChanges: number
  /** A peer has seen a later start of this directory, so nothing that this server says counts any more. */
  refused: RefusedDirectory | null
  /** Its log was damaged, and it asks to become a member again: the folder in which the damaged files are kept. */
  repairing: string | null
  /** When the leader was lost; null: there is a leader. */
  leaderlessSince: number | null
  stopping: boolean
  /** Why it cannot continue, or null. */
  failed: string | null
}
/** `levelMax`: it does no higher feature level, whatever its version could. */
export const newServerParts = (id: string, listen: Address, levelMax: number | null = null): ServerParts => ({
  id,
  listen,
  advertises: "",
  highestLevel: Math.min(HIGHEST_LEVEL, levelMax ?? HIGHEST_LEVEL),
  startedAt: performance.now(),
  phase: { doing: "reading", bytes: 0, file: 1, files: 1 },
  storage: null,
  transport: null,
  running: null,
  clocks: null,
  http: null,
  tls: null,
  files: [],
  leaderChanges: 0,
  refused: null,
  repairing: null,
  leaderlessSince: null,
  stopping: false,
  failed: null,
})

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
