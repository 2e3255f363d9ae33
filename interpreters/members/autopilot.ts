/**
 * What a leader does about members by itself, if it is told to: a voter that has been away for long is replaced, by the
 * directory with which it came back or by a learner that waits, and learners are promoted while too few vote. One at a time,
 * and each step is the one that a person would have asked for (goals.ts), with the same refusals: never what would lose the
 * quorum. It decides by what it hears itself, so a new leader begins to count anew.
 */
import { configurationOf, sameMember, type Member, type Millis } from "../../core/index.ts"
import { isCaughtUp, isReachable, type Goal, type View } from "./goals.ts"

export interface Autopilot {
  /** So many should vote. */
  readonly voters: number
  /** Milliseconds for which a voter has not been heard of before it is replaced. Default: five minutes. */
  readonly after?: Millis
  /** Never fewer vote than that, not even until the one that came back has caught up. Default: a majority of `voters`. */
  readonly least?: number
}
export const AUTOPILOT_AFTER_MS = 300_000
export const leastOf = ({ voters, least }: Pick<Autopilot, "voters" | "least">): number =>
  least ?? Math.floor(voters / 2) + 1

/** Since when each voter has not been heard of, in the order in which that was noticed. */
export type Away = ReadonlyMap<string, Millis>
export const NOBODY: Away = new Map()
const keyOf = ({ name, incarnation }: Member): string => `${name} ${incarnation}`

/** Who is heard of again is forgotten. */
export const awayNow = (view: View, before: Away, now: Millis): Away => {
  const away = configurationOf(view.state).voters.filter((voter) => !isReachable(view, voter))
  const keys = new Set(away.map(keyOf))
  const kept = [...before].filter(([key]) => keys.has(key))
  return new Map([...kept, ...[...keys].flatMap((key) => (before.has(key) ? [] : [[key, now] as const]))])
}

/** What is to be done next; null: nothing. */
export const chore = (
  view: View,
  { after = AUTOPILOT_AFTER_MS, ...numbers }: Autopilot,
  away: Away,
  now: Millis,
): Goal | null => {
  const { voters, learners } = configurationOf(view.state)
  const waiting = learners.find((learner) => isCaughtUp(view, learner))
  if (voters.length < numbers.voters && waiting !== undefined)
    return { type: "promote", name: waiting.name, evenIfQuorumIsLost: false }
  for (const [key, since] of away) {
    const voter = voters.find((one) => keyOf(one) === key)
    if (voter === undefined || now - since < after) continue
    const { name } = voter
    const there = view.presence(name)
    const cameBack = there?.connected === true && !sameMember(there.member, voter)
    // Until it has caught up one less votes.
    if (cameBack && voters.length > leastOf(numbers))
      return { type: "replace", name, by: name, address: null, evenIfQuorumIsLost: false }
    if (waiting !== undefined)
      return { type: "replace", name, by: waiting.name, address: null, evenIfQuorumIsLost: false }
  }
  return null
}
