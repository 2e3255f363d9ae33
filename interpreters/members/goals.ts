/**
 * The goals of changes to a cluster's members, and the next step towards each. The step is a function of what the
 * leader knows. So a goal that was half reached, by any caller, is simply continued, and one that is reached needs no
 * step. That makes every verb safe to repeat, after any outcome and at any node.
 */
import {
  configurationOf,
  hasQuorum,
  levelOf,
  sameMember,
  type Addresses,
  type Configuration,
  type Index,
  type Leader,
  type Member,
  type Progress,
  type State,
} from "../../core/index.ts"
import type { Features } from "../features.ts"

export type Goal =
  /**
   * It becomes a learner: it receives the log and has no vote. `address`: where it is found, if it has not announced
   * that itself.
   */
  | { readonly type: "add"; readonly name: string; readonly address: string | null }
  /** A learner becomes a voter once it has caught up. */
  | { readonly type: "promote"; readonly name: string; readonly evenIfQuorumIsLost: boolean }
  | { readonly type: "remove"; readonly name: string; readonly evenIfQuorumIsLost: boolean }
  /**
   * `by` becomes a voter in the place of `name`. If both are the same name: that member votes with its present
   * directory, because the one that the cluster knows is lost. Otherwise: `by` becomes a learner first, and `name`
   * keeps its vote until `by` has caught up.
   */
  | {
      readonly type: "replace"
      readonly name: string
      readonly by: string
      readonly address: string | null
      readonly evenIfQuorumIsLost: boolean
    }
  /** A member other than `from` leads: `to`, if it is given. */
  | { readonly type: "transfer"; readonly to: string | null; readonly from: string | null }

/** The process that is connected under a name, and its address. */
export interface Presence {
  readonly member: Member
  readonly connected: boolean
  readonly address: string | null
  readonly features: Features
}

export interface CatchUp {
  readonly name: string
  readonly matchIndex: Index
  readonly lastIndex: Index
  readonly entriesLeft: number
  /**
   * Bytes of the log that it still lacks; null: the log does not reach back that far, so a snapshot is needed first.
   */
  readonly bytesLeft: number | null
  /** Bytes of the snapshot that were sent so far; null: none is being sent. */
  readonly snapshotSent: number | null
}

export type RefusalReason =
  | "unknownMember"
  | "otherIncarnation"
  | "stillThere"
  | "lastVoter"
  | "wouldLoseQuorum"
  | "notAVoter"
  | "busy"
  | "exhausted"
  | "levelTooLow"
  | "notPossible"
export type GoalStep =
  | { readonly type: "done"; readonly text: string }
  | { readonly type: "change"; readonly configuration: Omit<Configuration, "outgoing">; readonly text: string }
  | { readonly type: "transfer"; readonly to: Member | null; readonly text: string }
  /** Try to reach the member at this address. */
  | { readonly type: "reach"; readonly name: string; readonly address: string; readonly text: string }
  | { readonly type: "wait"; readonly text: string; readonly catchUp: CatchUp | null }
  | { readonly type: "refuse"; readonly reason: RefusalReason; readonly text: string }

/** What a leader knows: steps are computed on a leader only. */
export interface LeaderView {
  readonly state: Readonly<State>
  readonly leader: Readonly<Leader>
  readonly presence: (name: string) => Presence | null
}

const wait = (text: string, catchUp: CatchUp | null = null): GoalStep => ({ type: "wait", text, catchUp })
const refuse = (reason: RefusalReason, text: string): GoalStep => ({ type: "refuse", reason, text })
const done = (text: string): GoalStep => ({ type: "done", text })
const list = (members: readonly Member[]): string => members.map(({ name }) => name).join(", ")

const progressOf = ({ leader }: LeaderView, member: Member): Readonly<Progress> | null => {
  const progress = leader.progress[member.name]
  return progress !== undefined && sameMember(progress.member, member) ? progress : null
}

/**
 * Heard from within the last rounds, or since the last check of the quorum. Round 0: not heard from in this term,
 * however young the term is.
 */
export const isReachable = (view: LeaderView, member: Member): boolean => {
  if (sameMember(member, view.state.self)) return true
  const progress = progressOf(view, member)
  return progress !== null && (progress.active || (progress.round > 0 && progress.round >= view.leader.round - 2))
}

