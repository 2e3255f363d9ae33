/**
 * What a server knows beyond its status table: the facts from which `doctor` draws its findings. Cheap to collect, and
 * free of user data.
 */
import {
  configurationOf,
  votersOf,
  type Configuration,
  type Member,
  type Settings,
  type State,
} from "../../core/index.ts"
import type { Renewal } from "../tls/index.ts"
import { memberRole, strangers, type Health, type Reason } from "./health.ts"
import { unusableIn, type UnusableFiles } from "../watched.ts"
import type { ServerParts } from "./parts.ts"

export interface ConfigurationMembers {
  readonly voters: readonly Member[]
  /** While the configuration is joint: the voters of the old configuration. */
  readonly outgoing: readonly Member[]
  readonly learners: readonly Member[]
}
export interface LinkDetails {
  readonly id: string
  readonly connected: boolean
  /** The incarnation of the peer's running process; null: not known yet. */
  readonly incarnation: string | null
  /** The process runs with a different directory than the one that the configuration names. */
  readonly stranger: boolean
  readonly silentMs: number | null
  /** The round-trip time, or how long the last keep-alive has been unanswered. */
  readonly transitMs: number | null
  readonly behindBytes: number
  readonly problem: string | null
  /** Why a process of that name was refused lately. */
  readonly refused: string | null
}
/** The progress of one follower, as the leader knows it. */
export interface FollowerDetails {
  readonly id: string
  readonly matchIndex: number
  readonly mode: "probe" | "replicate" | "snapshot"
  readonly condition: "ready" | "rebuild" | "full"
  /** Bytes of the snapshot that the follower has stored; null: it is not being sent one. */
  readonly snapshotSent: number | null
}
export interface Details {
  readonly reason: Reason
  readonly members: ConfigurationMembers
  readonly standing: "voter" | "learner" | null
  readonly settings: Settings | null
  readonly links: readonly LinkDetails[]
  readonly followers: readonly FollowerDetails[]
  /** The snapshot that this node is receiving. */
  readonly install: { readonly phase: string; readonly bytes: number } | null
  /** Processes under names that are not in this node's list of peers. */
  readonly unlisted: readonly { readonly id: string; readonly address: string; readonly empty: boolean }[]
  /** How long the oldest write to the log has not been durable, and what it waits for if that is not the disk. */
  readonly pending: { readonly ms: number; readonly lacks: "room" | "descriptors" | null }
  readonly spaceLow: boolean
  /** What the state machine waits for: a resource that has run out. */
  readonly short: string | null
  /** Why this node's directory cannot be trusted. */
  readonly refused: string | null
  readonly leaderlessMs: number | null
  /** How far the clock is off, if it has been too far off for some time. */
  readonly clockMs: number | null
  /** Files that are watched, and that the next start could not use as they lie there. Absent: an older version. */
  readonly unusableFiles?: readonly UnusableFiles[]
  /** The end of its certificate, and how long until then by its own clock; null: it has none. Absent: an older version. */
  readonly certificate?: { readonly ends: string; readonly leftMs: number; readonly renewal: Renewal } | null
}

const none: ConfigurationMembers = { voters: [], outgoing: [], learners: [] }
const followersOf = (state: Readonly<State>): readonly FollowerDetails[] =>
  state.role.type !== "leader"
    ? []
    : Object.entries(state.role.progress).map(([id, { matchIndex, mode, condition }]) => ({
        id,
        matchIndex,
        mode: mode.type,
        condition,
        snapshotSent: mode.type === "snapshot" ? mode.offset : null,
      }))
const installOf = ({ role }: Readonly<State>): Details["install"] =>
  role.type !== "follower" || role.install === null
    ? null
    : { phase: role.install.phase, bytes: role.install.nextOffset }
const membersIn = ({ voters, outgoing, learners }: Configuration): ConfigurationMembers => ({
  voters,
  outgoing,
  learners,
})

const linksOf = ({ transport }: ServerParts, configuration: Configuration | null): readonly LinkDetails[] => {
  const links = transport?.peers() ?? []
  const foreign = configuration === null ? [] : strangers(configuration, links)
  return links.map((link) => ({
    id: link.name,
    connected: link.connected,
    incarnation: link.member?.incarnation ?? null,
    stranger: foreign.includes(link),
    silentMs: link.lastReceivedMs === null ? null : Math.round(link.lastReceivedMs),
    transitMs: link.transitMs === null ? null : Math.round(link.transitMs),
    behindBytes: link.behindBytes,
    problem: link.problem,
    refused: link.refused,
  }))
}

export const detailsOf = (alive: ServerParts, { reason }: Health): Details => {
  const { running, storage, transport, clocks, refused, leaderlessSince, tls } = alive
  const state = running?.driver.state() ?? null
  const configuration = state === null ? null : configurationOf(state)
  const pending = storage?.pending() ?? { ms: 0, lacks: null }
  const members = configuration === null ? [] : [...votersOf(configuration), ...configuration.learners]
  return {
    reason,
    members: configuration === null ? none : membersIn(configuration),
    standing: state === null ? null : memberRole(state),
    settings: state?.settings ?? null,
    links: linksOf(alive, configuration),
    followers: state === null ? [] : followersOf(state),
    install: state === null ? null : installOf(state),
    unlisted: (transport?.unlisted() ?? [])
      .filter(({ name }) => !members.some((member) => member.name === name))
      .map(({ name, address, empty }) => ({ id: name, address, empty })),
    pending: { ms: Math.round(pending.ms), lacks: pending.lacks },
    spaceLow: state?.spaceLow ?? false,
    short: running?.machine.stats?.().short ?? null,
    refused: refused?.reason ?? null,
    leaderlessMs: leaderlessSince === null ? null : Math.round(performance.now() - leaderlessSince),
    clockMs: clocks?.far() ?? null,
    unusableFiles: unusableIn(alive.files),
    certificate:
      tls === null
        ? null
        : { ends: tls.ends().toISOString(), leftMs: tls.ends().getTime() - Date.now(), renewal: tls.renewal() },
  }
}
