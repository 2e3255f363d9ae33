/**
 * The replicated clock: the time that entries are stamped with. It goes on by the leader's monotonic clock, and a new
 * leader goes on from the time that it heard last, so no wall clock makes it leap or stand still. Wall clocks only steer:
 * a leader learns those of its followers from their answers, and leans towards what a majority of the voters agrees on.
 *
 * After an outage of the whole cluster nobody knows more than the last stamp. Then, and only then, the first leader steps
 * forward to what a majority agrees on, before it takes a command. Its right to do so ends when it has done so, when all
 * voters have told their clocks and no majority agrees, or after PATIENCE; from then on the clock is settled.
 */
import { MAX_COUNT } from "./domain.ts"
import { configurationOf } from "./membership.ts"
import { majority } from "./quorum.ts"
import { note, sameMember, type Turn } from "./turn.ts"
import type { Candidate, Follower, Leader, Millis, Progress, ReplicatedClock, Stamp, State } from "./types.ts"

/**
 * A leader leans by one part in so many. With monotonic clocks that are up to 45 ‰ wrong the replicated clock still runs
 * at between 0.9 and 1.1 of real time.
 */
const STEERING = 20
/** The clocks of a majority agree if they lie this close together, the delays of answers included. */
const TOLERANCE: Millis = 2000
/** What an answer that took longer says of its sender's clock is too vague. */
const MOST_DELAY: Millis = 1000
/** Nothing was heard of a clock for so long: it is not counted any more. */
const OUTDATED: Millis = 10_000
/** A leader compares clocks this often. */
const INTERVAL: Millis = 100
/** After an outage the first leader waits this long for clocks that agree. */
const PATIENCE: Millis = 5000
/** A follower that is ahead of its leader gives way by one part in so many: the message may just have taken longer. */
const GIVING_WAY = 5

export const newClock = (time: Stamp): ReplicatedClock => ({ monotonic: 0, wall: 0, time, at: 0, settled: false, unsteered: 0 })

/** What a leader would stamp now; elsewhere the best that is known of it. */
export const replicatedTime = ({ clock }: Pick<State, "clock">): Stamp => Math.min(clock.time + clock.monotonic - clock.at, MAX_COUNT)

export const nextStamp = (state: State): Stamp => Math.max(state.log.lastTime, replicatedTime(state))

const goOnFrom = (clock: ReplicatedClock, time: Stamp): void => {
  clock.time = Math.min(time, MAX_COUNT)
  clock.at = clock.monotonic
}

// ------------------------------------------------------------------------------------------- followers

/**
 * A leader told the time. Of what arrives the latest counts: a message that took long must not set the clock back. No
 * message takes longer than PATIENCE: by so much the leader's time is another.
 */
export const hearTime = (state: State, follower: Follower, time: Stamp, settled: boolean): void => {
  const { clock } = state
  follower.leaderTime = Math.max(follower.leaderTime, time)
  if (!settled) return
  const ahead = replicatedTime(state) - time
  if (!clock.settled || ahead <= 0 || ahead > PATIENCE) goOnFrom(clock, time)
  else {
    const back = Math.min(ahead, Math.floor((clock.monotonic - clock.at) / GIVING_WAY))
    if (back > 0) goOnFrom(clock, replicatedTime(state) - back)
  }
  clock.settled = true
}

// ------------------------------------------------------------------------------------------ wall clocks

/** `delay`: how long ago it may have been read. */
const offsetOf = ({ clock }: State, wall: Stamp, delay: Millis): Millis | null =>
  wall === 0 || delay < 0 || delay > MOST_DELAY ? null : wall + Math.floor(delay / 2) - clock.monotonic

/** The middle of the closest that a majority of the voters comes together, or null if that is too far apart. */
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

/** While a configuration is joint, the clocks of those who will stay count. */
const compareClocks = (turn: Turn, leader: Leader): void => {
  const { state } = turn
  const { clock, self } = state
  const { voters } = configurationOf(state)
  const offsets: Millis[] = []
  for (const voter of voters) {
    const progress = leader.progress[voter.name]
    if (sameMember(voter, self)) {
      if (clock.wall > 0) offsets.push(clock.wall - clock.monotonic)
    } else if (progress !== undefined && progress.wallOffset !== null && clock.monotonic - progress.wallAt <= OUTDATED) offsets.push(progress.wallOffset)
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

/** A vote came with the voter's clocks: the sooner a new leader knows the time, the better. */
export const hearVoterClock = (state: State, candidate: Candidate, voter: string, wall: Stamp, time: Stamp): void => {
  const { clock } = state
  const offset = offsetOf(state, wall, clock.monotonic - candidate.askedAt)
  if (offset !== null) candidate.wallOffsets[voter] = offset
  if (time > 0) candidate.timeOffset = Math.max(candidate.timeOffset ?? Number.NEGATIVE_INFINITY, time - clock.monotonic)
}

export const startClock = (turn: Turn, leader: Leader, candidate: Candidate | null): void => {
  const { state } = turn
  const { clock } = state
  goOnFrom(clock, nextStamp(state))
  if (candidate !== null) {
    // A server that has just started takes the time from a voter that has heard the last leader.
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

/** A follower's answer tells its wall clock, and the leader's time that it had heard: so the leader knows how old that is. */
export const hearFollowerClock = (turn: Turn, leader: Leader, progress: Progress, wall: Stamp, leaderTime: Stamp): void => {
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

/** Right after an outage of the whole cluster: commands would be stamped with a time that is about to leap. */
export const awaitsClocks = ({ clock }: State): boolean => !clock.settled && clock.wall > 0
