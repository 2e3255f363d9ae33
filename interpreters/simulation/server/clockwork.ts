/** Clocks that may run fast, slow or wrong, and timers on them, which never fire early in the node's own time. */
import type { Effect, Timer } from "../../../core/index.ts"
import { schedule, type Fold } from "../state/fold.ts"
import { drawBetween, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import type { ClockState, NodeState } from "../state/types.ts"

/** The index of each timer in a node's arrays. */
export const TIMER_PLACE: Readonly<Record<Timer, number>> = {
  election: 0,
  heartbeat: 1,
  quorum: 2,
  lease: 3,
  persist: 4,
  transfer: 5,
  answer: 6,
}
export const TIMERS: readonly Timer[] = ["election", "heartbeat", "quorum", "lease", "persist", "transfer", "answer"]

/** The virtual milliseconds after which the node's clock has advanced by at least `local`. */
const atLeast = ({ driftPermille }: ClockState, local: number): number =>
  driftPermille === 0 ? local : Math.ceil((local * 1000) / (1000 + driftPermille))
/** The same for a lease, which must not last longer: the clock has advanced by at most `local`. */
const atMost = ({ driftPermille }: ClockState, local: number): number =>
  driftPermille === 0 ? local : Math.floor((local * 1000) / (1000 + driftPermille))

/** The time of a correct wall clock when a world begins. */
export const EPOCH = 1_000_000_000

/** Elapsed time on a clock with drift, in whole milliseconds. */
const drifted = (elapsed: number, permille: number): number =>
  permille === 0 ? elapsed : Math.floor((elapsed * (1000 + permille)) / 1000)
export const wallTime = ({ wall, since, wallDriftPermille }: ClockState, now: number): number =>
  wall + drifted(now - since, wallDriftPermille)
export const monotonicTime = ({ monotonic, since, driftPermille }: ClockState, now: number): number =>
  monotonic + drifted(now - since, driftPermille)

/** When the timer of a live node expires, or undefined. */
export const timerDue = (node: NodeState, timer: Timer): number | undefined => {
  const due = node.due[TIMER_PLACE[timer]] ?? -1
  return due < 0 ? undefined : due
}

/** A postponed timer is checked when it would have expired, and rescheduled then, so each timer has one place in the agenda. */
const watch = (fold: Fold, node: NodeState, place: number, due: number): void => {
  const alarm = node.alarm[place] ?? -1
  const timer = TIMERS[place]
  if ((alarm >= 0 && alarm <= due) || timer === undefined) return
  node.alarm[place] = due
  schedule(fold, due, { type: "alarm", node: node.name, boot: node.boot, timer })
}

/** Called before the first message of a round is sent: a lease is counted from there. */
export const recordRoundStart = (fold: Fold, node: NodeState, round: number): void => {
  if ((node.rounds.at(-1)?.round ?? -1) < round) node.rounds = [...node.rounds, { round, at: fold.world.now }]
}

export const setTimer = (fold: Fold, node: NodeState, effect: Extract<Effect, { type: "SetTimer" }>): void => {
  const { world } = fold
  const place = TIMER_PLACE[effect.timer]
  const count = node.sets[place] ?? 0
  node.sets[place] = count + 1
  const local = drawBetween(
    hashOfPlace(world.seed, RANDOM_KINDS.timer + place, node.slot, 0, count),
    0,
    effect.min,
    effect.max,
  )
  let due = world.now + atLeast(node.clock, local)
  if (effect.timer === "lease") {
    const { since = 0 } = effect
    due = (node.rounds.find(({ round }) => round === since)?.at ?? world.now) + atMost(node.clock, local)
    node.rounds = node.rounds.filter(({ round }) => round >= since)
  }
  node.due[place] = due
  node.setBy[place] = fold.cause
  watch(fold, node, place, Math.max(due, world.now))
}

export const cancelTimer = (node: NodeState, timer: Timer): void => {
  node.due[TIMER_PLACE[timer]] = -1
}

/** Whether the checked timer has expired. Timers that are due while the node is paused wait until it resumes. */
export const hasExpired = (fold: Fold, node: NodeState, timer: Timer, at: number): boolean => {
  const place = TIMER_PLACE[timer]
  if (node.alarm[place] !== at) return false
  node.alarm[place] = -1
  const due = node.due[place] ?? -1
  if (due < 0 || node.paused) return false
  if (due > at) {
    watch(fold, node, place, due)
    return false
  }
  node.due[place] = -1
  return true
}

/** The end of a lease is handled before anything else that happens to the node. */
export const leaseOver = (fold: Fold, node: NodeState): boolean => {
  const due = node.due[TIMER_PLACE.lease] ?? -1
  if (due < 0 || due > fold.world.now) return false
  node.due[TIMER_PLACE.lease] = -1
  return true
}

/** After a pause: the timers that expired meanwhile and were not restarted by the events that had waited. */
export const catchUp = (fold: Fold, node: NodeState): void => {
  for (let place = 0; place < TIMERS.length; place++) {
    const due = node.due[place] ?? -1
    if (due >= 0) watch(fold, node, place, Math.max(due, fold.world.now))
  }
}

/** Changes the clock; the remaining time of each timer, in the node's own time, stays the same. */
export const skewClock = (
  fold: Fold,
  node: NodeState,
  offset: number,
  driftPermille: number,
  wallDriftPermille: number,
): void => {
  const { now } = fold.world
  const before = node.clock
  node.clock = {
    since: now,
    wall: EPOCH + now + offset,
    wallDriftPermille,
    monotonic: monotonicTime(before, now),
    driftPermille: Math.max(driftPermille, -999),
  }
  for (let place = 0; place < TIMERS.length; place++) {
    const due = node.due[place] ?? -1
    if (due <= now) continue
    const left = Math.ceil(((due - now) * (1000 + before.driftPermille)) / 1000)
    const next = now + (TIMERS[place] === "lease" ? atMost(node.clock, left) : atLeast(node.clock, left))
    node.due[place] = next
    watch(fold, node, place, next)
  }
}

export const freshTimers = (): Pick<NodeState, "due" | "alarm" | "setBy"> => ({
  due: TIMERS.map(() => -1),
  alarm: TIMERS.map(() => -1),
  setBy: TIMERS.map(() => -1),
})
