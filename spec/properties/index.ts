/**
 * Random worlds for fast-check: properties of your own state machine, or of the algorithm, that shrink to a short
 * script.
 */
export { actionArbitrary, scriptArbitrary, type ScriptArbitraryOptions } from "./arbitraries.ts"
export { WorldPropertyFailed } from "./failed.ts"
export { worldProperty, type MachinePropertyOptions, type WorldPropertyOptions } from "./property.ts"
export {
  MachineNotDeterministic,
  type ExecutedStep,
  type MachineUnderTest,
  type StateInvariant,
} from "../machines/index.ts"
