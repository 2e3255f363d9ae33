/** The replicated clock: what a good engineer could get wrong in it. */
import type { Seeded } from "./mutant.ts"

const file = "core/clock.ts"
export const clock: readonly Seeded[] = [
  {
    id: "own-clock-1",
    title: "a single wall clock steers replicated time",
    patches: [{ file, find: "const needed = majority(voters)", replace: "const needed = 1" }],
  },
  {
    id: "own-clock-2",
    title: "a follower that knows the time once does not listen to its leader any more",
    patches: [
      {
        file,
        find: "  if (!settled) return\n  const ahead",
        replace: "  if (!settled || clock.settled) return\n  const ahead",
      },
    ],
  },
  {
    id: "own-clock-3",
    title: "replicated time is set to what a majority shows, however far that is",
    patches: [{ file, find: "Math.max(-most, Math.min(most, behind))", replace: "behind" }],
  },
  {
    id: "own-clock-4",
    title: "a leader steps forward at any time, not only after an outage",
    patches: [
      {
        file,
        find: "  if (clock.settled) return\n  if (leader.agreedOffset !== null) {",
        replace: "  if (leader.agreedOffset !== null) {",
      },
    ],
  },
  {
    id: "own-clock-5",
    title: "after an outage the first leader does not wait for a majority of clocks",
    patches: [{ file, find: "complete || clock.monotonic - leader.since >= PATIENCE", replace: "true" }],
  },
  {
    id: "own-clock-6",
    title: "an outage of the whole cluster is not taken into account",
    patches: [
      {
        file,
        find: "goOnFrom(clock, Math.max(replicatedTime(state), clock.monotonic + leader.agreedOffset))",
        replace: "goOnFrom(clock, replicatedTime(state))",
      },
    ],
  },
  {
    id: "own-clock-7",
    title: "a late message of its leader sets a follower's clock back",
    patches: [
      { file, find: "Math.min(ahead, Math.floor((clock.monotonic - clock.at) / GIVING_WAY))", replace: "ahead" },
    ],
  },
  {
    id: "own-clock-8",
    title: "a leader that has just started does not take the time from who voted for it",
    patches: [
      {
        file,
        find: "!clock.settled && candidate.timeOffset !== null",
        replace: "candidate.timeOffset !== null && clock.wall < 0",
      },
    ],
  },
  {
    id: "own-clock-9",
    title: "a server whose process stood still takes the time from messages that had come meanwhile",
    patches: [{ file, find: "clock.monotonic - follower.aheadSince >= CERTAIN", replace: "true" }],
  },
]
