/** What runs the reducer: the contract that an interpreter fulfils, and the loop that drives it. */
export * from "./contract.ts"
export { payloadOf } from "./payload.ts"
export { StateMachineFailed, type MachineFault } from "./applying.ts"
export { NodeHalted } from "./halted.ts"
export { makeDriver, type Driver, type DriverOptions, type Leadership } from "./driver.ts"
export { makeTimers } from "./timers.ts"
export { makeClock, type Clock, type Readings } from "./clock.ts"
