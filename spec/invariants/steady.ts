/** What a checker remembers of clocks: see clock.ts. */
export interface Clocks {
  life: number
  at: number
  monotonic: number
  time: number
  /** Now, and before its last step in this life. */
  settled: boolean
  wasSettled: boolean
  /** When its wall clock was seen to be right after it had been wrong; a server that was never seen wrong: long ago. */
  rightSince: number
}
export interface Steady {
  readonly clocks: Map<string, Clocks>
  term: number
  /** A monotonic clock was wrong, or after an outage no right majority agreed: nothing is promised before. */
  voidUntil: number
  /** The most of time − 0.9 × world time since then, and the least of time − 1.1 × world time. */
  most: number
  least: number
  /** The longest that a leader's message took: a follower knows the time no better. */
  latest: number
}
export const makeSteady = (): Steady => ({ clocks: new Map(), term: 0, voidUntil: 0, most: Number.NEGATIVE_INFINITY, least: Number.POSITIVE_INFINITY, latest: 0 })
