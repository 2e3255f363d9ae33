/** What a node says of itself. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurationOf, hasQuorum, type Member, type State } from "../../core/index.ts"
import type { Driver } from "../../interpreters/driver.ts"
import type { FileStorage } from "../../interpreters/file/index.ts"
import { addressText, type Address, type PeerLink, type TcpTransport } from "../../interpreters/tcp/index.ts"
import type { Refused } from "../../interpreters/starts.ts"
import type { KvMachine } from "../machine/index.ts"
import type { RunningService } from "../service/index.ts"
import type { NodeStatus, PeerStatus } from "../types.ts"
import { clockOffset, clockText, peerClockOffset, type ClockWatch } from "./clocks.ts"
import type { NodeConfig } from "./config.ts"

/** What there is of the node so far. */
export interface Alive {
  readonly config: NodeConfig
  readonly startedAt: number
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

const same = (a: Member, b: Member): boolean => a.name === b.name && a.incarnation === b.incarnation

/** As what the configuration in force knows this incarnation; null if it does not. */
export const standing = (state: Readonly<State>): "voter" | "learner" | null => {
  const configuration = state.configurations.at(-1)?.configuration
  if (configuration === undefined) return null
  if ([...configuration.voters, ...configuration.outgoing].some((member) => same(member, state.self))) return "voter"
  return configuration.learners.some((member) => same(member, state.self)) ? "learner" : null
}
/** It knows no configuration: its disk was lost or is new, and the cluster has not taken it in (again) yet. */
export const isAmnesiac = (state: Readonly<State>): boolean => (state.configurations.at(-1)?.configuration.voters.length ?? 0) === 0

const roleOf = (alive: Alive): NodeStatus["role"] => {
  if (alive.refused !== null) return "amnesiac"
  const state = alive.running?.driver.state()
  if (state === undefined) return "forming"
  if (isAmnesiac(state)) return "amnesiac"
  if (standing(state) === "learner" && state.role.type === "follower") return "learner"
  return state.role.type
}

export const amnesiacText = ({ name, incarnation }: Member): string =>
  `${name} has an empty data directory, but its cluster holds data that does not know this incarnation: its disk was lost or replaced, or it is new. It votes for nobody and serves no data until the cluster takes it in: replace member ${name} by incarnation ${incarnation}, or bring its old directory back.`

/** `by` and the reason stand in front: the detail speaks of this node by name. */
export const refusedText = (id: string, { by, reason, detail }: Refused): string =>
  `${reason}: the directory of ${id} is not to be trusted, says ${by}, and counts as lost. ${id} votes for nobody and serves no data, now and after a restart. ${detail}`

/** As a leader knows it: the voters without room, if the others are no majority. */
const fullFollowers = (state: Readonly<State>): readonly string[] => {
  if (state.role.type !== "leader") return []
  const { progress } = state.role
  const isFull = (member: Member): boolean => !same(member, state.self) && progress[member.name]?.condition === "full"
  const configuration = configurationOf(state)
  if (hasQuorum(configuration, (member) => !isFull(member))) return []
  return [...new Set([...configuration.voters, ...configuration.outgoing].filter(isFull).map(({ name }) => name))]
}

const health = (alive: Alive): string => {
  const { config, running, transport } = alive
  const state = running?.driver.state()
  if (alive.stopping) return "stopping"
  if (alive.refused !== null) return refusedText(config.id, alive.refused)
  if (state === undefined) {
    const missing = transport?.peers().filter((peer) => !peer.connected) ?? []
    const waiting = missing.length === 0 ? "for the others" : `for ${missing.map(({ name }) => name).join(", ")}`
    return `forming: its directory is empty; waiting ${waiting}. All nodes must be up to form the cluster${missing[0]?.problem == null ? "" : ` (${missing[0].problem})`}`
  }
  if (isAmnesiac(state)) return amnesiacText(state.self)
  if (standing(state) === null) return `${config.id} is no member of the cluster any more: it was removed. Stop it; its data directory is no longer needed.`
  if (state.machine === "rebuild") return `the data of ${config.id} are lost or damaged and are being rebuilt from a peer. Nothing need be done while a leader is up.`
  if (alive.leaderlessSince !== null && performance.now() - alive.leaderlessSince > state.settings.electionMax) {
    const away = transport?.peers().filter((peer) => !peer.connected) ?? []
    const because = away.length === 0 ? "all peers are connected" : `not connected: ${away.map(({ name, problem }) => `${name}${problem === null ? "" : ` (${problem})`}`).join("; ")}`
    return `no leader for ${Math.round((performance.now() - alive.leaderlessSince) / 1000)} s: a majority of the members must be up and connected (${because})`
  }
  const refused = transport?.peers().find((peer) => peer.refused !== null)?.refused
  if (refused != null) return refused
  const short = running?.machine.stats().short ?? null
  if (short !== null) return `${short}. Free some space.`
  const full = fullFollowers(state)
  if (full.length > 0) return `the disks of ${full.join(", ")} are nearly full, so no majority has room: writes are refused until there is. Free some space there.`
  if (state.spaceLow) return "the disk is nearly full: writes are refused until there is room. Free some space."
  const far = alive.clocks?.far() ?? null
  if (far !== null) return `${clockText(config.id, far)}.`
  return "ok"
}

const peersOf = (alive: Alive): PeerStatus[] => {
  const state = alive.running?.driver.state()
  const progress = state?.role.type === "leader" ? state.role.progress : {}
  return (alive.transport?.peers() ?? []).map((link: PeerLink) => {
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
      problem: link.refused ?? link.problem,
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
  return {
    id: config.id,
    incarnation: storage?.identity.self.incarnation ?? "",
    cluster: storage?.identity.cluster ?? null,
    pid: process.pid,
    version,
    role: roleOf(alive),
    term: state?.currentTerm ?? 0,
    leader: leader?.name ?? null,
    lastIndex: state?.log.lastIndex ?? 0,
    commitIndex: state?.commitIndex ?? 0,
    applied: state?.applied ?? 0,
    snapshotIndex: state?.log.base.index ?? 0,
    logBytes: storage?.stats().bytes ?? 0,
    client: addressText(advertised(alive)),
    peer: addressText(transport?.address ?? config.peer),
    health: health(alive),
    uptimeMs: Math.round(performance.now() - alive.startedAt),
    lastContactMs: own ? 0 : leaderLink?.lastReceivedMs == null ? null : Math.round(leaderLink.lastReceivedMs),
    clockOffsetMs: state === undefined ? null : clockOffset(state),
    peers: peersOf(alive),
    counters: countersOf(alive),
  }
}
