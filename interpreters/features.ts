/**
 * Feature levels: what the members of a cluster may write. A node reports the highest level that it supports. The level
 * of the cluster is part of its configuration, so it is in every log and snapshot; it rises once every member supports
 * a higher one (members/level.ts). Whatever a version adds that older versions could not read (an entry, a command, a
 * snapshot, a record on disk) is written only from a certain level on. Which versions can talk to each other, and for
 * how long: kv/UPGRADES.md.
 */
import { emptyConfiguration, levelOf, type State } from "../core/index.ts"

/** The highest level that this version supports. It supports all lower ones too. */
export const HIGHEST_LEVEL = 1

/** The level that may be written: every member can read it, now and whatever happens later. */
export const committedLevel = ({
  configurations,
  commitIndex,
}: Pick<State, "configurations" | "commitIndex">): number =>
  levelOf(configurations.findLast(({ index }) => index <= commitIndex)?.configuration ?? emptyConfiguration)

/** What a node reports about itself to its peers. */
export interface Features {
  /** The release that it runs, for display. */
  readonly version: string
  /** The highest level that it supports. */
  readonly level: number
  /** The level of its cluster, as far as it knows: a node that does not support it takes no part. */
  readonly clusterLevel: number
}
export const ownFeatures: Features = { version: "unknown", level: HIGHEST_LEVEL, clusterLevel: 1 }
