/**
 * Majorities of a configuration. A joint configuration decides only if both of its halves decide (paper §6); each
 * function below asks each half and takes the more cautious answer.
 */
import type { Configuration, Member } from "./types.ts"

/** Smallest count that is more than half: 2 of 3, 3 of 4, 3 of 5. */
export const majority = (size: number): number => Math.floor(size / 2) + 1

/**
 * The highest value that more than half of `members` have reached. Without members it is 0: nothing is ever decided.
 */
const majorityValue = (members: readonly Member[], valueOf: (member: Member) => number): number => {
  const values: number[] = []
  // Kept in falling order. This runs several times in each step, on three to seven values: sort() takes longer.
  for (const member of members) {
    const value = valueOf(member)
    let at = values.length
    for (; at > 0 && (values[at - 1] ?? 0) < value; at--) values[at] = values[at - 1] ?? 0
    values[at] = value
  }
  return values[majority(members.length) - 1] ?? 0
}

/** The highest value that a quorum has reached. No voters: nothing is ever decided. */
export const quorumValue = ({ voters, outgoing }: Configuration, valueOf: (member: Member) => number): number => {
  const value = majorityValue(voters, valueOf)
  return outgoing.length === 0 ? value : Math.min(value, majorityValue(outgoing, valueOf))
}

export const hasQuorum = (configuration: Configuration, has: (member: Member) => boolean): boolean =>
  quorumValue(configuration, (member) => (has(member) ? 1 : 0)) === 1

/** won: a quorum said yes. lost: a quorum cannot be reached any more. */
export const voteResult = (
  configuration: Configuration,
  votes: Readonly<Record<string, boolean>>,
): "won" | "lost" | "pending" => {
  if (hasQuorum(configuration, (member) => votes[member.name] === true)) return "won"
  return hasQuorum(configuration, (member) => votes[member.name] !== false) ? "pending" : "lost"
}
