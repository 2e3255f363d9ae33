/** What a checker remembers about clocks: see clock.ts. */

/** The clocks of one incarnation of a server, as they were after its last step; they outlive its starts. */
export interface Clocks {
  bootId: number
  at: number
  monotonic: number
  time: number
  /** Whether the clock is settled now, and whether it was before its last step since its start. */
  settled: boolean
  wasSettled: boolean
  /** The time since which its wall clock has been right; long ago, if it was never seen wrong. */
  rightSince: number
}
export interface Steady {
  term: number
  /** Nothing is guaranteed before this time: a monotonic clock was wrong, or after an outage no right majority agreed. */
  voidUntil: number
  /** Since then: the maximum of time − 0.9 × world time, and the minimum of time − 1.1 × world time. */
  most: number
  least: number
  /** The longest time that a leader's message took: a follower cannot know the time more precisely. */
  latest: number
}
export const makeSteady = (): Steady => ({
  term: 0,
  voidUntil: 0,
  most: Number.NEGATIVE_INFINITY,
  least: Number.POSITIVE_INFINITY,
  latest: 0,
})
