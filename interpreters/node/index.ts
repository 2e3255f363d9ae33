/** A server on Node: files, TCP, forming a cluster, and recovery at a start. */
export { BootstrapRefused, LostTail, OptionsInvalid, ReplicaFailed, StateUnusable, StateWithoutLog } from "./errors.ts"
export { decide, formed, newClusterId, type Formation, type Forming, type Peer } from "./forming.ts"
export { findPlace, refusedText, watchRefused } from "./place.ts"
export { directoryStore } from "./store.ts"
export { recoveredPosition, requireNoState, requireWholeLog } from "./recovery.ts"
export { makeReplica, replicaService, replicate, type ReplicateError, type ReplicateOptions } from "./replicate.ts"
