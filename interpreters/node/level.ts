/**
 * A server and the feature level of its cluster: what its status shows of both, and that it takes no part in a cluster
 * whose data it cannot read.
 */
import { configurationOf, emptyConfiguration, levelOf, type Configuration } from "../../core/index.ts"
import { committedLevel, type Features } from "../features.ts"
import { heldBy } from "../members/index.ts"
import { LevelTooHigh } from "./errors.ts"
import type { ServerParts } from "./parts.ts"

/** As shown in the status. */
export interface FeatureStatus {
  /** What members may write now. */
  readonly level: number
  /** The highest level that this server supports. */
  readonly highest: number
  /** Why the cluster is not at that level, by the names of members; null: no member prevents it. */
  readonly heldBy: string | null
}

/** null: it can read what the members of this configuration may write. */
export const levelTooHigh = (
  data: string,
  configuration: Configuration,
  { version, level }: Features,
): LevelTooHigh | null => {
  const cluster = levelOf(configuration)
  return cluster <= level ? null : new LevelTooHigh({ data, version, level, cluster })
}

export const featureStatus = ({ highestLevel: highest, running, storage, transport }: ServerParts): FeatureStatus => {
  const state = running?.driver.state() ?? null
  const configuration = state === null ? emptyConfiguration : configurationOf(state)
  const self = storage?.identity.self ?? null
  const own = { version: "", level: highest, clusterLevel: levelOf(configuration) }
  const why = heldBy(configuration, highest, (name) => {
    if (self !== null && name === self.name) return { member: self, connected: true, address: null, features: own }
    const link = transport?.peers().find((peer) => peer.name === name)
    const hello = link?.hello ?? null
    return link === undefined || hello === null
      ? null
      : { member: hello.member, connected: link.connected, address: null, features: hello.features }
  })
  return { level: state === null ? 1 : committedLevel(state), highest, heldBy: why }
}
