/**
 * The event loop of a node, and its parts: timers, clocks, the queue of the state machine, and snapshots in transit.
 */
export { StateMachineFailed, type MachineFault } from "./applier.ts"
export { makePendingRequests, type PendingRequests } from "./requests.ts"
export { makeClock, type Clock, type Readings } from "./clock.ts"
export { leadershipOf, makeDriver, type Driver, type DriverOptions, type DriverLeadership } from "./driver.ts"
export { driverFrom, positionOf, type StartOptions } from "./from.ts"
export { NodeHalted } from "./halted.ts"
export { makeTimers } from "./timers.ts"
export { makeTracing, type TraceLine } from "./tracing.ts"
