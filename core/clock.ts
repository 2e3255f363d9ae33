/**
 * The replicated clock: the time that entries are stamped with. It advances with the leader's monotonic clock, and a
 * new leader continues from the time that it last received, so no wall clock can make it jump or stop. Wall clocks only
 * steer it: a leader learns its followers' wall clocks from their replies, and steers towards the time on which a
 * majority of the voters agrees.
 *
 * After an outage of the whole cluster nothing newer than the last stamp in the log is known. Only then may the first
 * leader step the clock forward, once, to the time on which a majority agrees, before it accepts a command. It gives up
 * waiting for such a majority when all voters have reported their clocks and no majority agrees, or after PATIENCE.
 * From then on the clock is settled.
 */
import { MAX_COUNT } from "./domain.ts"
import { configurationOf } from "./membership.ts"
import { majority } from "./quorum.ts"
import { note, sameMember, type Turn } from "./turn.ts"
import type { Candidate, Follower, Leader, Millis, Progress, ReplicatedClock, Stamp, State } from "./types.ts"

/**
 * A leader steers by at most one part in this many. Even with monotonic clocks that are up to 45 ‰ wrong, the replicated
 * clock then runs at between 0.9 and 1.1 of real time.
 */
const STEERING = 20
/** The clocks of a majority agree if they differ by no more than this, which includes the delays of the replies. */
const TOLERANCE: Millis = 2000
/** A reply that took longer than this says too little about its sender's clock. */
const MOST_DELAY: Millis = 1000
/** A clock that has not been reported for this long no longer counts. */
const OUTDATED: Millis = 10_000
/** A leader compares clocks this often. */
const INTERVAL: Millis = 100
/** How long the first leader after an outage waits for clocks that agree. */
const PATIENCE: Millis = 5000
/**
 * A leader whose messages carry another time for this long really has another time: the messages that queued up while
 * this process was paused are all read within less.
 */
const CERTAIN: Millis = 2000
/**
 * A follower that is ahead of its leader slows its clock by at most one part in this many. It may not be ahead at all:
 * the message may just have been slow.
 */
const GIVING_WAY = 5

export const newClock = (time: Stamp): ReplicatedClock => ({
  monotonic: 0,
  wall: 0,
  time,
  at: 0,
  settled: false,
  unsteered: 0,
})

/** On a leader, the stamp that an entry would get now; elsewhere the best estimate of it. */
export const replicatedTime = ({ clock }: Pick<State, "clock">): Stamp =>
  Math.min(clock.time + clock.monotonic - clock.at, MAX_COUNT)

export const nextStamp = (state: State): Stamp => Math.max(state.log.last.time, replicatedTime(state))

const goOnFrom = (clock: ReplicatedClock, time: Stamp): void => {
  clock.time = Math.min(time, MAX_COUNT)
  clock.at = clock.monotonic
}

// ------------------------------------------------------------------------------------------- followers

/**
 * A leader sent its time. The latest time counts: a slow message must not set the clock back. A process that was paused
 * then reads messages that are as old as the pause was long. So a leader's time that is more than PATIENCE behind
 * counts only after every message for the length of CERTAIN has said the same.
 */
export const receiveLeaderTime = (state: State, follower: Follower, time: Stamp, settled: boolean): void => {
  const { clock } = state
  follower.leaderTime = Math.max(follower.leaderTime, time)
  if (!settled) return
  const ahead = replicatedTime(state) - time
  const far = clock.settled && ahead > PATIENCE
  follower.aheadSince = far ? (follower.aheadSince ?? clock.monotonic) : null
  if (follower.aheadSince !== null) {
    if (clock.monotonic - follower.aheadSince >= CERTAIN) goOnFrom(clock, time)
  } else if (!clock.settled || ahead <= 0) goOnFrom(clock, time)
  else {
    const back = Math.min(ahead, Math.floor((clock.monotonic - clock.at) / GIVING_WAY))
    if (back > 0) goOnFrom(clock, replicatedTime(state) - back)
  }
  clock.settled = true
}

// ------------------------------------------------------------------------------------------ wall clocks

/** `delay`: the longest time that may have passed since the wall clock was read. */
const offsetOf = ({ clock }: State, wall: Stamp, delay: Millis): Millis | null =>
  wall === 0 || delay < 0 || delay > MOST_DELAY ? null : wall + Math.floor(delay / 2) - clock.monotonic