export const catchUpOf = (view: LeaderView, member: Member): CatchUp => {
  const { log } = view.state
  const progress = progressOf(view, member)
  const matchIndex = progress?.matchIndex ?? 0
  const { mode } = progress ?? {}
  return {
    name: member.name,
    matchIndex,
    lastIndex: log.lastIndex,
    entriesLeft: log.lastIndex - matchIndex,
    bytesLeft: matchIndex < log.base.index ? null : log.bytesThrough(log.lastIndex) - log.bytesThrough(matchIndex),
    snapshotSent: mode?.type === "snapshot" ? mode.offset : null,
  }
}
/**
 * The policy: it is heard from, its state machine works, its disk holds the entry that made it a learner (the core
 * demands that too), and what it lacks fits into one append. So the next entries do not have to wait for it.
 */
export const isCaughtUp = (view: LeaderView, member: Member): boolean => {
  const { state } = view
  const { bytesLeft, matchIndex } = catchUpOf(view, member)
  return (
    progressOf(view, member)?.condition === "ready" &&
    isReachable(view, member) &&
    matchIndex >= (state.configurations.at(-1)?.index ?? 0) &&
    bytesLeft !== null &&
    bytesLeft <= state.settings.maxBatchBytes
  )
}
const catchingUp = (view: LeaderView, member: Member): GoalStep => {
  const catchUp = catchUpOf(view, member)
  const { name, matchIndex, lastIndex, bytesLeft, snapshotSent } = catchUp
  if (!isReachable(view, member)) return wait(`${name} is not connected: check that it runs and is connected`, catchUp)
  if (snapshotSent !== null)
    return wait(`${name} is catching up: ${snapshotSent} bytes of a snapshot have been sent`, catchUp)
  return wait(
    `${name} is catching up: entry ${matchIndex} of ${lastIndex}${bytesLeft === null ? "" : `, ${bytesLeft} bytes to go`}`,
    catchUp,
  )
}

const nameIs =
  (name: string) =>
  (member: Member): boolean =>
    member.name === name
const without = (members: readonly Member[], name: string): readonly Member[] =>
  members.filter((member) => member.name !== name)
const addressesOf = ({ addresses = {} }: Configuration, name: string, address: string | null): Addresses =>
  address === null || address === "" ? addresses : { ...addresses, [name]: address }
const addressesWithout = ({ addresses = {} }: Configuration, name: string): Addresses =>
  Object.fromEntries(Object.entries(addresses).filter(([known]) => known !== name))

/** Refuses if too few of these voters are reachable to decide anything. */
const quorumKept = (view: LeaderView, voters: readonly Member[], even: boolean, what: string): GoalStep | null => {
  if (voters.length === 0)
    return refuse(
      "lastVoter",
      `${what} would leave no voter. Nothing was changed: add and promote another member first`,
    )
  const reachable = (member: Member): boolean => isReachable(view, member)
  if (even || hasQuorum({ voters, outgoing: [], learners: [] }, reachable)) return null
  const away = voters.filter((voter) => !reachable(voter))
  return refuse(
    "wouldLoseQuorum",
    `${what} would leave ${list(voters)} as voters, of whom ${list(away)} ${away.length === 1 ? "is" : "are"} silent: no majority could decide anything, not even this change, and the cluster would stop. Nothing was changed. Bring ${list(away)} back, or replace ${away.length === 1 ? "it" : "them"} first; or ask for it with evenIfQuorumIsLost`,
  )
}

/** A connected process that can become a member; otherwise how to find it, and what to wait for. */
const newcomer = (view: LeaderView, name: string, address: string | null): Presence | GoalStep => {
  const presence = view.presence(name)
  const level = levelOf(configurationOf(view.state))
  if (presence !== null && presence.features.level < level)
    return refuse(
      "levelTooLow",
      `${name} runs version ${presence.features.version} and supports feature levels up to ${presence.features.level}, but the cluster is at level ${level}: it could not read what the others write. Nothing was changed. Start ${name} with a version that supports level ${level}, and without a lower --feature-level-max`,
    )
  if (presence?.connected === true) return presence
  const at = presence?.address ?? null
  if (address !== null && at !== address)
    return { type: "reach", name, address, text: `looking for ${name} at ${address}` }
  return wait(
    at === null
      ? `${name} has never connected: start it with an empty directory and the addresses of this cluster, or give its address`
      : `${name} is not connected at ${at}: check that it runs`,
  )
}
const isStep = (found: Presence | GoalStep): found is GoalStep => "type" in found

const learn = (
  now: Configuration,
  { member, address }: Presence,
  wanted: string | null,
): Omit<Configuration, "outgoing"> => ({
  voters: without(now.voters, member.name),
  learners: [...without(now.learners, member.name), member],
  addresses: addressesOf(now, member.name, wanted ?? address),
})

