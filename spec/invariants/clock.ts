/**
 * Compares the replicated clock with the world's own time, where there is one (a simulation gives it with every step). The
 * checker reads each server's clocks from its steps, so it knows by itself what is guaranteed: time runs steadily, whatever
 * wall clocks show, while no monotonic clock is more wrong than leases allow; and after an outage of the whole cluster it
 * continues from the right time, if a majority of the leader's voters has right wall clocks.
 */
import { configurationOf, replicatedTime, type AppendEntries, type Member, type State } from "../../core/index.ts"
import { EPOCH } from "../../interpreters/simulation/index.ts"
import { fail, serverOf, type ComparedStep } from "./history.ts"
import type { Clocks, Steady } from "./steady.ts"

/** The tolerance besides the rates of 0.9 and 1.1: leaders change, and wall clocks are known only roughly. */
const STATED = 1000
/** Right wall clocks differ by at most this. */
const RIGHT = 500
/** A monotonic clock may run this much fast or slow (half of what leases allow between two), read in whole milliseconds. */
const DRIFT = 0.05
const GRAIN = 3
/** How long a leader may use what it heard about a clock, plus some time until it hears from it again. */
const REMEMBERED = 15_000
/** After this time every server must have heard the time again. */
const RECOVERY = 60_000

const forget = (steady: Steady): void => {
  steady.most = Number.NEGATIVE_INFINITY
  steady.least = Number.POSITIVE_INFINITY
}

/** A leader's message says what its time was. */
export const hearTime = ({ history }: ComparedStep, leader: Member, message: AppendEntries, at: number): void => {
  const from = message.settled ? serverOf(history, leader)?.clocks : null
  if (from === null || from === undefined) return
  const { steady } = history
  steady.latest = Math.max(steady.latest, from.time + at - from.at - message.time)
}

/** As before the server's first step. */
const firstClocks = ({ bootId, clock }: State, at: number, right: boolean): Clocks => ({
  bootId,
  at,
  monotonic: clock.monotonic,
  time: 0,
  settled: false,
  wasSettled: false,
  rightSince: right ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
})

/** A server without a clock reports no time. */
const readClocks = (steady: Steady, { state, before }: ComparedStep, at: number): void => {
  const { clock, bootId } = state
  const right = Math.abs(clock.wall - EPOCH - at) <= RIGHT
  const known = (before.clocks ??= firstClocks(state, at, right))
  const passed = at - known.at
  if (known.bootId === bootId && Math.abs(clock.monotonic - known.monotonic - passed) > DRIFT * passed + GRAIN)
    steady.voidUntil = at + RECOVERY
  if (!right) known.rightSince = Number.POSITIVE_INFINITY
  else if (known.rightSince === Number.POSITIVE_INFINITY) known.rightSince = at
  known.wasSettled = known.bootId === bootId && known.settled
  known.settled = clock.settled
  known.bootId = bootId
  known.at = at
  known.monotonic = clock.monotonic
  known.time = replicatedTime(state)
}

/** Whether the clocks that agree, if any do, agree on the right time. */
const isMajorityRight = ({ state, history }: ComparedStep, at: number): boolean => {
  const { voters } = configurationOf(state)
  let right = 0
  for (const voter of voters)
    if ((serverOf(history, voter)?.clocks?.rightSince ?? Number.POSITIVE_INFINITY) <= at - REMEMBERED) right += 1
  return right * 2 > voters.length
}

/** The first leader after an outage of the whole cluster has settled its clock, with or without an agreement. */
const checkStart = (seen: ComparedStep, steady: Steady, at: number, slack: number): void => {
  const { node, state, effects, before } = seen
  const { clock, role } = state
  if (role.type !== "leader" || before.clocks?.wasSettled === true) return
  for (const effect of effects) {
    if (effect.type !== "Note" || (effect.rule !== "clock.stepped" && effect.rule !== "clock.disagreed")) continue
    const told = configurationOf(state).voters.every(
      ({ name }) => name === node || role.progress[name]?.wallOffset !== null,
    )
    if (effect.rule === "clock.disagreed" && !told && clock.monotonic - role.since < 5000)
      fail(
        "ClockSteady",
        node,
        `decides after ${clock.monotonic - role.since} ms that the clocks disagree, although other voters have not reported theirs yet`,
      )
    const trusted = effect.rule === "clock.stepped" && isMajorityRight(seen, at)
    // A server that was away and has not heard the time since may have another time.
    if (!trusted) steady.voidUntil = at + RECOVERY
    else if (at >= steady.voidUntil) {
      const time = replicatedTime(state)
      const right = EPOCH + at
      // If the last stamp in the log is later, time continues from that.
      const most = Math.max(right, before.log.last.time, steady.least + 1.1 * at)
      if (time < right - slack || time > most + slack)
        fail(
          "ClockSteady",
          node,
          `starts as leader of term ${state.currentTerm} at ${time} after an outage, while correct clocks show ${right}`,
        )
    }
    forget(steady)
  }
}

export const checkSteady = (seen: ComparedStep, at: number): void => {
  const { node, state, history } = seen
  const { steady } = history
  readClocks(steady, seen, at)
  if (state.role.type !== "leader" || state.currentTerm < steady.term) return
  steady.term = state.currentTerm
  const slack = STATED + 2 * steady.latest
  checkStart(seen, steady, at, slack)
  if (!state.clock.settled || at < steady.voidUntil) {
    forget(steady)
    return
  }
  const time = replicatedTime(state)
  steady.most = Math.max(steady.most, time - 0.9 * at)
  steady.least = Math.min(steady.least, time - 1.1 * at)
  if (time - 0.9 * at < steady.most - slack)
    fail(
      "ClockSteady",
      node,
      `its time ${time} fell ${Math.round(steady.most - time + 0.9 * at)} ms behind the least that the rate 0.9 allows`,
    )
  if (time - 1.1 * at > steady.least + slack)
    fail(
      "ClockSteady",
      node,
      `its time ${time} ran ${Math.round(time - 1.1 * at - steady.least)} ms ahead of the most that the rate 1.1 allows`,
    )
}
