/** A whole cluster in one process, in virtual time, from one seed. */
export { World, reliableNetwork, lossyNetwork, type NetworkProfile, type WorldNode, type WorldOptions, type WorldStep } from "./world.ts"
export { makeRandom, type Random } from "./random.ts"
export { digestEntry } from "./machine.ts"
