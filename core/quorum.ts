/**
 * Majorities of a configuration. A joint configuration decides only if both of its halves decide (paper §6); each
 * function below asks each half and takes the more cautious answer.
 */
import type { Configuration, Member } from "./types.ts"

const halves = (configuration: Configuration): readonly (readonly Member[])[] =>
  configuration.outgoing.length === 0 ? [configuration.voters] : [configuration.voters, configuration.outgoing]

/** The smallest count that is more than half: 2 of 3, 3 of 4, 3 of 5. */
export const majority = (size: number): number => Math.floor(size / 2) + 1

/** The highest value that a quorum has reached. Without voters nothing is ever decided. */
export const quorumValue = (configuration: Configuration, valueOf: (member: Member) => number): number => {
  let least = Number.POSITIVE_INFINITY
  for (const half of halves(configuration)) {
    if (half.length === 0) return 0
    const values = half.map(valueOf).sort((a, b) => b - a)
    least = Math.min(least, values[majority(half.length) - 1] ?? 0)
  }
  return least
}

export const hasQuorum = (configuration: Configuration, has: (member: Member) => boolean): boolean =>
  quorumValue(configuration, (member) => (has(member) ? 1 : 0)) === 1

/** won: a quorum said yes. lost: a quorum cannot be reached any more. */
export const voteResult = (configuration: Configuration, votes: Readonly<Record<string, boolean>>): "won" | "lost" | "pending" => {
  if (hasQuorum(configuration, (member) => votes[member.name] === true)) return "won"
  return hasQuorum(configuration, (member) => votes[member.name] !== false) ? "pending" : "lost"
}