/** The middle of the narrowest range that holds a majority's offsets, or null if that range is too wide. */
const agreement = (offsets: Millis[], voters: number): Millis | null => {
  const needed = majority(voters)
  if (offsets.length < needed) return null
  offsets.sort((a, b) => a - b)
  let best: Millis | null = null
  let least = TOLERANCE
  for (let last = needed - 1; last < offsets.length; last++) {
    const [low, high] = [offsets[last - needed + 1] ?? 0, offsets[last] ?? 0]
    if (high - low > least || (best !== null && high - low === least)) continue
    least = high - low
    best = Math.floor((low + high) / 2)
  }
  return best
}

/** While a configuration is joint, only the clocks of the new voters count. */
const compareClocks = (turn: Turn, leader: Leader): void => {
  const { state } = turn
  const { clock, self } = state
  const { voters } = configurationOf(state)
  const offsets: Millis[] = []
  for (const voter of voters) {
    const progress = leader.progress[voter.name]
    if (sameMember(voter, self)) {
      if (clock.wall > 0) offsets.push(clock.wall - clock.monotonic)
    } else if (progress !== undefined && progress.wallOffset !== null && clock.monotonic - progress.wallAt <= OUTDATED)
      offsets.push(progress.wallOffset)
  }
  const complete = offsets.length === voters.length
  leader.agreedOffset = agreement(offsets, voters.length)
  leader.comparedAt = clock.monotonic
  if (clock.settled) return
  if (leader.agreedOffset !== null) {
    note(turn, "clock.stepped")
    goOnFrom(clock, Math.max(replicatedTime(state), clock.monotonic + leader.agreedOffset))
    clock.settled = true
  } else if (clock.wall > 0 && (complete || clock.monotonic - leader.since >= PATIENCE)) {
    note(turn, "clock.disagreed")
    clock.settled = true
  }
}

// ---------------------------------------------------------------------------------------------- leaders

/** A vote carries the voter's clocks, so that a new leader knows the time as early as possible. */
export const receiveVoterClock = (
  state: State,
  candidate: Candidate,
  voter: string,
  wall: Stamp,
  time: Stamp,
): void => {
  const { clock } = state
  const offset = offsetOf(state, wall, clock.monotonic - candidate.askedAt)
  if (offset !== null) candidate.wallOffsets[voter] = offset
  if (time > 0)
    candidate.timeOffset = Math.max(candidate.timeOffset ?? Number.NEGATIVE_INFINITY, time - clock.monotonic)
}

export const startClock = (turn: Turn, leader: Leader, candidate: Candidate | null): void => {
  const { state } = turn
  const { clock } = state
  goOnFrom(clock, nextStamp(state))
  if (candidate !== null) {
    // A server that has just started takes the time from a voter that heard the last leader.
    if (!clock.settled && candidate.timeOffset !== null) {
      goOnFrom(clock, Math.max(replicatedTime(state), clock.monotonic + candidate.timeOffset))
      clock.settled = true
    }
    for (const name in candidate.wallOffsets) {
      const progress = leader.progress[name]
      if (progress === undefined) continue
      progress.wallOffset = candidate.wallOffsets[name] ?? null
      progress.wallAt = clock.monotonic
    }
  }
  compareClocks(turn, leader)
}

/**
 * A follower's reply carries its wall clock, and the latest leader's time that it had received, which shows how old the
 * reading is.
 */
export const receiveFollowerClock = (
  turn: Turn,
  leader: Leader,
  progress: Progress,
  wall: Stamp,
  leaderTime: Stamp,
): void => {
  const { state } = turn
  const offset = offsetOf(state, wall, replicatedTime(state) - leaderTime)
  if (offset === null) return
  progress.wallOffset = offset
  progress.wallAt = state.clock.monotonic
  if (!state.clock.settled) compareClocks(turn, leader)
}

export const onClockAdvanced = (turn: Turn, monotonic: Millis, wall: Stamp): void => {
  const { clock, role } = turn.state
  const elapsed = Math.max(0, monotonic - clock.monotonic)
  clock.monotonic += elapsed
  clock.wall = wall
  if (role.type !== "leader") return
  if (!clock.settled || clock.monotonic - role.comparedAt >= INTERVAL) compareClocks(turn, role)
  clock.unsteered += elapsed
  const most = Math.floor(clock.unsteered / STEERING)
  if (most === 0) return
  clock.unsteered -= most * STEERING
  if (!clock.settled || role.agreedOffset === null) return
  const behind = clock.monotonic + role.agreedOffset - replicatedTime(turn.state)
  clock.time += Math.max(-most, Math.min(most, behind))
}

/** True right after an outage of the whole cluster: commands would be stamped with a time that is about to jump. */
export const awaitsClocks = ({ clock }: State): boolean => !clock.settled && clock.wall > 0
