/**
 * Feature levels: what the members of a cluster may write. A node tells the highest that it can do; the cluster's own stands
 * in its configuration, so it is in every log and snapshot, and rises once every member can do more (members/level.ts). What a
 * version adds that an older one could not read (an entry, a command, a snapshot, a record on disk) it writes from a level on.
 * What talks to what, and for how long: kv/UPGRADES.md.
 */
import { emptyConfiguration, levelOf, type State } from "../core/index.ts"

/** The highest level that this version can do. It can do all below it. */
export const HIGHEST_LEVEL = 1

/** What may be written: every member can read it, now and after whatever may happen. */
export const committedLevel = ({
  configurations,
  commitIndex,
}: Pick<State, "configurations" | "commitIndex">): number =>
  levelOf(configurations.findLast(({ index }) => index <= commitIndex)?.configuration ?? emptyConfiguration)

/** What a node says about itself to its peers. */
export interface Features {
  /** The release that it runs, for people. */
  readonly version: string
  /** The highest level that it can do. */
  readonly level: number
  /** The level of its cluster, as far as it knows: who cannot do that takes no part. */
  readonly clusterLevel: number
}
export const ownFeatures: Features = { version: "unknown", level: HIGHEST_LEVEL, clusterLevel: 1 }
