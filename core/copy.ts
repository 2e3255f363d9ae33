/**
 * A copy of a state, for callers that run the reducer in place and keep the earlier state: the simulation and the
 * explorer. (The public `step` shares structure through immer; this copy takes a small part of its time.)
 *
 * What the reducer changes in place is copied; what it only replaces is shared. Each copy is written out as a literal, in
 * the order in which the original is made: engines then give both the same hidden class, and code that runs on both
 * stays fast. Copies by spread would each get a class of their own.
 */
import type {
  Candidate,
  Durability,
  Follower,
  Forwards,
  Leader,
  Progress,
  ProgressMode,
  ReplicatedClock,
  Role,
  State,
} from "./state.ts"

const copyMode = (mode: ProgressMode): ProgressMode => {
  switch (mode.type) {
    case "probe":
      return { type: "probe", waiting: mode.waiting }
    case "replicate":
      return { type: "replicate", inflight: mode.inflight.slice(), inflightBytes: mode.inflightBytes }
    case "snapshot": {
      const { snapshot, offset, waiting, heartbeats } = mode
      return { type: "snapshot", snapshot, offset, waiting, heartbeats }
    }
  }
}
const copyProgress = (progress: Progress): Progress => ({
  member: progress.member,
  matchIndex: progress.matchIndex,
  nextIndex: progress.nextIndex,
  active: progress.active,
  condition: progress.condition,
  round: progress.round,
  wantsCommit: progress.wantsCommit,
  sentCommit: progress.sentCommit,
  sentRound: progress.sentRound,
  wallOffset: progress.wallOffset,
  wallAt: progress.wallAt,
  mode: copyMode(progress.mode),
})
const copyRecord = <A>(record: Readonly<Record<string, A>>, copyOf: (value: A) => A): Record<string, A> => {
  const copy: Record<string, A> = {}
  for (const name in record) {
    const value = record[name]
    if (value !== undefined) copy[name] = copyOf(value)
  }
  return copy
}
const itself = <A>(value: A): A => value

const copyFollower = (follower: Follower): Follower => {
  const { asked, install } = follower
  return {
    type: "follower",
    leader: follower.leader,
    stickiness: follower.stickiness,
    verified: follower.verified,
    reportedMatch: follower.reportedMatch,
    reportedRound: follower.reportedRound,
    round: follower.round,
    leaderTime: follower.leaderTime,
    aheadSince: follower.aheadSince,
    reply: follower.reply,
    asked: asked === null ? null : { number: asked.number, refs: asked.refs, overdue: asked.overdue },
    unsentReads: follower.unsentReads.slice(),
    install:
      install === null ? null : { snapshot: install.snapshot, nextOffset: install.nextOffset, phase: install.phase },
  }
}
const copyCandidate = (candidate: Candidate): Candidate => ({
  type: candidate.type,
  votes: copyRecord(candidate.votes, itself),
  asked: candidate.asked,
  transfer: candidate.transfer,
  askedAt: candidate.askedAt,
  wallOffsets: copyRecord(candidate.wallOffsets, itself),
  timeOffset: candidate.timeOffset,
})
const copyForwards = ({ from, bootId, floor, recent }: Forwards): Forwards => ({
  from,
  bootId,
  floor,
  recent: recent.slice(),
})
const copyLeader = (leader: Leader): Leader => {
  const { transfer } = leader
  return {
    type: "leader",
    termStart: leader.termStart,
    progress: copyRecord(leader.progress, copyProgress),
    round: leader.round,
    confirmedRound: leader.confirmedRound,
    reads: leader.reads.slice(),
    forwards: leader.forwards.map(copyForwards),
    transfer: transfer === null ? null : { to: transfer.to, sent: transfer.sent },
    lease: leader.lease,
    leasedRound: leader.leasedRound,
    targetsAsOf: leader.targetsAsOf,
    watchedPersist: leader.watchedPersist,
    since: leader.since,
    agreedOffset: leader.agreedOffset,
    comparedAt: leader.comparedAt,
  }
}
const copyRole = (role: Role): Role => {
  switch (role.type) {
    case "follower":
      return copyFollower(role)
    case "preCandidate":
    case "candidate":
      return copyCandidate(role)
    case "leader":
      return copyLeader(role)
  }
}

const copyDurability = (durability: Durability): Durability => ({
  nextSeq: durability.nextSeq,
  outstanding: durability.outstanding.map(({ seq, hardState, lastIndex }) => ({ seq, hardState, lastIndex })),
  hardState: durability.hardState,
  index: durability.index,
  queued: durability.queued,
  unsavedFrom: durability.unsavedFrom,
  truncateFrom: durability.truncateFrom,
  base: durability.base,
})
const copyClock = (clock: ReplicatedClock): ReplicatedClock => ({
  monotonic: clock.monotonic,
  wall: clock.wall,
  time: clock.time,
  at: clock.at,
  settled: clock.settled,
  unsteered: clock.unsteered,
})

export const copyState = (state: State): State => ({
  self: state.self,
  settings: state.settings,
  bootId: state.bootId,
  halted: state.halted,
  currentTerm: state.currentTerm,
  votedFor: state.votedFor,
  termLeader: state.termLeader,
  pendingVote: state.pendingVote,
  role: copyRole(state.role),
  log: state.log,
  configurations: state.configurations.slice(),
  commitIndex: state.commitIndex,
  durability: copyDurability(state.durability),
  applying: state.applying,
  applied: state.applied,
  machine: state.machine,
  restoring: state.restoring,
  snapshotting: state.snapshotting,
  snapshotIndex: state.snapshotIndex,
  confirmedReads: state.confirmedReads.slice(),
  forwarded: state.forwarded.map(({ ref, overdue }) => ({ ref, overdue })),
  awaitingAnswer: state.awaitingAnswer,
  readNumber: state.readNumber,
  clock: copyClock(state.clock),
  spaceLow: state.spaceLow,
})
