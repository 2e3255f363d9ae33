/** stepraft's algorithm: one pure reducer. Start reading at step.ts. */
export * from "./types.ts"
export { replicatedTime } from "./clock.ts"
export { checkSettings, defaultSettings, SettingsInvalid, type Settings } from "./settings.ts"
export { haltText } from "./halt.ts"
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
  MAX_TERM_LEAP,
} from "./domain.ts"
export { copyState } from "./copy.ts"
export { entryBytes, Log } from "./log.ts"
export { rules, type Rule } from "./notes.ts"
export { hasQuorum, majority, quorumValue, voteResult } from "./quorum.ts"
export { configurationOf, emptyConfiguration, isVoter, levelOf, membersOf, votersOf } from "./membership.ts"
export { origin, originOf, storedAfter, type StoredLog } from "./stored.ts"
export {
  recordClaim,
  holdsLess,
  MAX_LINEAGE_WORDS,
  lineage,
  NO_START,
  startAfter,
  withSighting,
  type DurablePosition,
  type Lineage,
  type Sighting,
  type Start,
} from "./starts.ts"
export { knownLeader, sameMember } from "./turn.ts"
export { initialState, inPlace, isMember, RecoveredInvalid, runInPlace, step, stepAll, type Runner } from "./step.ts"
