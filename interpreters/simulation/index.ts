/** A whole cluster in one process, in virtual time, from one seed: see types.ts. */
export * from "./state/types.ts"
export { World, WorldNode } from "./world.ts"
export { makeWorld } from "./make.ts"
export { MOST_NODES } from "./server/nodes.ts"
export {
  flightName,
  flights,
  isCut,
  isRequest,
  lossyNetwork,
  messageBytes,
  networks,
  reliableNetwork,
  unreliableNetwork,
} from "./server/network.ts"
export { EPOCH, timerDue, TIMERS, wallTime } from "./server/clockwork.ts"
export { leaderOf, nodeOf, resolveNode } from "./state/fold.ts"
export { storedBytes } from "./server/disk.ts"
export { fingerprint, fingerprintOfCore, fingerprintOfNode } from "./state/fingerprint.ts"
export { finish, mix, mixText } from "./state/hash.ts"
export { makeRandom, type Random } from "./state/random.ts"
export { MachineNotCloned } from "./state/clone.ts"
export { DigestMachine, digestEntry, markOf, type ExecutedBatch, type Mark } from "./server/machine.ts"
export { actPure, copyWorld } from "./pure.ts"
export {
  actionLine,
  foundersOf,
  hashLine,
  headerLine,
  scenarioText,
  TRACE_CORE,
  TRACE_FORMAT,
  violationLine,
  type ScenarioEnd,
  type TraceHash,
  type TraceViolation,
} from "./story/scenario.ts"
export { violationName, type Checker, type Violates } from "./violation.ts"
export { plainAction, recordedWorld, runScript, toHex } from "./story/script.ts"
export { cluster, Cluster } from "./story/story.ts"
export { seconds, StoryFailed } from "./story/submitted.ts"
export type { ClusterOptions, StoryCommand, ReadResult, Submitted } from "./story/submitted.ts"
export { AgreementChecker, ServersDisagree } from "./story/agreement.ts"
export { TrafficMeter, type Count, type Filter } from "./story/meter.ts"
export { runTasks, Tasks, type StoryTask, type Wait, type StoryWork } from "./story/tasks.ts"
