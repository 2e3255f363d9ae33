/** stepraft's algorithm: one pure reducer. Start reading at step.ts. */
export * from "./types.ts"
export { defaultSettings } from "./settings.ts"
export { entryBytes, Log } from "./log.ts"
export { rules, type Rule } from "./notes.ts"
export { hasQuorum, majority, quorumValue, voteResult } from "./quorum.ts"
export { configurationOf, emptyConfiguration, isVoter, membersOf, votersOf } from "./membership.ts"
export { knownLeader, sameMember } from "./turn.ts"
export { initialState, inPlace, isMember, step, stepAll, type Runner } from "./step.ts"
