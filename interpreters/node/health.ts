/**
 * Why a node is not well. This is the only place that decides it, so STATUS, INFO, the log and the refusals to clients
 * all say the same.
 */
import {
  configurationOf,
  hasQuorum,
  sameMember,
  votersOf,
  type Configuration,
  type Member,
  type Millis,
  type State,
} from "../../core/index.ts"
import { LOST_MEMBER_ADVICE } from "../advice.ts"
import { refusedText } from "./findCluster.ts"
import type { RefusedDirectory } from "../starts.ts"
import type { PeerLink, UnlistedPeer } from "../tcp/index.ts"
import { clockText } from "./clocks.ts"
import type { Logger } from "../log.ts"

/** What a node does from its start until it can serve. */
export type Phase =
  | { readonly doing: "reading"; readonly bytes: number; readonly file: number; readonly files: number }
  | { readonly doing: "checking"; readonly bytes: number; readonly of: number }
  | { readonly doing: "opening" }
  /** Its directory is empty, and so are those of all peers that have introduced themselves. */
  | { readonly doing: "forming" }
  /** Its directory is empty, and `of` holds data that do not know this node. */
  | { readonly doing: "waiting"; readonly of: string; readonly cluster: string }

type Link = Pick<
  PeerLink,
  | "name"
  | "member"
  | "hello"
  | "connected"
  | "problem"
  | "refused"
  | "lastReceivedMs"
  | "transitMs"
  | "behindBytes"
  | "arriving"
>

/** Everything known at the time of the question. */
export interface Facts {
  readonly self: Member
  readonly phase: Phase
  /** null: the core does not run yet. */
  readonly state: Readonly<State> | null
  readonly stopping: boolean
  /** Why the node has failed and is about to stop. */
  readonly failed: string | null
  readonly refused: RefusedDirectory | null
  /**
   * Its log was damaged, and it asks to become a member again: the folder in which the damaged files are kept. Default:
   * null.
   */
  readonly repairing?: string | null
  readonly leaderlessMs: Millis | null
  readonly links: readonly Link[]
  readonly unlisted: readonly UnlistedPeer[]
  /** The oldest write to the log that is not durable. */
  readonly pending: { readonly ms: Millis; readonly wanting: string | null }
  /** What the state machine waits for: a resource that has run out. */
  readonly short: string | null
  /** Where this node says that others find it, as host:port; empty: by their own lists. Default: empty. */
  readonly advertises?: string
  /** How far the wall clock is off, if it has been too far off for some time. */
  readonly clock: Millis | null
  /** Which files the next start could not use, and why. Default: none. */
  readonly files?: readonly string[]
  /** The end of its certificate, if that is about to come or has come. */
  readonly certificateEnds?: Date | null
}

export type Reason =
  | "ok"
  | "stopping"
  | "failed"
  | "refused"
  | "starting"
  | "forming"
  | "amnesiac"
  | "removed"
  | "rebuilding"
  | "log waits"
  | "disk slow"
  | "no leader"
  | "peer refused"
  | "data wait"
  | "disk full"
  | "clock"
  | "moved"
  | "certificate"
  | "files"
export interface Health {
  readonly reason: Reason
  readonly text: string
}

const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
const seconds = (ms: number): string => `${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`
const list = (names: readonly string[]): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`
const one = (names: readonly string[], single: string, several: string): string =>
  names.length === 1 ? single : several

const same = sameMember

/** The role of this incarnation in the configuration in force; null: it has none. */
export const memberRole = (state: Readonly<State>): "voter" | "learner" | null => {
  const configuration = configurationOf(state)
  if (votersOf(configuration).some((member) => same(member, state.self))) return "voter"
  return configuration.learners.some((member) => same(member, state.self)) ? "learner" : null
}
/** It knows no configuration: its disk is new or was lost, and the cluster has not made it a member (again) yet. */
export const isAmnesiac = (state: Readonly<State>): boolean => configurationOf(state).voters.length === 0

const startingText = (phase: Phase): string => {
  if (phase.doing === "reading") return `reading the log (${mb(phase.bytes)}, file ${phase.file} of ${phase.files})`
  if (phase.doing === "checking") return `checking the data (${mb(phase.bytes)} of ${mb(phase.of)})`
  return "opening the data"
}

const isEmpty = ({ hello, connected }: Link): boolean => connected && hello?.empty === true

const formingText = ({ links }: Facts): string => {
  const missing = links.filter((link) => !isEmpty(link))
  const told = missing.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${problem}`]))
  const waiting = missing.length === 0 ? "the founder" : list(missing.map(({ name }) => name))
  return `forming: its directory is empty; waiting for ${waiting}. All nodes must be up to form the cluster${told.length === 0 ? "" : ` (${told.join("; ")})`}`
}

