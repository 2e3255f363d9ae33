/** `import … from "stepraft/core"`: the reducer, what goes in and what comes out. */
export * from "./types.ts"
export { inPlace, initialState, RecoveredInvalid, step, stepAll, type Runner } from "./step.ts"
export { checkSettings, defaultSettings, SettingsInvalid, type Settings } from "./settings.ts"
export { haltText } from "./halt.ts"
export { entryBytes, Log } from "./log.ts"
export { rules, type Rule } from "./notes.ts"
// To read a state.
export { replicatedTime } from "./clock.ts"
export { emptyConfiguration, isVoter, membersOf, votersOf } from "./membership.ts"
export { hasQuorum, majority } from "./quorum.ts"
export { knownLeader, sameMember } from "./turn.ts"
// For authors of storages, transports and codecs: what a log holds after a Persist, its checksums, which numbers can be
// written, and the recorded starts of a data directory.
export { origin, storedAfter, type StoredLog } from "./stored.ts"
export { chainBreaksAt, chainAfter, type UnchainedEntry } from "./chain.ts"
export {
  flawOfMessage,
  flawOfPersist,
  flawOfStored,
  isChain,
  isCount,
  isIndex,
  isTerm,
  isUint32,
  MAX_COUNT,
  MAX_INDEX,
  MAX_TERM,
} from "./domain.ts"
export {
  recordClaim,
  holdsLess,
  lineage,
  NO_START,
  startAfter,
  withSighting,
  type DurablePosition,
  type Lineage,
  type Sighting,
  type Start,
} from "./starts.ts"
