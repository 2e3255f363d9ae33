/** A server on Node: files, TCP, forming a cluster, recovery at a start, health and status. */
export { openServer, type Assembly, type Built, type Foundation } from "./assemble.ts"
export type { Details, FollowerDetails, LinkDetails } from "./details.ts"
export { openDurableMachine, type DurableOptions } from "./durable.ts"
export {
  BootstrapRefused,
  HttpUnavailable,
  LevelTooHigh,
  LostTail,
  NodeFailed,
  OptionsInvalid,
  StateUnusable,
  StateWithoutLog,
} from "./errors.ts"
export { exposed, isLoopback, PEERS_EXPOSED } from "../tcp/index.ts"
export { decide, formed, newClusterId, type Formation, type Forming, type Peer } from "./forming.ts"
export { healthOf, isAmnesiac, isLoading } from "./health.ts"
export type { FeatureStatus } from "./level.ts"
export { makeLog, type LogOptions } from "./log.ts"
export { makeReplica, replicaService, replicate, type ReplicateError, type ReplicateOptions } from "./replicate.ts"
export { newServerParts, type RecoverableMachine, type ServerParts } from "./parts.ts"
export { factsOf, statusOf, type PeerStatus, type ServerStatus } from "./status.ts"
export { directorySnapshotStore } from "./snapshotStore.ts"
