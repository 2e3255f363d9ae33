/** A user's state machine under verification: its invariants, checked in simulated worlds. */
export { machineChecks, MachineNotDeterministic, namedInvariants } from "./checks.ts"
export { machineClients, type MachineClients } from "./clients.ts"
export { machineSpace, type MachineSpaceOptions } from "./space.ts"
export { type ExecutedStep, type MachineUnderTest, type StateInvariant } from "./definition.ts"