const stepToAdd = (
  view: LeaderView,
  now: Configuration,
  { name, address }: Extract<Goal, { type: "add" }>,
): GoalStep => {
  const known = [...now.voters, ...now.learners].find(nameIs(name))
  const votes = now.voters.some(nameIs(name))
  if (known === undefined) {
    const found = newcomer(view, name, address)
    return isStep(found)
      ? found
      : {
          type: "change",
          configuration: learn(now, found, address),
          text: `${name} becomes a learner (incarnation ${found.member.incarnation})`,
        }
  }
  const presence = view.presence(name)
  if (presence?.connected === true && !sameMember(presence.member, known)) {
    if (votes)
      return refuse(
        "otherIncarnation",
        `${name} is a voter already, of incarnation ${known.incarnation}, and came back with another directory (incarnation ${presence.member.incarnation}). Nothing was changed: replace it`,
      )
    return {
      type: "change",
      configuration: learn(now, presence, address),
      text: `${name} becomes a learner with the directory that it has now (incarnation ${presence.member.incarnation})`,
    }
  }
  if (address !== null && now.addresses?.[name] !== address)
    return {
      type: "change",
      configuration: { voters: now.voters, learners: now.learners, addresses: addressesOf(now, name, address) },
      text: `${name} is found at ${address} from now on`,
    }
  return done(votes ? `${name} is a voter` : `${name} is a learner`)
}

/**
 * The last step of promote and replace: `member`, a learner, becomes a voter; the member that it replaces loses its
 * vote.
 */
const stepToVote = (
  view: LeaderView,
  now: Configuration,
  member: Member,
  instead: string | null,
  even: boolean,
): GoalStep => {
  if (!isCaughtUp(view, member)) return catchingUp(view, member)
  const voters = [...(instead === null ? now.voters : without(now.voters, instead)), member]
  const learners = without(now.learners, member.name)
  return (
    quorumKept(view, voters, even, `making ${member.name} a voter`) ?? {
      type: "change",
      configuration:
        instead === null
          ? { voters, learners }
          : { voters, learners: without(learners, instead), addresses: addressesWithout(now, instead) },
      text: `${member.name} becomes a voter${instead === null ? "" : ` in the place of ${instead}`}`,
    }
  )
}

const stepToPromote = (
  view: LeaderView,
  now: Configuration,
  { name, evenIfQuorumIsLost }: Extract<Goal, { type: "promote" }>,
): GoalStep => {
  if (now.voters.some(nameIs(name))) return done(`${name} is a voter`)
  const learner = now.learners.find(nameIs(name))
  if (learner === undefined) return refuse("unknownMember", `${name} is no member. Nothing was changed: add it first`)
  const presence = view.presence(name)
  if (presence?.connected === true && !sameMember(presence.member, learner))
    return refuse(
      "otherIncarnation",
      `${name} came back with another directory (incarnation ${presence.member.incarnation}) than the one that is a learner (${learner.incarnation}). Nothing was changed: call add for what is there now, then promote it`,
    )
  return stepToVote(view, now, learner, null, evenIfQuorumIsLost)
}

const stepToRemove = (
  view: LeaderView,
  now: Configuration,
  { name, evenIfQuorumIsLost }: Extract<Goal, { type: "remove" }>,
): GoalStep => {
  const voters = without(now.voters, name)
  const learners = without(now.learners, name)
  const votes = voters.length < now.voters.length
  if (!votes && learners.length === now.learners.length) return done(`${name} is no member`)
  const change: GoalStep = {
    type: "change",
    configuration: { voters, learners, addresses: addressesWithout(now, name) },
    text: `${name} leaves the cluster`,
  }
  return votes ? (quorumKept(view, voters, evenIfQuorumIsLost, `removing ${name}`) ?? change) : change
}

const stepToReplaceDisk = (
  view: LeaderView,
  now: Configuration,
  { name, address, evenIfQuorumIsLost }: Extract<Goal, { type: "replace" }>,
): GoalStep => {
  const voter = now.voters.find(nameIs(name))
  const learner = now.learners.find(nameIs(name))
  const known = voter ?? learner
  if (known === undefined)
    return refuse("unknownMember", `${name} is no member. Nothing was changed: add it, then promote it`)
  const presence = view.presence(name)
  if (presence?.connected === true && sameMember(presence.member, known)) {
    if (learner !== undefined) return stepToVote(view, now, learner, null, evenIfQuorumIsLost)
    if (address !== null && presence.address !== null && presence.address !== address)
      return refuse(
        "stillThere",
        `${name} runs at ${presence.address} with the directory that the cluster knows. Nothing was changed: stop it there before it is replaced by the one at ${address}`,
      )
    return done(`${name} votes with the directory that it has (incarnation ${known.incarnation})`)
  }
  const found = newcomer(view, name, address)
  if (isStep(found)) return found
  const text = `${name} becomes a learner with the directory that it has now (incarnation ${found.member.incarnation}); the one of incarnation ${known.incarnation} counts no more`
  const change: GoalStep = { type: "change", configuration: learn(now, found, address), text }
  return voter === undefined
    ? change
    : (quorumKept(view, without(now.voters, name), evenIfQuorumIsLost, `replacing ${name}`) ?? change)
}