export const amnesiacText = ({
  self,
  phase,
  links,
  repairing = null,
}: Pick<Facts, "self" | "phase" | "links" | "repairing">): string => {
  const { name, incarnation } = self
  if (repairing !== null)
    return `the log of ${name} was damaged, so it started again with an empty one (incarnation ${incarnation}); the damaged one is kept in ${repairing}. It votes for nobody and serves no data until the others make it a member again. It asks them by itself, so nothing need be done for that. Check the disk.`
  const holder =
    phase.doing === "waiting"
      ? `${phase.of} holds data of cluster ${phase.cluster} that do`
      : "its cluster holds data that do"
  const lost = `${name} has an empty data directory, and ${holder} not know it (incarnation ${incarnation}): its disk was lost or replaced, or it is new. It votes for nobody and serves no data.`
  const empty = links.filter(isEmpty).map((link) => link.name)
  const old = links.filter(({ hello }) => hello !== null && !hello.empty).map((link) => link.name)
  // Another node is empty too: perhaps the node with data is the misplaced one. Both remedies are named.
  if (phase.doing === "waiting" && empty.length > 0)
    return `${lost} So ${one(empty, "is", "are")} ${list(empty)}. If ${list(old)} ${one(old, "was", "were")} started with an old directory by mistake, stop ${one(old, "it", "them")} and start ${one(old, "it", "them")} with an empty one: nothing was recorded here, and the nodes then form a new cluster by themselves. If the data of ${list(old)} are wanted, bring the directories of ${list([name, ...empty])} back as they were last.`
  return `${lost} Bring its old directory back as it was last, if there is one. ${LOST_MEMBER_ADVICE}`
}

/** Members that run with a different directory than the one that the configuration names. */
export const strangers = (configuration: Configuration, links: readonly Link[]): readonly Link[] => {
  const members = [...votersOf(configuration), ...configuration.learners]
  return links.filter(
    ({ name, member, connected }) =>
      connected &&
      member !== null &&
      members.some((known) => known.name === name) &&
      !members.some((known) => same(known, member)),
  )
}
export const strangerText = (links: readonly Link[]): string => {
  const names = links.map(({ name }) => name)
  return `${list(names)} lost ${one(names, "its disk", "their disks")}: ${one(names, "it came back with a directory", "they came back with directories")} that this cluster does not know (${links.map(({ name, member }) => `incarnation ${member?.incarnation ?? "?"} of ${name}`).join(", ")})`
}

const slowText = ({ name, transitMs, behindBytes, arriving }: Link): string => {
  const to = behindBytes > 100_000 ? `, ${mb(behindBytes)} are being sent to it` : ""
  const from =
    arriving !== null && arriving.whole > 100_000
      ? `, ${mb(arriving.have)} of a message of ${mb(arriving.whole)} from it have arrived`
      : ""
  return `the link with ${name} is slow: a round trip takes ${seconds(transitMs ?? 0)}${to}${from}`
}

