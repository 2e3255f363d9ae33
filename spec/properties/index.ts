/** Random worlds for fast-check: properties of one's own state machine, or of the algorithm, that shrink to a short script. */
export { actionArbitrary, scriptArbitrary, type ScriptArbitraryOptions } from "./arbitraries.ts"
export { worldProperty, WorldPropertyFailed, type WorldPropertyOptions } from "./property.ts"
