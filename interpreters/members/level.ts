/**
 * The feature level of a cluster rises once every member, voters and learners, is connected and reports that it
 * supports a higher one. Until then a member may return to an older version; afterwards a member that does not support
 * the level is refused with an error that names it (hello.ts).
 */
import { levelOf, membersOf, sameMember, type Configuration, type Member } from "../../core/index.ts"
import type { Features } from "../features.ts"
import type { Presence, GoalStep, LeaderView } from "./goals.ts"

type Known = (name: string) => Presence | null

/** What the member reports about itself now; null: it is not connected, or another directory uses its name. */
const featuresOf = (member: Member, presence: Known): Features | null => {
  const there = presence(member.name)
  return there?.connected === true && sameMember(there.member, member) ? there.features : null
}

/** What a leader does to raise the level; null: nothing, or not now. */
export const raise = ({ state, leader, presence }: LeaderView): GoalStep | null => {
  const inForce = state.configurations.at(-1)
  if (inForce === undefined || inForce.index > state.commitIndex || state.commitIndex < leader.termStart) return null
  const { configuration } = inForce
  if (configuration.outgoing.length > 0 || leader.transfer !== null) return null
  const now = levelOf(configuration)
  const level = Math.min(...membersOf(configuration).map((member) => featuresOf(member, presence)?.level ?? 0))
  const { voters, learners } = configuration
  return level <= now || !Number.isFinite(level)
    ? null
    : {
        type: "change",
        configuration: { voters, learners, level },
        text: `every member supports feature level ${level}: the cluster's level rises from ${now}`,
      }
}

/** Why the level is not `wanted` yet, by the names of members; null: no member prevents it. */
export const heldBy = (configuration: Configuration, wanted: number, presence: Known): string | null => {
  if (levelOf(configuration) >= wanted) return null
  const why = membersOf(configuration).flatMap((member) => {
    const features = featuresOf(member, presence)
    if (features === null) return [`${member.name} is not connected`]
    return features.level >= wanted
      ? []
      : [`${member.name} runs version ${features.version}, which supports levels up to ${features.level}`]
  })
  return why.length === 0 ? null : why.join(", ")
}