/** Why there is no leader, as far as this node can tell. */
const noLeaderText = (facts: Facts, state: Readonly<State>, ms: Millis): string => {
  const { links, unlisted, self } = facts
  const configuration = configurationOf(state)
  const { electionMin, electionMax } = state.settings
  const voters = votersOf(configuration)
  const linkOf = ({ name }: Member): Link | undefined => links.find((link) => link.name === name)
  const missing = voters
    .filter((voter) => voter.name !== self.name && linkOf(voter) === undefined)
    .map(({ name }) => name)
  const foreign = strangers(configuration, links)
  const lost = links.filter(({ hello, connected }) => !connected && hello?.refused != null)
  const up = links.filter((link) => link.connected && !foreign.includes(link))
  const silent = up.filter(({ lastReceivedMs }) => (lastReceivedMs ?? 0) > Math.max(electionMax, 2500))
  const slow = up.filter((link) => !silent.includes(link) && (link.transitMs ?? 0) > electionMin)
  const away = links.filter((link) => !link.connected && !lost.includes(link))
  const addressOf = (name: string): string => unlisted.find((other) => other.name === name)?.address ?? "?"
  const causes = [
    ...(missing.length === 0
      ? []
      : [
          `${list(missing)} ${one(missing, "is a member", "are members")} and not in the peer list of ${self.name}: add ${missing.map((name) => `${name}=${addressOf(name)}`).join(",")}`,
        ]),
    ...(foreign.length === 0 ? [] : [strangerText(foreign)]),
    ...lost.map(({ name }) => `the directory of ${name} counts as lost`),
    ...silent.map(
      ({ name, lastReceivedMs }) =>
        `not a byte from ${name} for ${seconds(lastReceivedMs ?? 0)}: its process is paused or hangs, or the network is gone`,
    ),
    ...slow.map(slowText),
    ...away.map(({ name, problem }) => `not connected: ${name}${problem === null ? "" : ` (${problem})`}`),
  ]
  const reached = (member: Member): boolean =>
    same(member, self) || up.some((link) => link.name === member.name && !silent.includes(link))
  const because = causes.length === 0 ? "" : ` (${causes.join("; ")})`
  const way = foreign.length === 0 ? "" : ` ${LOST_MEMBER_ADVICE}`
  const since = `no leader for ${seconds(ms)}`
  if (!hasQuorum(configuration, reached)) {
    const count = voters.filter(reached).length
    return `${since}: a majority of the members must be up and connected, and of ${voters.length} ${count === 1 ? "only this one is" : `${count} are`}${because}.${way}`
  }
  // A majority is connected, and would elect a leader at once if the links were fast enough.
  if (slow.length > 0)
    return `${since}: messages take longer than an election timeout (${seconds(electionMin)})${because}`
  if (missing.length > 0) return `${since} is known here, although a majority is connected${because}.${way}`
  return `${since} although a majority of the members is connected: an election is under way, in term ${state.currentTerm}${because}`
}

/** On a leader: the voters without disk space, if the other voters are no majority. */
const fullFollowers = (state: Readonly<State>): readonly string[] => {
  if (state.role.type !== "leader") return []
  const { progress } = state.role
  const isFull = (member: Member): boolean => !same(member, state.self) && progress[member.name]?.condition === "full"
  const configuration = configurationOf(state)
  if (hasQuorum(configuration, (member) => !isFull(member))) return []
  return [
    ...new Set(
      votersOf(configuration)
        .filter(isFull)
        .map(({ name }) => name),
    ),
  ]
}

