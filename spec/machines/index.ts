/** A user's state machine under verification: what is true of it, held against it in worlds. */
export { machineChecks, MachineNotDeterministic, namedInvariants } from "./checks.ts"
export { machineClients, type MachineClients } from "./clients.ts"
export { machineSpace, type MachineSpaceOptions } from "./space.ts"
export { type ExecutedStep, type MachineUnderTest, type StateInvariant } from "./definition.ts"
