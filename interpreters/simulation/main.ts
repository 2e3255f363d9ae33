/** `import … from "stepraft/interpreters/simulation"`: whole clusters in virtual time, from a seed. */
export * from "./state/types.ts"
// Stories.
export { cluster, Cluster } from "./story/story.ts"
export { seconds, StoryFailed } from "./story/submitted.ts"
export type { ClusterOptions, StoryCommand, ReadResult, Submitted } from "./story/submitted.ts"
export { ServersDisagree } from "./story/agreement.ts"
// Data: a world and its actions, changed in place or returned as a new world.
export { World, WorldNode } from "./world.ts"
export { makeWorld } from "./make.ts"
export { actPure, copyWorld } from "./pure.ts"
export { lossyNetwork, networks, reliableNetwork, unreliableNetwork } from "./server/network.ts"
export { fingerprint } from "./state/fingerprint.ts"
export { makeRandom, type Random } from "./state/random.ts"
export { MachineNotCloned } from "./state/clone.ts"
// Scripts, and their files.
export { recordedWorld, runScript } from "./story/script.ts"
export { scenarioText, type ScenarioEnd } from "./story/scenario.ts"
// Checks of the steps, and violations by name.
export { violationName, type Checker, type Violates } from "./violation.ts"
