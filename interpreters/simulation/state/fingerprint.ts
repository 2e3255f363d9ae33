/** A 32-bit hash of a world, field by field: independent of the order of keys, with payloads by their checksums. */
import {
  membersOf,
  replicatedTime,
  type Configuration,
  type Entry,
  type Follower,
  type HardState,
  type Leader,
  type Log,
  type LogBase,
  type Member,
  type State,
} from "../../../core/index.ts"
import { finish, mix, mixText } from "./hash.ts"
import { nodeOf } from "./fold.ts"
import type { NodeState, WorldState } from "./types.ts"

/** How many entries at the end of a log are hashed; earlier ones are covered by the machines' digests. */
const TAIL = 32

const ofMember = (hash: number, member: Member | null): number =>
  member === null ? mix(hash, 0) : mixText(mixText(hash, member.name), member.incarnation)
const ofHardState = (hash: number, { term, vote }: HardState): number => ofMember(mix(hash, term), vote)
const ofConfiguration = (hash: number, { voters, outgoing, learners }: Configuration): number => {
  let h = mix(mix(mix(hash, voters.length), outgoing.length), learners.length)
  for (const half of [voters, outgoing, learners]) for (const member of half) h = ofMember(h, member)
  return h
}
const ofBase = (hash: number, { index, term, time, chain }: LogBase): number =>
  mix(mix(mix(mix(hash, index), term), time), chain)
const ofEntry = (hash: number, entry: Entry): number => {
  const h = mix(mix(mix(mix(hash, entry.index), entry.term), entry.time), entry.chain)
  if (entry.kind === "command") return mix(mix(h, 1), entry.payload.checksum)
  return entry.kind === "noop" ? mix(h, 2) : ofConfiguration(mix(h, 3), entry.configuration)
}
const ofLog = (hash: number, log: Log): number => {
  let h = mix(ofBase(hash, log.base), log.lastIndex)
  for (let index = Math.max(log.base.index + 1, log.lastIndex - TAIL + 1); index <= log.lastIndex; index++) {
    const entry = log.entry(index)
    if (entry !== undefined) h = ofEntry(h, entry)
  }
  return h
}

const ofFollower = (hash: number, role: Follower): number => {
  let h = ofMember(mix(hash, role.stickiness === "active" ? 1 : 2), role.leader)
  h = mix(mix(mix(mix(h, role.verified), role.reportedMatch), role.reportedRound), role.round)
  h =
    role.reply === null
      ? mix(h, 0)
      : role.reply === "accept"
        ? mix(h, 1)
        : mix(mix(mix(h, 2), role.reply.prevLogIndex), role.reply.conflictIndex)
  h = mix(mix(h, role.asked === null ? 0 : role.asked.number), role.unsentReads.length)
  return role.install === null
    ? h
    : mixText(mix(mixText(h, role.install.snapshot.id), role.install.nextOffset), role.install.phase)
}
const ofLeader = (hash: number, role: Leader, state: State): number => {
  let h = mix(mix(mix(mix(hash, role.termStart), role.round), role.confirmedRound), role.reads.length)
  h = ofMember(mixText(h, role.lease), role.transfer?.to ?? null)
  for (const { name } of membersOf(
    state.configurations.at(-1)?.configuration ?? { voters: [], outgoing: [], learners: [] },
  )) {
    const progress = role.progress[name]
    if (progress === undefined) continue
    h = mix(mix(mix(mix(h, progress.matchIndex), progress.nextIndex), progress.round), progress.active ? 1 : 0)
    h = mixText(mix(mixText(h, progress.condition), progress.sentCommit), progress.mode.type)
  }
  return h
}
const ofRole = (hash: number, state: State): number => {
  const { role } = state
  const h = mixText(hash, role.type)
  if (role.type === "follower") return ofFollower(h, role)
  if (role.type === "leader") return ofLeader(h, role, state)
  const votes = Object.keys(role.votes).sort()
  return votes.reduce(
    (sum, name) => mix(mixText(sum, name), role.votes[name] === true ? 1 : 2),
    mix(h, role.asked ? 1 : 2),
  )
}

/** The state of one core. */
export const fingerprintOfCore = (state: State, start = 0): number => {
  const { durability } = state
  let h = ofMember(
    ofMember(ofMember(mix(mix(start, state.bootId), state.currentTerm), state.self), state.votedFor),
    state.pendingVote,
  )
  h = ofLog(ofRole(h, state), state.log)
  h = mix(mix(mix(mix(h, state.commitIndex), state.applying), state.applied), state.snapshotIndex)
  h = ofHardState(mix(mix(mix(h, durability.nextSeq), durability.index), durability.unsavedFrom), durability.hardState)
  h = mix(ofHardState(h, durability.queued), durability.outstanding.length)
  h = mixText(mixText(h, state.machine), state.restoring ?? "")
  h = mix(
    mix(mix(mix(h, state.snapshotting ? 1 : 0), state.confirmedReads.length), state.forwarded.length),
    replicatedTime(state) + (state.clock.settled ? 1 : 0),
  )
  if (state.halted !== null) h = mixText(h, state.halted.reason)
  return finish(mix(mix(mix(h, state.readNumber), state.configurations.length), state.spaceLow ? 1 : 0))
}

export const fingerprintOfNode = (node: NodeState, start = 0): number => {
  const { disk } = node
  let h = mix(mix(ofMember(start, node.member), node.boot), (node.paused ? 1 : 0) + (node.refused ? 2 : 0))
  // Without copies of directories the count of starts is enough.
  if (node.copy !== null || node.wentBack) h = mix(mix(h, node.start.number), node.start.words.at(-1) ?? 0)
  h = mix(h, node.core === null ? 0 : fingerprintOfCore(node.core))
  h = mix(ofLog(ofHardState(h, disk.hardState), disk.log), disk.pending.length)
  h = ofBase(mix(h, node.machine.digest()), node.machine.position())
  for (const due of node.due) h = mix(h, due)
  for (const count of node.sent) h = mix(h, count ?? 0)
  return finish(mix(h, node.inbox.length))
}

export const fingerprint = (world: WorldState): number => {
  let h = mix(mix(mix(world.seed, world.now), world.steps), world.messages)
  h = mix(mix(h, world.agenda.length), world.planned)
  for (const name of world.names) h = mix(h, fingerprintOfNode(nodeOf(world, name)))
  return finish(h)
}