const stepToReplaceMachine = (
  view: LeaderView,
  now: Configuration,
  goal: Extract<Goal, { type: "replace" }>,
): GoalStep => {
  const { name, by, address, evenIfQuorumIsLost } = goal
  const voter = now.voters.find(nameIs(name))
  const learner = now.learners.find(nameIs(name))
  const heir = [...now.voters, ...now.learners].find(nameIs(by))
  if (now.voters.some(nameIs(by))) {
    if (voter === undefined && learner === undefined) return done(`${by} votes, ${name} is no member`)
    return refuse(
      "notPossible",
      `${by} is already a voter, so it cannot replace another one. Nothing was changed: to have one voter less, remove ${name}`,
    )
  }
  if (voter === undefined)
    return refuse(
      learner === undefined ? "unknownMember" : "notAVoter",
      `${name} is no voter, so nothing can vote in its place. Nothing was changed: add ${by}, then promote it`,
    )
  const presence = view.presence(by)
  if (heir === undefined || (presence?.connected === true && !sameMember(presence.member, heir))) {
    const found = newcomer(view, by, address)
    return isStep(found)
      ? found
      : {
          type: "change",
          configuration: learn(now, found, address),
          text: `${by} becomes a learner (incarnation ${found.member.incarnation})`,
        }
  }
  return stepToVote(view, now, heir, name, evenIfQuorumIsLost)
}

const stepToTransfer = (
  view: LeaderView,
  now: Configuration,
  { to, from }: Extract<Goal, { type: "transfer" }>,
): GoalStep => {
  const { self } = view.state
  if (to === null ? self.name !== from : self.name === to) return done(`${self.name} leads`)
  if (view.leader.transfer !== null) return wait(`leadership is being handed over to ${view.leader.transfer.to.name}`)
  if (to === null)
    return now.voters.length < 2
      ? refuse("notPossible", `${self.name} is the only voter: no other member can lead`)
      : { type: "transfer", to: null, text: "leadership is handed over" }
  const target = now.voters.find(nameIs(to))
  if (target === undefined)
    return refuse(
      "notAVoter",
      `${to} is no voter, so it cannot lead. ${self.name} goes on. The voters are ${list(now.voters)}`,
    )
  if (!isReachable(view, target)) return wait(`${to} is not connected: check that it runs and is connected`)
  // While leadership is being handed over the leader accepts no writes. So this waits until the target can take over at
  // once.
  return isCaughtUp(view, target)
    ? { type: "transfer", to: target, text: `leadership is handed over to ${to}` }
    : catchingUp(view, target)
}

/** The voters that keep a change from being committed, for people. */
const absent = (view: LeaderView): string => {
  const { voters, outgoing } = configurationOf(view.state)
  const away = [...voters, ...outgoing].filter((member) => !isReachable(view, member))
  return away.length === 0 ? "" : `; silent: ${list(away)}`
}

export const nextStep = (view: LeaderView, goal: Goal): GoalStep => {
  const { state, leader } = view
  const inForce = state.configurations.at(-1)
  if (inForce === undefined) return wait("no configuration is known")
  const now = inForce.configuration
  if (goal.type === "transfer") return stepToTransfer(view, now, goal)
  if (now.outgoing.length > 0 || inForce.index > state.commitIndex || state.commitIndex < leader.termStart)
    return wait(`a change is being committed${absent(view)}`)
  if (leader.transfer !== null) return wait(`leadership is being handed over to ${leader.transfer.to.name}`)
  switch (goal.type) {
    case "add":
      return stepToAdd(view, now, goal)
    case "promote":
      return stepToPromote(view, now, goal)
    case "remove":
      return stepToRemove(view, now, goal)
    case "replace":
      return goal.by === goal.name ? stepToReplaceDisk(view, now, goal) : stepToReplaceMachine(view, now, goal)
  }
}
