/**
 * Changes of configuration (paper §6), through a joint configuration, in which old and new voters each need a majority.
 * Whichever leader sees the joint entry committed appends the entry that leaves it. Learners do not vote, so a change of
 * learners alone needs no joint configuration.
 */
import { chainAfter } from "./chain.ts"
import { MAX_INDEX } from "./domain.ts"
import { appendToLog } from "./durability.ts"
import { nextStamp } from "./clock.ts"
import { handOver } from "./handover.ts"
import { configurationOf, isVoter, lastConfiguration, levelOf, membersOf } from "./membership.ts"
import { closeSentSnapshot, newProgress, progressOf } from "./progress.ts"
import { replicationTargets, targetsAsOf } from "./removal.ts"
import { sendAppend } from "./replication.ts"
import { becomeFollower } from "./roles.ts"
import { asLeader, knownLeader, note, respond, sameMember, type Turn } from "./turn.ts"
import type { Addresses, Configuration, Index, Leader, Member, ProposalRefusal, State } from "./types.ts"

const sameMembers = (some: readonly Member[], others: readonly Member[]): boolean =>
  some.length === others.length && some.every((member) => others.some((other) => sameMember(member, other)))

type Change = Omit<Configuration, "outgoing">
/** If no addresses are given, they stay the same. */
const sameAddresses = (now: Addresses = {}, then: Addresses = now): boolean => {
  const names = Object.keys(then)
  return names.length === Object.keys(now).length && names.every((name) => now[name] === then[name])
}

/**
 * A valid change leaves at least one voter, names no member twice, does not lower the level, and changes something. And
 * "before they are added to the configuration, the new servers join the cluster as non-voting members", thesis §4.2.1.
 * Otherwise a new voter without a configuration could not vote, and a server that lost its disk would vote beside its
 * earlier incarnation.
 */
const isValidChange = (now: Configuration, { voters, learners, addresses, level = levelOf(now) }: Change): boolean => {
  const names = [...voters, ...learners].map(({ name }) => name)
  if (voters.length === 0 || new Set(names).size !== names.length || level < levelOf(now)) return false
  const same = sameMembers(now.voters, voters) && sameMembers(now.learners, learners)
  if (same && sameAddresses(now.addresses, addresses) && level === levelOf(now)) return false
  return voters.every((voter) => membersOf(now).some((member) => sameMember(member, voter)))
}

/** As far as the leader knows, the member's disk holds the entry at `index` and its state machine works. */
const isFit = (state: State, leader: Leader, member: Member, index: Index): boolean => {
  if (sameMember(member, state.self)) return state.machine === "ready"
  const progress = progressOf(leader, member)
  return progress !== undefined && progress.matchIndex >= index && progress.condition === "ready"
}

const refusalReason = (state: State, change: Change): ProposalRefusal | null => {
  const leader = asLeader(state)
  if (leader === null) return knownLeader(state) === null ? "noLeader" : "notLeader"
  // The entry that leaves the joint configuration needs an index too.
  if (state.log.lastIndex + 2 > MAX_INDEX) return "exhausted"
  if (leader.transfer !== null) return "transferring"
  // Ongaro 2015: until an entry of its own term is committed, a leader may not know of a committed change.
  if (state.commitIndex < leader.termStart) return "notReady"
  const inForce = lastConfiguration(state)
  if (inForce === undefined || inForce.configuration.outgoing.length > 0 || inForce.index > state.commitIndex)
    return "changePending"
  const { index, configuration } = inForce
  if (!isValidChange(configuration, change)) return "invalidChange"
  return change.voters.every((voter) => isVoter(configuration, voter) || isFit(state, leader, voter, index))
    ? null
    : "notReady"
}

const appendConfiguration = (state: State, configuration: Configuration): void => {
  const { log, currentTerm: term } = state
  const entry = {
    kind: "configuration",
    index: log.lastIndex + 1,
    term,
    time: nextStamp(state),
    configuration,
  } as const
  appendToLog(state, [{ ...entry, chain: chainAfter(log.last.chain, entry) }])
}

/** Changes are not forwarded: they must be sent to the leader. */
export const onConfigurationChangeProposed = (turn: Turn, ref: number, change: Change): void => {
  const { state } = turn
  const reason = refusalReason(state, change)
  if (reason !== null) {
    note(turn, "member.changeRefused")
    respond(turn, ref, { type: "ProposalRefused", reason, leader: knownLeader(state) })
    return
  }
  note(turn, "member.changeStarted")
  const now = configurationOf(state)
  const { voters, learners, addresses = now.addresses, level = now.level } = change
  appendConfiguration(state, {
    voters,
    outgoing: sameMembers(now.voters, voters) ? [] : now.voters,
    learners,
    ...(addresses === undefined ? {} : { addresses }),
    ...(level === undefined ? {} : { level }),
  })
  respond(turn, ref, { type: "ProposalAppended", first: state.log.lastIndex, term: state.currentTerm })
}

/** "Once C_old,new has been committed … it is now safe for the leader to create a log entry describing C_new", paper §6. */
const leaveJoint = (turn: Turn, leader: Leader): void => {
  const { state } = turn
  const inForce = lastConfiguration(state)
  if (inForce === undefined || inForce.configuration.outgoing.length === 0) return
  if (
    inForce.index > state.commitIndex ||
    state.commitIndex < leader.termStart ||
    leader.transfer !== null ||
    state.log.lastIndex >= MAX_INDEX
  )
    return
  // If no remaining voter were fit, perhaps none of them could give the others a snapshot.
  if (!inForce.configuration.voters.some((voter) => isFit(state, leader, voter, inForce.index))) return
  note(turn, "member.jointLeft")
  appendConfiguration(state, { ...inForce.configuration, outgoing: [] })
}

/** Keeps one Progress for each replication target. */
const updateTargets = (turn: Turn, leader: Leader): void => {
  const { state } = turn
  const now = targetsAsOf(state)
  if (leader.targetsAsOf.inForce === now.inForce && leader.targetsAsOf.committed === now.committed) return
  leader.targetsAsOf = now
  const targets = replicationTargets(state)
  for (const progress of Object.values(leader.progress)) {
    if (targets.some((member) => sameMember(member, progress.member))) continue
    // Send the removed server one last append, without waiting for a reply, so that it learns of its removal and stops
    // campaigning.
    if (progress.mode.type === "replicate" && progress.nextIndex > state.log.base.index)
      sendAppend(turn, leader, progress, progress.nextIndex - 1, [])
    closeSentSnapshot(turn, progress)
    delete leader.progress[progress.member.name]
  }
  for (const member of targets) leader.progress[member.name] ??= newProgress(member, state.log.lastIndex + 1)
}

/** "The leader steps down (returns to follower state) once it has committed the C_new log entry", paper §6. */
const leaveIfRemoved = (turn: Turn): void => {
  const { state } = turn
  const inForce = lastConfiguration(state)
  if (inForce === undefined || inForce.index > state.commitIndex || isVoter(inForce.configuration, state.self)) return
  note(turn, "member.leaderRemoved")
  if (!handOver(turn)) becomeFollower(turn, null)
}

export const reconfigurationPass = (turn: Turn): void => {
  if (asLeader(turn.state) !== null) leaveIfRemoved(turn)
  const leader = asLeader(turn.state)
  if (leader === null) return
  leaveJoint(turn, leader)
  updateTargets(turn, leader)
}
