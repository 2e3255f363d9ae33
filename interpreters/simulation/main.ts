/** `import … from "stepraft/interpreters/simulation"`: whole clusters in virtual time, from a seed. */
export * from "./state/types.ts"
// As a story.
export { cluster, Cluster } from "./story/story.ts"
export { seconds, StoryFailed } from "./story/submitted.ts"
export type { ClusterOptions, Command, ReadResult, Submitted } from "./story/submitted.ts"
export { LedgerDisagrees } from "./story/ledger.ts"
// As data: a world and its actions, changed in place or answered as a new one.
export { World, WorldNode } from "./world.ts"
export { makeWorld } from "./make.ts"
export { actPure, copyWorld } from "./pure.ts"
export { lossyNetwork, networks, reliableNetwork, unreliableNetwork } from "./server/network.ts"
export { fingerprint } from "./state/fingerprint.ts"
export { makeRandom, type Random } from "./state/random.ts"
export { MachineNotCloned } from "./state/clone.ts"
// As a script, and as a file of one.
export { recordedWorld, runScript } from "./story/script.ts"
export { scenarioText, type ScenarioEnd } from "./story/scenario.ts"
// What watches the steps, and tells a violation by name.
export { violationName, type Checker, type Violates } from "./violation.ts"
