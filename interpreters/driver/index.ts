/** The one loop of a node, and what it runs on: timers, clocks, the state machine's queue, snapshots on their way. */
export { StateMachineFailed, type MachineFault } from "./applying.ts"
export { makeAsked, type Asked } from "./asked.ts"
export { makeClock, type Clock, type Readings } from "./clock.ts"
export { leadershipOf, makeDriver, type Driver, type DriverOptions, type Leadership } from "./driver.ts"
export { driverFrom, positionOf, type StartOptions } from "./from.ts"
export { NodeHalted } from "./halted.ts"
export { makeTimers } from "./timers.ts"
export { makeTracing, type TraceLine } from "./tracing.ts"