/** Everything that is wrong with a running node, in the order in which it should be repaired. */
const running = (facts: Facts, state: Readonly<State>): readonly Health[] => {
  const {
    self,
    pending,
    leaderlessMs,
    links,
    short,
    clock,
    advertises = "",
    files = [],
    certificateEnds = null,
  } = facts
  const { name } = self
  if (isAmnesiac(state)) return [{ reason: "amnesiac", text: amnesiacText(facts) }]
  if (memberRole(state) === null)
    return [
      {
        reason: "removed",
        text: `${name} is no member of the cluster any more: it was removed. Stop it; its data directory is no longer needed.`,
      },
    ]
  const found: Health[] = []
  const say = (reason: Reason, text: string): void => void found.push({ reason, text })
  if (state.machine === "rebuild")
    say(
      "rebuilding",
      `the data of ${name} are lost or damaged and are being rebuilt from a peer. No action is needed while a leader is up.`,
    )
  if (pending.wanting !== null) say("log waits", pending.wanting)
  else if (pending.ms > state.settings.diskStallTimeout)
    say(
      "disk slow",
      `the disk of ${name} has been at work on one write to the log for ${seconds(pending.ms)}: until that ends this node acknowledges nothing. Look at the load and the health of the disk.`,
    )
  if (leaderlessMs !== null && leaderlessMs > state.settings.electionMax)
    say("no leader", noLeaderText(facts, state, leaderlessMs))
  const refused = links.find((link) => link.refused !== null)?.refused ?? null
  if (refused !== null) say("peer refused", refused)
  if (short !== null) say("data wait", `${short}. Free some space.`)
  const full = fullFollowers(state)
  if (full.length > 0)
    say(
      "disk full",
      `the disks of ${list(full)} are nearly full, so no majority has room: writes are refused until there is. Free some space there.`,
    )
  else if (state.spaceLow)
    say("disk full", "the disk is nearly full: writes are refused until there is room. Free some space.")
  if (clock !== null) say("clock", `${clockText(name, clock)}.`)
  const written = configurationOf(state).addresses?.[name]
  if (advertises !== "" && written !== undefined && written !== advertises)
    say(
      "moved",
      `${name} has moved: it is found at ${advertises}, and the cluster still has ${written} written down. The leader changes that as soon as it is connected with ${name}; until then only members that ${name} reaches by itself find it, so move no other node yet.`,
    )
  if (certificateEnds !== null) {
    const ended = certificateEnds.getTime() <= Date.now()
    say(
      "certificate",
      `the certificate of ${name} ${ended ? "ended" : "ends"} at ${certificateEnds.toISOString()}: no new connection can be made with it ${ended ? "any more" : "after that"}. Replace it (stepraft cert node ${name} --replace, where the authority's key is kept); a restart is not needed.`,
    )
  }
  if (files.length > 0)
    say(
      "files",
      `${name} goes on with earlier files, and with those that lie there now its next start would fail: ${files.join("; ")}. Mend them; a restart is not needed.`,
    )
  return found
}

/** Everything that is wrong, in the order in which it should be repaired. */
export const problemsOf = (facts: Facts): readonly Health[] => {
  const { self, phase, state, stopping, failed, refused } = facts
  if (failed !== null) return [{ reason: "failed", text: `${self.name} has failed and is stopping (${failed})` }]
  if (stopping) return [{ reason: "stopping", text: "stopping" }]
  if (refused !== null) return [{ reason: "refused", text: refusedText(self.name, refused) }]
  if (state !== null) return running(facts, state)
  // A member that joined later cannot say who founded the cluster, only that it exists.
  const holder =
    phase.doing === "forming"
      ? facts.links.find(({ connected, hello }) => connected && hello?.cluster != null && !hello.empty)
      : undefined
  if (holder?.hello?.cluster != null)
    return [
      {
        reason: "amnesiac",
        text: amnesiacText({ ...facts, phase: { doing: "waiting", of: holder.name, cluster: holder.hello.cluster } }),
      },
    ]
  if (phase.doing === "forming") return [{ reason: "forming", text: formingText(facts) }]
  if (phase.doing === "waiting") return [{ reason: "amnesiac", text: amnesiacText(facts) }]
  return [{ reason: "starting", text: `starting: ${startingText(phase)}` }]
}

export const healthOf = (facts: Facts): Health => problemsOf(facts)[0] ?? { reason: "ok", text: "ok" }

/**
 * Whether clients are answered LOADING, and INFO says loading:1: the data are here or being received, but not ready.
 */
export const isLoading = ({ reason }: Health): boolean =>
  reason === "starting" || reason === "rebuilding" || reason === "data wait"

/** The reasons that are logged here. The others are logged where they arise. */
const TOLD: ReadonlySet<Reason> = new Set<Reason>(["ok", "no leader", "disk slow", "disk full", "removed"])
const LOOK_MS = 1000
/**
 * Logs a reason once it has lasted from one check to the next, and logs its end. Returns the function that stops this.
 */
export const watchHealth = (health: () => Health, log: Logger): (() => void) => {
  let seen: Reason = "ok"
  let told: Reason = "ok"
  const timer = setInterval(() => {
    const { reason, text } = health()
    if (reason === seen && reason !== told && TOLD.has(reason)) {
      log(reason === "ok" ? "info" : "warn", reason === "ok" ? "well again" : text)
      told = reason
    }
    seen = reason
  }, LOOK_MS)
  return () => clearInterval(timer)
}
