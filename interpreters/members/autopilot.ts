/**
 * Changes that a leader makes to the members automatically, if it is told to. A voter that has been silent for long is
 * replaced, by the directory with which it came back or by a waiting learner; and learners are promoted while there are
 * too few voters. It takes one step at a time, the same steps that an operator would have asked for (goals.ts), with
 * the same refusals: never one that would lose the quorum. It relies only on what this leader hears itself, so a new
 * leader starts to count again.
 */
import { configurationOf, sameMember, type Member, type Millis, type Settings } from "../../core/index.ts"
import { isCaughtUp, isReachable, type Goal, type LeaderView } from "./goals.ts"

export interface Autopilot {
  /** How many voters there should be. */
  readonly voters: number
  /**
   * How long a voter must have been silent before it is replaced, in milliseconds. Default: five minutes; at least ten
   * times the longest election timeout.
   */
  readonly after?: Millis
  /**
   * There are never fewer voters than this, even while one that came back is still catching up. Default: a majority of
   * `voters`.
   */
  readonly least?: number
}
export const AUTOPILOT_AFTER_MS = 300_000
/** Less would take members for dead that a few elections, or a restart, have kept silent. */
export const leastAfter = ({ electionMax }: Pick<Settings, "electionMax">): Millis => 10 * electionMax
export const leastVoters = ({ voters, least }: Pick<Autopilot, "voters" | "least">): number =>
  least ?? Math.floor(voters / 2) + 1

/** How long each voter has been silent while this leader looked, in the order in which that was noticed. */
export interface SilentVoters {
  /** When it looked last; null: not yet. */
  readonly looked: Millis | null
  readonly silent: ReadonlyMap<string, Millis>
}
export const NO_SILENT_VOTERS: SilentVoters = { looked: null, silent: new Map() }
/** Who looks later than this after the last time was itself suspended, or had no processor: it was not the others that were silent. */
const GAP_MS = 3000
const keyOf = ({ name, incarnation }: Member): string => `${name} ${incarnation}`

/** A voter that is heard from again is dropped from the list. */
export const silentVoters = (view: LeaderView, before: SilentVoters, now: Millis): SilentVoters => {
  const passed = before.looked === null ? 0 : now - before.looked
  const counted = passed <= GAP_MS ? passed : 0
  const away = configurationOf(view.state).voters.filter((voter) => !isReachable(view, voter))
  const keys = new Set(away.map(keyOf))
  const kept = [...before.silent].filter(([key]) => keys.has(key))
  const fresh = [...keys].flatMap((key) => (before.silent.has(key) ? [] : [[key, 0] as const]))
  return { looked: now, silent: new Map([...kept.map(([key, millis]) => [key, millis + counted] as const), ...fresh]) }
}

/** The next step to take; null: none. */
export const autopilotStep = (
  view: LeaderView,
  { after = AUTOPILOT_AFTER_MS, ...numbers }: Autopilot,
  { silent }: SilentVoters,
): Goal | null => {
  const { voters, learners } = configurationOf(view.state)
  const waiting = learners.find((learner) => isCaughtUp(view, learner))
  if (voters.length < numbers.voters && waiting !== undefined)
    return { type: "promote", name: waiting.name, evenIfQuorumIsLost: false }
  for (const [key, millis] of silent) {
    const voter = voters.find((one) => keyOf(one) === key)
    if (voter === undefined || millis < after) continue
    const { name } = voter
    const there = view.presence(name)
    const cameBack = there?.connected === true && !sameMember(there.member, voter)
    // While it catches up there is one voter less.
    if (cameBack && voters.length > leastVoters(numbers))
      return { type: "replace", name, by: name, address: null, evenIfQuorumIsLost: false }
    if (waiting !== undefined)
      return { type: "replace", name, by: waiting.name, address: null, evenIfQuorumIsLost: false }
  }
  return null
}
